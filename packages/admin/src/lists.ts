/** The lists of posts: a page of all posts, or the results of a search, each with its rank among all. */

import { canonicalPost, type Stats } from '@postviews/client/src/index.ts'
import { idsWith } from './ids.ts'
import type { DayFigures, Names, OtherPosts, PostName, PostRow, Sum, Sums } from './pages/model.ts'
import { RANKED_POSTS, ROWS_PER_PAGE } from './pages/model.ts'
import {
  type Day,
  type DayRange,
  daysBetween,
  MAX_PERIOD_DAYS,
  type Question,
  type Who,
} from './pages/question.ts'
import { MAX_FOUND, type Posts } from './posts.ts'
import { lengthOf, type Ranges, rightBefore, sparkOf, sumOf, within } from './trend.ts'

export interface List {
  posts: PostRow[]
  /** How many posts the list has on all its pages, or the search has found. */
  totalPosts: number
  /** How many posts were viewed in the period, whatever the search; null: the list has others, too. */
  viewedPosts: number | null
  mayBeMore: boolean
  mostViews: number
  names: Names
  asOf: string
}

export type ListQuestion = Pick<Question, 'period' | 'who' | 'sort' | 'order'> & {
  ranges: Pick<Ranges, 'period' | 'sparks' | 'hasChange'>
  today: Day
}

/** Analytics lists the posts of any number of days only if these are all days. */
export function topPeriod({ period, ranges }: Pick<ListQuestion, 'period' | 'ranges'>) {
  return period === 'all' ? { period } : ranges.period
}

/** Where nothing is before the period, there is no change to sort by. */
export function sortOf({ ranges, sort }: Pick<ListQuestion, 'ranges' | 'sort'>): Question['sort'] {
  return sort === 'change' && !ranges.hasChange ? 'views' : sort
}

