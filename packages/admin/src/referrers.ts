/**
 * Where readers came from, as the panel shows it. The site's own pages are no such place, so they are one row below
 * the others. The hosts that are not listed are one row too, so that all rows add up to the views of the period.
 */

import type { Referrer, SiteReferrers } from '@postviews/client/src/index.ts'
import type { ReferrerRow, Sums } from './pages/model.ts'

/** The most that Analytics lists at once, because any number of them may be the site's own. */
export const ASKED_REFERRERS = 1_000
const MAX_HOSTS = 10

/**
 * @param told the first `ASKED_REFERRERS`, most views first
 * @param sums of the same days
 */
export function shownReferrers(
  { referrers, other }: Pick<SiteReferrers, 'referrers' | 'other'>,
  sums: Pick<Sums, 'views' | 'unique_views'>,
): ReferrerRow[] {
  const rows = referrers.map(referrerRow)
  const hosts = rows.filter(({ kind }) => kind === 'host')
  const left = new Set(hosts.slice(MAX_HOSTS))
  const otherViews = viewsOf([...left]) + other.views
  // Views that Analytics does not list, because of the limit or because they were not kept, are of at least one host.
  const isMore = other.views > 0
  return [
    ...rows.filter(row => row.kind !== 'internal' && !left.has(row)),
    ...rowOf('other', otherViews, { hosts: { count: left.size + (isMore ? 1 : 0), isMore } }),
    ...rowOf('internal', viewsOf(rows.filter(({ kind }) => kind === 'internal'))),
    ...rowOf('unknown', unknownViews(viewsOf(rows) + other.views, sums)),
  ]
}

export function referrerRow({ host, views, internal }: Referrer): ReferrerRow {
  return { kind: internal === true ? 'internal' : host === null ? 'direct' : 'host', host, views }
}

/** A row of a kind other than `host`; none if there are no such views. */
export function rowOf(
  kind: ReferrerRow['kind'],
  views: number,
  more: Pick<ReferrerRow, 'hosts'> = {},
): ReferrerRow[] {
  return views === 0 ? [] : [{ kind, host: null, views, ...more }]
}

/**
 * For adopted days, only the number of views may be known. If everything else is known about a period, so are
 * the hosts: a difference was viewed between the two answers.
 */
export function unknownViews(
  knownViews: number,
  { views, unique_views }: Pick<Sums, 'views' | 'unique_views'>,
): number {
  const isKnown = unique_views.value !== null && unique_views.since === null
  return isKnown || views.value === null ? 0 : Math.max(0, views.value - knownViews)
}

function viewsOf(rows: readonly ReferrerRow[]): number {
  return rows.reduce((sum, { views }) => sum + views, 0)
}
