/** Reads what the overview shows. */

import { canonicalPost, type Stats } from '@postviews/client'
import type { Loaded } from './answers.ts'
import { clocksFrom } from './clocks.ts'
import { idsWith, SEARCHED_POSTS } from './ids.ts'
import type { DayFigures, Names, Overview, PostRow } from './pages/model.ts'
import { ROWS_PER_PAGE } from './pages/model.ts'
import { type Day, type DayRange, daysBetween, MAX_PERIOD_DAYS, type Question } from './pages/question.ts'
import type { Posts } from './posts.ts'
import { ASKED_REFERRERS, shownReferrers } from './referrers.ts'
import { rangesOf, sparkOf, sumOf, trendOf, within } from './trend.ts'

/** @throws {StatsError} */
export async function readOverview(
  stats: Stats,
  posts: Posts,
  question: Question,
): Promise<Loaded<Overview>> {
  // What day it is depends on the time zone that Analytics counts in.
  const [{ timezone, to: today }, status] = await Promise.all([stats.siteDays({ days: 1 }), stats.status()])
  const ranges = rangesOf(question.period, today)
  const [days, referrers, list] = await Promise.all([
    stats.siteDays(ranges.asked),
    stats.siteReferrers({ ...ranges.period, limit: ASKED_REFERRERS }),
    question.search === ''
      ? topRows(stats, posts, ranges.period, ranges.shown, question.page, today)
      : foundRows(stats, posts, ranges.period, ranges.shown, question.search, today),
  ])
  const { as_of: countedAt, offsets, timezone: zoneName, zone_rules: _rules, ...counting } = status
  const { asOf: listedAt, ...listed } = list
  return {
    asOf: oldest(countedAt, days.as_of, referrers.as_of, listedAt),
    data: {
      ...listed,
      trend: trendOf(days.days, ranges, { timezone, today }, question.compare),
      zone: {
        timezone: zoneName,
        offsets: clocksFrom(offsets, oldest(countedAt, ...counting.minutes.map(({ minute }) => minute))),
      },
      counting,
      referrers: shownReferrers(referrers.referrers),
    },
  }
}

/** Times as Analytics writes them order like texts. */
export function oldest(...times: string[]): string {
  return times.reduce((a, b) => (b < a ? b : a))
}

interface List {
  posts: PostRow[]
  totalPosts: number
  names: Names
  asOf: string
}

async function topRows(
  stats: Stats,
  posts: Posts,
  period: DayRange,
  shown: DayRange,
  page: number,
  today: Day,
): Promise<List> {
  const top = await stats.topPosts({ ...period, limit: ROWS_PER_PAGE, offset: (page - 1) * ROWS_PER_PAGE })
  const ids = top.posts.map(post => post.post_uuid)
  const [days, { names, from }] = await Promise.all([daysOfPosts(stats, ids, shown, today), posts.names(ids)])
  return {
    posts: top.posts.map(({ post_uuid: id, views, unique_views }) => ({
      id,
      name: names.get(id) ?? null,
      views,
      unique_views,
      spark: sparkOf(days.get(id) ?? [], today),
    })),
    totalPosts: top.total,
    names: from,
    asOf: top.as_of,
  }
}

/** Posts by a part of their title or id, most views first. */
async function foundRows(
  stats: Stats,
  posts: Posts,
  period: DayRange,
  shown: DayRange,
  search: string,
  today: Day,
): Promise<List> {
  const [found, top] = await Promise.all([
    posts.search(search),
    stats.topPosts({ ...period, limit: SEARCHED_POSTS }),
  ])
  const typedId = canonicalPost(search)
  const viewedIds = top.posts.map(({ post_uuid }) => post_uuid)
  const ids = [
    ...new Set([...(typedId === undefined ? [] : [typedId]), ...found.ids, ...idsWith(search, viewedIds)]),
  ]
  if (ids.length === 0) {
    return { posts: [], totalPosts: 0, names: found.from, asOf: top.as_of }
  }
  const [totals, days, { names, from }] = await Promise.all([
    stats.postsViews(ids),
    daysOfPosts(stats, ids, shown, today),
    posts.names(ids),
  ])
  const rows = totals.posts
    // Any word may be an id: that of no post that somebody viewed, or knows, is just a word.
    .filter(({ post_uuid: id, views }) => views > 0 || names.has(id))
    .map(({ post_uuid: id }) => {
      const ofPost = days.get(id) ?? []
      const inPeriod = within(ofPost, period)
      return {
        id,
        name: names.get(id) ?? null,
        views: sumOf(inPeriod, 'views').value ?? 0,
        unique_views: sumOf(inPeriod, 'unique_views').value,
        spark: sparkOf(ofPost, today),
      }
    })
    .toSorted((a, b) => b.views - a.views)
  return {
    posts: rows,
    totalPosts: rows.length,
    names: found.from === 'away' ? 'away' : from,
    asOf: totals.as_of,
  }
}

/** What Analytics tells in one call: posts times days. */
const MAX_POST_DAYS = 20_000

/** In few calls, which reach back from today; only for what lies further back than those go, in one for each post. */
async function daysOfPosts(
  stats: Stats,
  ids: readonly string[],
  { from, to }: DayRange,
  today: Day,
): Promise<Map<string, DayFigures[]>> {
  if (ids.length === 0) return new Map()
  const count = daysBetween(from, today) + 1
  if (count >= 1 && count <= MAX_PERIOD_DAYS) {
    const inCall = Math.floor(MAX_POST_DAYS / count)
    const calls = Array.from({ length: Math.ceil(ids.length / inCall) }, (_, index) =>
      stats.postsViews(ids.slice(index * inCall, (index + 1) * inCall), { days: count }),
    )
    const told = (await Promise.all(calls)).flatMap(({ posts }) => posts)
    return new Map(told.map(({ post_uuid, days = [] }) => [post_uuid, within(days, { from, to })]))
  }
  const answers = await Promise.all(ids.map(id => stats.postDays(id, { from, to })))
  return new Map(answers.map(({ post_uuid, days }) => [post_uuid, days]))
}
