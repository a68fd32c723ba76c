/** Reads what the overview shows. */

import type { Stats } from '@postviews/client/src/index.ts'
import type { Loaded } from './answers.ts'
import { foundRows, type List, otherPosts, topRows } from './lists.ts'
import { countingOf, oldest, readCalendar, readNumbers } from './numbers.ts'
import type { Overview, TrendingRow } from './pages/model.ts'
import type { Question } from './pages/question.ts'
import type { Posts } from './posts.ts'
import { rangesOf } from './trend.ts'

const MAX_TRENDING = 5

/** @throws {StatsError} */
export async function readOverview(
  stats: Stats,
  posts: Posts,
  question: Question,
): Promise<Loaded<Overview>> {
  const calendar = await readCalendar(stats, question)
  const ranges = rangesOf(question, calendar.today, calendar.firstDay)
  const asked = { ...question, ranges, today: calendar.today }
  const [numbers, list, trending] = await Promise.all([
    readNumbers(stats, posts, calendar, { post: null, question, cards: ['sources', 'places', 'devices'] }),
    ranges.period.from > calendar.today
      ? emptyList(posts, calendar.asOf)
      : question.search === ''
        ? topRows(stats, posts, asked, question.page)
        : foundRows(stats, posts, asked, question.search),
    readTrending(stats, posts, question),
  ])
  const { trend, lists } = numbers
  const { asOf: listedAt, viewedPosts, ...listed } = list
  return {
    asOf: oldest(numbers.asOf, listedAt, trending.asOf),
    data: {
      ...listed,
      hasChange: ranges.hasChange,
      others: otherPosts(listed.posts, viewedPosts, trend.sums),
      trend,
      lists,
      trending: trending.rows,
      ...countingOf(calendar, trend),
    },
  }
}

async function readTrending(
  stats: Stats,
  posts: Posts,
  { who }: Question,
): Promise<{ rows: TrendingRow[] | null; asOf: string }> {
  const told = await stats.trendingPosts({ who, limit: MAX_TRENDING })
  const { names } = await posts.names(told.posts.map(({ post_uuid }) => post_uuid))
  const rows = told.posts.map(({ post_uuid: id, last_24h, usual_24h }) => ({
    id,
    name: names.get(id) ?? null,
    last_24h,
    usual_24h,
  }))
  // Where the hours of today are not known, nobody can tell.
  const isUnknown = rows.length === 0 && told.details_since !== null
  return { rows: isUnknown ? null : rows, asOf: told.as_of }
}

async function emptyList(posts: Posts, asOf: string): Promise<List> {
  const { from: names } = await posts.names([])
  return { posts: [], totalPosts: 0, viewedPosts: 0, mayBeMore: false, mostViews: 0, names, asOf }
}
