/**
 * Lists as files: the whole list, not only the page on the screen. A list may have a million rows, so it is read and sent
 * page by page. A page that cannot be read ends the connection, so that nobody takes a part for the whole.
 */

import type { Stats, TopPosts } from '@postviews/client/src/index.ts'
import { otherPostsCsv, POSTS_HEAD, postsCsv, REFERRERS_HEAD, referrersCsv } from './csv.ts'
import { foundRows, type ListQuestion, otherPosts, viewsLeft } from './lists.ts'
import type { PostName, Sums } from './pages/model.ts'
import type { DayRange, Question } from './pages/question.ts'
import type { Posts } from './posts.ts'
import { referrerRow, rowOf, unknownViews } from './referrers.ts'
import { rangesOf, sumsOf } from './trend.ts'

export interface Download {
  /** The file's name: `postviews-referrers-2026-11-01-to-2026-11-28-Europe-Warsaw.csv`. */
  name: string
  /** The text in parts, each read when it is needed; may reject with a `StatsError`, or any other. */
  parts: AsyncIterable<string>
}

/** The days are still to come, so there is nothing to put in a file. */
export class StillToCome extends Error {
  override name = 'StillToCome'
}

/**
 * @param post null: of the whole site
 * @param timezone IANA name of the zone that days are counted in
 */
export function fileName(
  post: string | null,
  list: string,
  { from, to }: DayRange,
  timezone: string,
): string {
  const zone = timezone.replaceAll(/[^\w+-]+/g, '-')
  return `postviews-${post === null ? '' : `post-${post}-`}${list}-${from}-to-${to}-${zone}.csv`
}

/** The most rows that Analytics lists at once. */
const PAGE_ROWS = 1_000

/**
 * All posts that were viewed in the period, or those that a search found, most views first.
 *
 * @throws {StatsError} when not even the first page is there
 * @throws {StillToCome}
 */
export async function postsDownload(stats: Stats, posts: Posts, question: Question): Promise<Download> {
  const asked = await askedOf(stats, null, question)
  const { period, timezone } = asked
  if (question.search === '') {
    const first = await stats.topPosts({ ...period, limit: PAGE_ROWS })
    return { name: fileName(null, 'posts', period, timezone), parts: allPosts(stats, posts, period, first) }
  }
  const found = await foundRows(stats, posts, asked, question.search)
  const other = otherPosts(found.posts, found.viewedPosts, await sumsOfDays(stats, null, period))
  const text = POSTS_HEAD + postsCsv(found.posts) + (other === null ? '' : otherPostsCsv(other))
  return { name: fileName(null, 'found-posts', period, timezone), parts: inOnePart(text) }
}

async function* allPosts(
  stats: Stats,
  posts: Posts,
  period: DayRange,
  first: TopPosts,
): AsyncGenerator<string> {
  yield POSTS_HEAD
  const newOf = rowsOnce<TopPosts['posts'][number]>(({ post_uuid }) => post_uuid)
  // Sums of the rows so far, as if they were one post: the rows themselves are not kept.
  const written = { count: 0, views: 0, unique_views: 0 as number | null }
  let hasNames = true
  for (let page = first, offset = 0; ; page = await stats.topPosts({ ...period, limit: PAGE_ROWS, offset })) {
    const rows = newOf(page.posts)
    let names = new Map<string, PostName>()
    if (hasNames) {
      const told = await posts.names(rows.map(({ post_uuid }) => post_uuid))
      // If the titles stopped here, the remaining posts would seem to have none.
      if (told.from === 'away' && offset > 0) throw new Error('the posts service no longer answers')
      hasNames = told.from === 'known'
      if (hasNames) names = told.names
    }
    yield postsCsv(rows.map(row => ({ ...row, id: row.post_uuid, name: names.get(row.post_uuid) ?? null })))
    for (const { views, unique_views } of rows) {
      written.count++
      written.views += views
      written.unique_views =
        unique_views === null || written.unique_views === null ? null : written.unique_views + unique_views
    }
    offset += page.posts.length
    if (page.posts.length === PAGE_ROWS) continue
    const left = viewsLeft([written], await sumsOfDays(stats, null, period))
    const others = Math.max(0, page.total - written.count)
    if (others > 0 || left.views > 0) yield otherPostsCsv({ posts: others, ...left })
    return
  }
}