/** @throws {StatsError} */
export async function topRows(stats: Stats, posts: Posts, asked: ListQuestion, page: number): Promise<List> {
  const { who, order, today } = asked
  const sort = sortOf(asked)
  const offset = (page - 1) * ROWS_PER_PAGE
  const hasMost = page === 1 && sort === 'views' && order === 'desc'
  const [top, first] = await Promise.all([
    stats.topPosts({ ...topPeriod(asked), who, sort, order, limit: ROWS_PER_PAGE, offset }),
    hasMost ? null : stats.topPosts({ ...topPeriod(asked), who, limit: 1 }),
  ])
  const ids = top.posts.map(post => post.post_uuid)
  const [days, { names, from }] = await Promise.all([
    daysOfPosts(stats, ids, daysOfRows(asked.ranges), who, today),
    posts.names(ids),
  ])
  return {
    posts: top.posts.map((post, index) => ({
      ...rowOf(post.post_uuid, days.get(post.post_uuid) ?? [], names, asked),
      rank: offset + index + 1,
      views: post.views,
      unique_views: post.unique_views,
      ...(sort === 'change' && { change: post.change ?? null }),
    })),
    totalPosts: top.total,
    // Sorted by change, the list has the posts of the days before, too.
    viewedPosts: sort === 'change' ? (first?.total ?? null) : top.total,
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
  asked: ListQuestion,
  search: string,
): Promise<List> {
  const { who, today } = asked
  const [found, top] = await Promise.all([
    posts.search(search),
    stats.topPosts({ ...topPeriod(asked), who, limit: RANKED_POSTS }),
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
    stats.postsViews(ids, { who: 'all' }),
    daysOfPosts(stats, ids, daysOfRows(asked.ranges), who, today),
    posts.names(ids),
  ])
  const ranks = new Map(top.posts.map(({ post_uuid }, index) => [post_uuid, index + 1]))
  const rows = totals.posts
    // Any word may be an id. Without views and without a title, it is just a word.
    .filter(({ post_uuid: id, views }) => views !== 0 || names.has(id))
    .map(({ post_uuid: id }) => {
      const ofPost = days.get(id) ?? []
      const inPeriod = within(ofPost, asked.ranges.period)
      return {
        ...rowOf(id, ofPost, names, asked),
        rank: ranks.get(id) ?? null,
        views: wholeOf(sumOf(inPeriod, 'views')),
        unique_views: wholeOf(sumOf(inPeriod, 'unique_views')),
      }
    })
    .toSorted((a, b) => (b.views ?? -1) - (a.views ?? -1) || (a.id < b.id ? -1 : 1))
  return {
    ...common,
    posts: rows,
    totalPosts: rows.length,
    names: found.from === 'away' ? 'away' : from,
    asOf: totals.as_of,
  }
}

/** The days of a row's line, and of its change, if Analytics gives that many at once. */
function daysOfRows({ period, sparks, hasChange }: ListQuestion['ranges']): DayRange {
  const { from } = rightBefore(period)
  const all = { from: from < sparks.from ? from : sparks.from, to: sparks.to }
  return hasChange && lengthOf(all) <= MAX_PERIOD_DAYS ? all : sparks
}

function rowOf(
  id: string,
  days: readonly DayFigures[],
  names: ReadonlyMap<string, PostName>,
  { ranges: { period, sparks, hasChange }, today }: ListQuestion,
) {
  const viewsIn = (range: DayRange) => {
    const found = within(days, range)
    return found.length < lengthOf(range) ? null : wholeOf(sumOf(found, 'views'))
  }
  const [now, before] = hasChange ? [viewsIn(period), viewsIn(rightBefore(period))] : [null, null]
  return {
    id,
    name: names.get(id) ?? null,
    change: now === null || before === null ? null : now - before,
    spark: sparkOf(within(days, sparks), today),
  }
}

/** Null if the sum covers only a part of the period. */
function wholeOf({ value, since }: Sum): number | null {
  return since === null ? value : null
}

type Counts = Pick<PostRow, 'views' | 'unique_views'>

/** The posts that the rows leave out, with their views; null if there are none, or nobody knows how many. */
export function otherPosts(
  rows: readonly Counts[],
  viewedPosts: number | null,
  sums: Pick<Sums, 'views' | 'unique_views'>,
): OtherPosts | null {
  if (viewedPosts === null) return null
  const posts = viewedPosts - rows.filter(({ views }) => views !== 0).length
  return posts <= 0 ? null : { posts, ...viewsLeft(rows, sums) }
}

/** The sums without the rows; null where any of it is unknown. */
export function viewsLeft(rows: readonly Counts[], sums: Pick<Sums, 'views' | 'unique_views'>): Counts {
  return { views: left(rows, sums, 'views'), unique_views: left(rows, sums, 'unique_views') }
}

function left(
  rows: readonly Counts[],
  sums: Pick<Sums, 'views' | 'unique_views'>,
  name: keyof Counts,
): number | null {
  let rest = wholeOf(sums[name])
  for (const row of rows) {
    const count = row[name]
    if (rest === null || count === null) return null
    rest -= count
  }
  // The rows may be a moment newer than the sums.
  return rest === null ? null : Math.max(0, rest)
}

/** Posts times days in one call: less than Analytics allows, so that it reads them within some milliseconds. */
const POST_DAYS_OF_CALL = 4_000

/** Asks in few calls, which reach back from today; if the days are too long ago for that, in one call per post. */
async function daysOfPosts(
  stats: Stats,
  ids: readonly string[],
  { from, to }: DayRange,
  who: Who,
  today: Day,
): Promise<Map<string, DayFigures[]>> {
  if (ids.length === 0) return new Map()
  const count = daysBetween(from, today) + 1
  if (count >= 1 && count <= MAX_PERIOD_DAYS) {
    const inCall = Math.floor(POST_DAYS_OF_CALL / count)
    const told = new Map<string, DayFigures[]>()
    // One after the other: two at once would be read in one turn of the event loop.
    for (let first = 0; first < ids.length; first += inCall) {
      const { posts } = await stats.postsViews(ids.slice(first, first + inCall), {
        days: count,
        who,
      })
      for (const { post_uuid, days = [] } of posts) told.set(post_uuid, within(days, { from, to }))
    }
    return told
  }
  const answers = await Promise.all(ids.map(id => stats.postDays(id, { from, to, who })))
  return new Map(answers.map(({ post_uuid, days }) => [post_uuid, days]))
}
