/** Where readers came from, as the panel shows it: the site's own pages are no such place, so they are one row below. */

import type { Referrer } from './pages/model.ts'

/** The most that Analytics tells at once, since any number of them may be the site's own. */
export const ASKED_REFERRERS = 100
const MAX_REFERRERS = 10

/** @param told by Analytics, most views first */
export function shownReferrers(told: readonly Referrer[]): Referrer[] {
  const places = told.filter(({ internal }) => internal !== true).slice(0, MAX_REFERRERS)
  const ownViews = told.reduce((sum, { views, internal }) => sum + (internal === true ? views : 0), 0)
  return ownViews === 0 ? places : [...places, { host: null, views: ownViews, internal: true }]
}
