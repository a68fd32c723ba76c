/** Reads what the page of a post shows. */

import type { Stats } from '@postviews/client/src/index.ts'
import type { Loaded } from './answers.ts'
import { clocksFrom } from './clocks.ts'
import { oldest } from './overview.ts'
import type { Post } from './pages/model.ts'
import type { Question } from './pages/question.ts'
import type { Posts } from './posts.ts'
import { ASKED_REFERRERS, shownReferrers } from './referrers.ts'
import { dayOf, rangesOf, trendOf, trendToCome } from './trend.ts'

/**
 * @param id as `canonicalPost` gives it
 * @throws {StatsError}
 */
export async function readPost(
  stats: Stats,
  posts: Posts,
  id: string,
  question: Question,
): Promise<Loaded<Post>> {
  const [{ timezone, to: today }, status, site, total, { names, from }] = await Promise.all([
    stats.postDays(id, { days: 1 }),
    stats.status(),
    stats.siteViews(),
    stats.postViews(id),
    posts.names([id]),
  ])
  const ranges = rangesOf(question.period, today)
  const isToCome = ranges.period.from > today
  const [days, referrers] = isToCome
    ? [null, null]
    : await Promise.all([
        stats.postDays(id, ranges.asked),
        stats.postReferrers(id, { ...ranges.period, limit: ASKED_REFERRERS }),
      ])
  const { as_of: countedAt, offsets, timezone: zoneName, zone_rules: _rules, ...counting } = status
  // Before the site's first view nothing was counted. After it, a post without views had none.
  const firstDay = site.first_viewed_at === null ? null : dayOf(site.first_viewed_at, offsets)
  const place = { timezone, today, firstDay }
  const trend =
    days === null ? trendToCome(ranges, place) : trendOf(days.days, ranges, place, question.compare)
  const minutes = counting.minutes.map(({ minute }) => minute)
  return {
    asOf: oldest(countedAt, site.as_of, total.as_of, days?.as_of ?? countedAt, referrers?.as_of ?? countedAt),
    data: {
      name: names.get(id) ?? null,
      names: from,
      total: {
        views: total.views,
        first_viewed_at: total.first_viewed_at,
        last_viewed_at: total.last_viewed_at,
      },
      trend,
      zone: {
        timezone: zoneName,
        offsets: clocksFrom(offsets, oldest(countedAt, total.first_viewed_at ?? countedAt, ...minutes)),
      },
      counting,
      referrers: referrers === null ? [] : shownReferrers(referrers, trend.sums),
    },
  }
}
