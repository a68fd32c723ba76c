/** Reads what the page of a post shows. */

import type { Stats } from '@postviews/client'
import type { Loaded } from './answers.ts'
import { clocksFrom } from './clocks.ts'
import { oldest } from './overview.ts'
import type { Post } from './pages/model.ts'
import type { Question } from './pages/question.ts'
import type { Posts } from './posts.ts'
import { ASKED_REFERRERS, shownReferrers } from './referrers.ts'
import { rangesOf, trendOf } from './trend.ts'

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
  const [{ timezone, to: today }, status, total, { names, from }] = await Promise.all([
    stats.postDays(id, { days: 1 }),
    stats.status(),
    stats.postViews(id),
    posts.names([id]),
  ])
  const ranges = rangesOf(question.period, today)
  const [days, referrers] = await Promise.all([
    stats.postDays(id, ranges.asked),
    stats.postReferrers(id, { ...ranges.period, limit: ASKED_REFERRERS }),
  ])
  const { as_of: countedAt, offsets, timezone: zoneName, zone_rules: _rules, ...counting } = status
  const minutes = counting.minutes.map(({ minute }) => minute)
  return {
    asOf: oldest(countedAt, total.as_of, days.as_of, referrers.as_of),
    data: {
      name: names.get(id) ?? null,
      names: from,
      total: {
        views: total.views,
        first_viewed_at: total.first_viewed_at,
        last_viewed_at: total.last_viewed_at,
      },
      trend: trendOf(days.days, ranges, { timezone, today }, question.compare),
      zone: {
        timezone: zoneName,
        offsets: clocksFrom(offsets, oldest(countedAt, total.first_viewed_at ?? countedAt, ...minutes)),
      },
      counting,
      referrers: shownReferrers(referrers.referrers),
    },
  }
}
