/**
 * Decides under which referring host each view is counted. A settled day gets no new hosts: views from hosts that it does not
 * have yet are counted under its remainder.
 */

import { NOWHERE, REMAINDER } from '../bounds.ts'
import type { BatchCounts, RefererCount } from '../counts.ts'
import { isSettled, type SqlRow, type State } from './sql.ts'

export type PostHost = Pick<RefererCount, 'postUuid' | 'day' | 'host'>
export type SiteHost = Pick<RefererCount, 'day' | 'host'>

export interface KeptHosts {
  ofPost(count: PostHost): string
  ofSite(count: SiteHost): string
}

/** Asks which of the hosts are stored already. Answers rows with `date` and `host`, and for posts also `post_uuid`. */
export interface HostSearch {
  posts(hosts: readonly PostHost[]): Promise<SqlRow[]>
  site(hosts: readonly SiteHost[]): Promise<SqlRow[]>
}

/** To be called under a shared lock on the state: nobody can then settle a day before the batch is committed. */
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

/** A space separates the parts, because none of them contains one. */
function keyOf(post: unknown, day: unknown, host: unknown): string {
  return `${post ?? ''} ${day} ${host}`
}
