/** Reads what the overview shows. */

import type { SiteDays, SiteReferrers, Stats } from '@postviews/client/src/index.ts'
import type { Loaded } from './answers.ts'
import { clocksFrom } from './clocks.ts'
import { foundRows, type List, otherPosts, topRows } from './lists.ts'
import type { Overview } from './pages/model.ts'
import type { Question } from './pages/question.ts'
import type { Posts } from './posts.ts'
import { ASKED_REFERRERS, shownReferrers } from './referrers.ts'
import { dayOf, rangesOf, trendOf, trendToCome } from './trend.ts'

/** @throws {StatsError} */
export async function readOverview(
  stats: Stats,
  posts: Posts,
  question: Question,
): Promise<Loaded<Overview>> {
  // What day it is depends on the time zone that Analytics counts in.
  const [{ timezone, to: today }, status, site] = await Promise.all([
    stats.siteDays({ days: 1 }),
    stats.status(),
    stats.siteViews(),
  ])
  const ranges = rangesOf(question.period, today)
  const { period, shown } = ranges
  const isToCome = period.from > today
  const [days, referrers, list]: [Pick<SiteDays, 'days' | 'as_of'>, SiteReferrers | null, List] = isToCome
    ? [{ days: [], as_of: status.as_of }, null, await emptyList(posts, status.as_of)]
    : await Promise.all([
        stats.siteDays(ranges.asked),
        stats.siteReferrers({ ...period, limit: ASKED_REFERRERS }),
        question.search === ''
          ? topRows(stats, posts, { period, shown, today }, question.page)
          : foundRows(stats, posts, { period, shown, today }, question.search),
      ])
  const { as_of: countedAt, offsets, timezone: zoneName, zone_rules: _rules, ...counting } = status
  const { asOf: listedAt, viewedPosts, ...listed } = list
  const firstDay = site.first_viewed_at === null ? null : dayOf(site.first_viewed_at, offsets)
  const place = { timezone, today, firstDay }
  const trend = isToCome ? trendToCome(ranges, place) : trendOf(days.days, ranges, place, question.compare)
  return {
    asOf: oldest(countedAt, site.as_of, days.as_of, referrers?.as_of ?? countedAt, listedAt),
    data: {
      ...listed,
      others: otherPosts(listed.posts, viewedPosts, trend.sums),
      trend,
      zone: {
        timezone: zoneName,
        offsets: clocksFrom(offsets, oldest(countedAt, ...counting.minutes.map(({ minute }) => minute))),
      },
      counting,
      referrers: referrers === null ? [] : shownReferrers(referrers, trend.sums),
    },
  }
}

/** Compares the times as texts: Analytics writes them so that both orders are the same. */
export function oldest(...times: string[]): string {
  return times.reduce((a, b) => (b < a ? b : a))
}

async function emptyList(posts: Posts, asOf: string): Promise<List> {
  const { from: names } = await posts.names([])
  return { posts: [], totalPosts: 0, viewedPosts: 0, mayBeMore: false, mostViews: 0, names, asOf }
}
