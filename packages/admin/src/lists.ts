/** The lists of posts: a page of all posts, or the results of a search, each with its rank among all. */

import { canonicalPost, type Stats } from '@postviews/client/src/index.ts'
import { idsWith } from './ids.ts'
import type { DayFigures, Names, OtherPosts, PostRow, Sum, Sums } from './pages/model.ts'
import { RANKED_POSTS, ROWS_PER_PAGE } from './pages/model.ts'
import { type Day, type DayRange, daysBetween, MAX_PERIOD_DAYS } from './pages/question.ts'
import { MAX_FOUND, type Posts } from './posts.ts'
import { sparkOf, sumOf, within } from './trend.ts'

export interface List {
  posts: PostRow[]
  /** How many posts the list has on all its pages, or the search has found. */
  totalPosts: number
  /** How many posts were viewed in the period, whatever the search. */
  viewedPosts: number
  mayBeMore: boolean
  mostViews: number
  names: Names
  asOf: string
}

export interface ListQuestion {
  period: DayRange
  /** The days of the sparklines. */
  shown: DayRange
  today: Day
}

/** @throws {StatsError} */
export async function topRows(
  stats: Stats,
  posts: Posts,
  { period, shown, today }: ListQuestion,
  page: number,
): Promise<List> {
  const offset = (page - 1) * ROWS_PER_PAGE
  const [top, first] = await Promise.all([
    stats.topPosts({ ...period, limit: ROWS_PER_PAGE, offset }),
    page === 1 ? null : stats.topPosts({ ...period, limit: 1 }),
  ])
  const ids = top.posts.map(post => post.post_uuid)
  const [days, { names, from }] = await Promise.all([daysOfPosts(stats, ids, shown, today), posts.names(ids)])
  return {
    posts: top.posts.map(({ post_uuid: id, views, unique_views }, index) => ({
      id,
      rank: offset + index + 1,
      name: names.get(id) ?? null,
      views,
      unique_views,
      spark: sparkOf(days.get(id) ?? [], today),
    })),
    totalPosts: top.total,
    viewedPosts: top.total,
    mayBeMore: false,
    mostViews: (first ?? top).posts[0]?.views ?? 0,
    names: from,
    asOf: top.as_of,
  }
}

/**
 * Posts by a part of their title or id, most views first.
 *
 * @throws {StatsError}
 */
export async function foundRows(
  stats: Stats,
  posts: Posts,
  { period, shown, today }: ListQuestion,
  search: string,
): Promise<List> {
  const [found, top] = await Promise.all([
    posts.search(search),
    stats.topPosts({ ...period, limit: RANKED_POSTS }),
  ])
  const typedId = canonicalPost(search)
  const withId = idsWith(
    search,
    top.posts.map(({ post_uuid }) => post_uuid),
  )
  const ids = [...new Set([...(typedId === undefined ? [] : [typedId]), ...found.ids, ...withId])]
  const common = {
    viewedPosts: top.total,
    mayBeMore: found.ids.length >= MAX_FOUND || withId.length >= MAX_FOUND,
    mostViews: top.posts[0]?.views ?? 0,
  }
  if (ids.length === 0) {
    return { ...common, posts: [], totalPosts: 0, names: found.from, asOf: top.as_of }
  }
  const [totals, days, { names, from }] = await Promise.all([
    stats.postsViews(ids),
    daysOfPosts(stats, ids, shown, today),
    posts.names(ids),
  ])
  const ranks = new Map(top.posts.map(({ post_uuid }, index) => [post_uuid, index + 1]))
  const rows = totals.posts
    // Any word may be an id. Without views and without a title, it is just a word.
    .filter(({ post_uuid: id, views }) => views > 0 || names.has(id))
    .map(({ post_uuid: id }) => {
      const ofPost = days.get(id) ?? []
      const inPeriod = within(ofPost, period)
      return {
        id,
        rank: ranks.get(id) ?? null,
        name: names.get(id) ?? null,
        views: sumOf(inPeriod, 'views').value ?? 0,
        unique_views: wholeOf(sumOf(inPeriod, 'unique_views')),
        spark: sparkOf(ofPost, today),
      }
    })
    .toSorted((a, b) => b.views - a.views || (a.id < b.id ? -1 : 1))
  return {
    ...common,
    posts: rows,
    totalPosts: rows.length,
    names: found.from === 'away' ? 'away' : from,
    asOf: totals.as_of,
  }
}

/** Null if the sum covers only a part of the period. */
function wholeOf({ value, since }: Sum): number | null {
  return since === null ? value : null
}

/** The posts that the rows leave out, with their views; null if there are none. */
export function otherPosts(
  rows: readonly Pick<PostRow, 'views' | 'unique_views'>[],
  viewedPosts: number,
  sums: Pick<Sums, 'views' | 'unique_views'>,
): OtherPosts | null {
  const posts = viewedPosts - rows.filter(({ views }) => views > 0).length
  return posts <= 0 ? null : { posts, ...viewsLeft(rows, sums) }
}

/** The sums without the rows. */
export function viewsLeft(
  rows: readonly Pick<PostRow, 'views' | 'unique_views'>[],
  sums: Pick<Sums, 'views' | 'unique_views'>,
): Pick<OtherPosts, 'views' | 'unique_views'> {
  return {
    // The rows may be a moment newer than the sums.
    views: Math.max(0, (sums.views.value ?? 0) - rows.reduce((sum, { views }) => sum + views, 0)),
    unique_views: uniqueViewsLeft(rows, sums),
  }
}

/** Null where any of it is unknown. */
function uniqueViewsLeft(
  rows: readonly Pick<PostRow, 'unique_views'>[],
  { unique_views: all }: Pick<Sums, 'unique_views'>,
): number | null {
  let rest = wholeOf(all)
  if (rest === null) return null
  for (const { unique_views } of rows) {
    if (unique_views === null) return null
    rest -= unique_views
  }
  return Math.max(0, rest)
}

/** Posts times days in one call: less than Analytics allows, so that it reads them within some milliseconds. */
const POST_DAYS_OF_CALL = 4_000

/** Asks in few calls, which reach back from today; if the days are too long ago for that, in one call per post. */
async function daysOfPosts(
  stats: Stats,
  ids: readonly string[],
  { from, to }: DayRange,
  today: Day,
): Promise<Map<string, DayFigures[]>> {
  if (ids.length === 0) return new Map()
  const count = daysBetween(from, today) + 1
  if (count >= 1 && count <= MAX_PERIOD_DAYS) {
    const inCall = Math.floor(POST_DAYS_OF_CALL / count)
    const told = new Map<string, DayFigures[]>()
    // One after the other: two at once would be read in one turn of the event loop.
    for (let first = 0; first < ids.length; first += inCall) {
      const { posts } = await stats.postsViews(ids.slice(first, first + inCall), { days: count })
      for (const { post_uuid, days = [] } of posts) told.set(post_uuid, within(days, { from, to }))
    }
    return told
  }
  const answers = await Promise.all(ids.map(id => stats.postDays(id, { from, to })))
  return new Map(answers.map(({ post_uuid, days }) => [post_uuid, days]))
}