/**
 * All hosts that readers came from, of the site or of a post, most views first; then a line for each other kind.
 *
 * @throws {StatsError} when not even the first page is there
 * @throws {StillToCome}
 */
export async function referrersDownload(
  stats: Stats,
  post: string | null,
  question: Question,
): Promise<Download> {
  const { period, timezone } = await askedOf(stats, post, question)
  const ask = (offset: number) => {
    const query = { ...period, limit: PAGE_ROWS, offset }
    return post === null ? stats.siteReferrers(query) : stats.postReferrers(post, query)
  }
  const first = await ask(0)
  return {
    name: fileName(post, 'referrers', period, timezone),
    parts: allReferrers(stats, post, period, ask, first),
  }
}

type ReferrersPage = Awaited<ReturnType<Stats['siteReferrers']>>

async function* allReferrers(
  stats: Stats,
  post: string | null,
  period: DayRange,
  ask: (offset: number) => Promise<ReferrersPage>,
  first: ReferrersPage,
): AsyncGenerator<string> {
  yield REFERRERS_HEAD
  const newOf = rowsOnce<ReferrersPage['referrers'][number]>(({ host }) => host ?? '')
  let listedViews = 0
  let ownViews = 0
  for (let page = first, offset = 0; ; page = await ask(offset)) {
    const rows = newOf(page.referrers).map(referrerRow)
    const own = rows.filter(({ kind }) => kind === 'internal')
    listedViews += sumViews(rows)
    ownViews += sumViews(own)
    yield referrersCsv(rows.filter(({ kind }) => kind !== 'internal'))
    offset += page.referrers.length
    if (page.referrers.length === PAGE_ROWS) continue
    // A page and its `other` are all views of the period, so views that no page lists are of hosts that were not kept.
    const knownViews = sumViews(page.referrers) + page.other.views
    yield referrersCsv([
      ...rowOf('other', Math.max(0, knownViews - listedViews)),
      ...rowOf('internal', ownViews),
      ...rowOf('unknown', unknownViews(knownViews, await sumsOfDays(stats, post, period))),
    ])
    return
  }
}

/** What day it is depends on the time zone that Analytics counts in. */
async function askedOf(
  stats: Stats,
  post: string | null,
  question: Question,
): Promise<ListQuestion & { timezone: string }> {
  const { timezone, to: today } = await daysOf(stats, post, { days: 1 })
  const { period, shown } = rangesOf(question.period, today)
  if (period.from > today) throw new StillToCome('these days are still to come')
  return { period, shown, today, timezone }
}

async function sumsOfDays(stats: Stats, post: string | null, period: DayRange): Promise<Sums> {
  return sumsOf((await daysOf(stats, post, period)).days)
}

function daysOf(stats: Stats, post: string | null, period: { days: number } | DayRange) {
  return post === null ? stats.siteDays(period) : stats.postDays(post, period)
}

/**
 * While a list is read, rows rise in it and push others to the next page, which would list them again. So a page
 * leaves out what the page before had. (A row that rose is among those that the list leaves out in the end.)
 */
function rowsOnce<Row>(keyOf: (row: Row) => string): (page: readonly Row[]) => Row[] {
  let before = new Set<string>()
  return page => {
    const rows = page.filter(row => !before.has(keyOf(row)))
    before = new Set(page.map(keyOf))
    return rows
  }
}

function sumViews(rows: readonly { views: number }[]): number {
  return rows.reduce((sum, { views }) => sum + views, 0)
}

async function* inOnePart(text: string): AsyncGenerator<string> {
  yield text
}
