/** Under which hosts a batch counts: a day that is settled gets no new ones, so the others go into its remainder. */

import { NOWHERE, REMAINDER } from '../bounds.ts'
import type { BatchCounts, RefererCount } from '../counts.ts'
import { isSettled, type SqlRow, type State } from './sql.ts'

export type PostHost = Pick<RefererCount, 'postUuid' | 'day' | 'host'>
export type SiteHost = Pick<RefererCount, 'day' | 'host'>

export interface KeptHosts {
  ofPost(count: PostHost): string
  ofSite(count: SiteHost): string
}

/** Finds which of these are stored: rows with `post_uuid`, `date` and `host`; of the site's without the post. */
export interface HostSearch {
  posts(hosts: readonly PostHost[]): Promise<SqlRow[]>
  site(hosts: readonly SiteHost[]): Promise<SqlRow[]>
}

/** As long as the state is shared, nobody settles a day, so what is kept is kept until the batch is over. */
export async function keptHosts(state: State, counts: BatchCounts, search: HostSearch): Promise<KeptHosts> {
  const isBounded = ({ day, host }: SiteHost) => host !== NOWHERE && isSettled(state, day)
  const hasSettled = counts.siteDays().some(({ day }) => isSettled(state, day))
  const posts = hasSettled ? await search.posts(counts.referrers().filter(isBounded)) : []
  const site = hasSettled ? await search.site(counts.siteReferrers().filter(isBounded)) : []
  const stored = new Set([...posts, ...site].map(row => keyOf(row['post_uuid'], row['date'], row['host'])))
  const placed = (count: SiteHost, post: string | undefined) =>
    isBounded(count) && !stored.has(keyOf(post, count.day, count.host)) ? REMAINDER : count.host
  return { ofPost: count => placed(count, count.postUuid), ofSite: count => placed(count, undefined) }
}

/** None of them holds a space. */
function keyOf(post: unknown, day: unknown, host: unknown): string {
  return `${post ?? ''} ${day} ${host}`
}
