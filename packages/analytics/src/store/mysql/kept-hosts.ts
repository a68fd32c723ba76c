/** Under which hosts a batch counts: a day that is settled gets no new ones, so the others go into its remainder. */

import { NOWHERE, REMAINDER } from '../bounds.ts'
import type { Day } from '../calendar.ts'
import type { BatchCounts, RefererCount } from '../counts.ts'
import { isSettled, type State } from '../sql/sql.ts'
import type { MysqlClient } from './connection.ts'
import { partsOf, postDay, quoted } from './text.ts'

// Below 1,000, from which on MariaDB turns a list into a table that it joins.
const KEYS_AT_ONCE = 900

export interface KeptHosts {
  ofPost(count: RefererCount): string
  ofSite(count: SiteHost): string
}

type SiteHost = Pick<RefererCount, 'day' | 'host'>

/** As long as the state is shared, nobody settles a day, so what is kept is kept until the batch is over. */
export async function keptHosts(client: MysqlClient, state: State, counts: BatchCounts): Promise<KeptHosts> {
  const isBounded = ({ day, host }: SiteHost) => host !== NOWHERE && isSettled(state, day)
  const hasSettled = counts.siteDays().some(({ day }) => isSettled(state, day))
  const posts = new Set<string>()
  const site = new Set<string>()
  if (hasSettled) {
    const ofPosts = counts.referrers().filter(isBounded)
    for (const { texts } of partsOf(ofPosts, KEYS_AT_ONCE, postHost)) {
      const found = await client.all(
        `SELECT post_uuid, date, host FROM post_view_referrers WHERE (post_uuid, date, host) IN (${texts.join()})`,
      )
      for (const { post_uuid, date, host } of found) {
        posts.add(postHost({ postUuid: String(post_uuid), day: date as Day, host: String(host) }))
      }
    }
    const ofSite = counts.siteReferrers().filter(isBounded)
    for (const { texts } of partsOf(ofSite, KEYS_AT_ONCE, siteHost)) {
      const found = await client.all(
        `SELECT date, host FROM site_view_referrers WHERE (date, host) IN (${texts.join()})`,
      )
      for (const { date, host } of found) site.add(siteHost({ day: date as Day, host: String(host) }))
    }
  }
  return {
    ofPost: count => (isBounded(count) && !posts.has(postHost(count)) ? REMAINDER : count.host),
    ofSite: count => (isBounded(count) && !site.has(siteHost(count)) ? REMAINDER : count.host),
  }
}

function postHost(count: Pick<RefererCount, 'postUuid' | 'day' | 'host'>): string {
  return `(${postDay(count)},${quoted(count.host)})`
}

function siteHost({ day, host }: SiteHost): string {
  return `('${day}',${quoted(host)})`
}
