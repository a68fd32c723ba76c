/**
 * Lists as files: the whole list, not only the page on the screen. A list may have a million rows, so it is read and sent
 * page by page. A page that cannot be read ends the connection, so that nobody takes a part for the whole.
 */

import type { DimensionName } from '@postviews/client/src/figures.ts'
import type { SiteBreakdown, Stats, TopPosts } from '@postviews/client/src/index.ts'
import { rowOf, rowsOf } from './breakdowns.ts'
import { otherPostsCsv, postsCsv, postsHead, valuesCsv, valuesHead } from './csv.ts'
import { foundRows, type ListQuestion, otherPosts, sortOf, topPeriod, viewsLeft } from './lists.ts'
import { readCalendar } from './numbers.ts'
import type { PostName, Sums, ValueRow } from './pages/model.ts'
import { type DayRange, isOfMachines, type Question } from './pages/question.ts'
import type { Posts } from './posts.ts'
import { inOneCall, subjectOf } from './subject.ts'
import { type Ranges, rangesOf, sumsOf } from './trend.ts'

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
 * All posts that were viewed in the period, or those that a search found, in the order of the page.
 *
 * @throws {StatsError} when not even the first page is there
 * @throws {StillToCome}
 */
export async function postsDownload(stats: Stats, posts: Posts, question: Question): Promise<Download> {
  const asked = await askedOf(stats, question)
  const { period } = asked.ranges
  const site = subjectOf(stats, null)
  const sums = async () => sumsOf((await site.days(period, question.who)).days)
  const nameOf = (list: string) => fileName(null, list + ofWho(question), period, asked.timezone)
  if (question.search === '') {
    const sort = sortOf(asked)
    const ask = (offset: number) =>
      stats.topPosts({
        ...topPeriod(asked),
        who: question.who,
        sort,
        order: question.order,
        limit: PAGE_ROWS,
        offset,
      })
    const first = await ask(0)
    return { name: nameOf('posts'), parts: allPosts(posts, ask, first, sums, sort === 'change') }
  }
  const found = await foundRows(stats, posts, asked, question.search)
  const other = otherPosts(found.posts, found.viewedPosts, await sums())
  const text = postsHead(false) + postsCsv(found.posts, false) + (other === null ? '' : otherPostsCsv(other))
  return { name: nameOf('found-posts'), parts: inOnePart(text) }
}

async function* allPosts(
  posts: Posts,
  ask: (offset: number) => Promise<TopPosts<number | null>>,
  first: TopPosts<number | null>,
  sums: () => Promise<Sums>,
  hasChange: boolean,
): AsyncGenerator<string> {
  yield postsHead(hasChange)
  const newOf = rowsOnce<TopPosts<number | null>['posts'][number]>(({ post_uuid }) => post_uuid)
  // Sums of the rows so far, as if they were one post: the rows themselves are not kept.
  const written = { count: 0, views: 0 as number | null, unique_views: 0 as number | null }
  const add = (a: number | null, b: number | null) => (a === null || b === null ? null : a + b)
  let hasNames = true
  for (let page = first, offset = 0; ; page = await ask(offset)) {
    const rows = newOf(page.posts)
    let names = new Map<string, PostName>()
    if (hasNames) {
      const told = await posts.names(rows.map(({ post_uuid }) => post_uuid))
      // If the titles stopped here, the remaining posts would seem to have none.
      if (told.from === 'away' && offset > 0) throw new Error('the posts service no longer answers')
      hasNames = told.from === 'known'
      if (hasNames) names = told.names
    }
    yield postsCsv(
      rows.map(({ post_uuid: id, views, unique_views, change = null }) => ({
        ...{ id, views, unique_views, change },
        name: names.get(id) ?? null,
      })),
      hasChange,
    )
    for (const { views, unique_views } of rows) {
      written.count++
      written.views = add(written.views, views)
      written.unique_views = add(written.unique_views, unique_views)
    }
    offset += page.posts.length
    if (page.posts.length === PAGE_ROWS) continue
    const left = viewsLeft([written], await sums())
    const others = Math.max(0, page.total - written.count)
    if (others > 0 || left.views !== 0) yield otherPostsCsv({ posts: others, ...left })
    return
  }
}

/**
 * All values of a dimension, of the site or of a post, most views first; then a line for each other kind.
 *
 * @throws {StatsError} when not even the first page is there
 * @throws {StillToCome}
 */
export async function valuesDownload(
  stats: Stats,
  { post, dimension }: { post: string | null; dimension: DimensionName },
  question: Question,
): Promise<Download> {
  const { ranges, timezone } = await askedOf(stats, question)
  const range = inOneCall(ranges.period)
  const who = isOfMachines(dimension) ? 'bots' : question.who
  const subject = subjectOf(stats, post)
  const ask = (offset: number) => subject.breakdown(dimension, { ...range, who, limit: PAGE_ROWS, offset })
  const first = await ask(0)
  const list = dimension + (isOfMachines(dimension) ? '' : ofWho(question))
  return { name: fileName(post, list, range, timezone), parts: allValues(ask, first) }
}

async function* allValues(
  ask: (offset: number) => Promise<SiteBreakdown>,
  first: SiteBreakdown,
): AsyncGenerator<string> {
  yield valuesHead(first.dimension)
  const newOf = rowsOnce<ValueRow>(({ kind, value }) => `${kind} ${value ?? ''}`)
  let listedViews = 0
  let ownViews = 0
  for (let page = first, offset = 0; ; page = await ask(offset)) {
    const rows = newOf(rowsOf(page))
    const own = rows.filter(({ kind }) => kind === 'internal')
    listedViews += sumViews(rows)
    ownViews += sumViews(own)
    yield valuesCsv(rows.filter(({ kind }) => kind !== 'internal'))
    offset += page.values.length
    if (page.values.length === PAGE_ROWS) continue
    // A page and its `other` are all views of the period, so views that no page lists are of values that were not kept.
    const known = page.other.views === null ? null : sumViews(page.values) + page.other.views
    yield valuesCsv([
      ...rowOf('other', known === null ? null : Math.max(0, known - listedViews)),
      ...rowOf('internal', ownViews),
      ...rowOf('unknown', page.unknown.views),
    ])
    return
  }
}

/** What day it is depends on the time zone that Analytics counts in. */
async function askedOf(
  stats: Stats,
  question: Question,
): Promise<ListQuestion & { timezone: string; ranges: Ranges }> {
  const { timezone, today, firstDay } = await readCalendar(stats, question)
  const ranges = rangesOf(question, today, firstDay)
  if (ranges.period.from > today) throw new StillToCome('these days are still to come')
  return { ...question, ranges, today, timezone }
}

/** In the name of a file: whose views it counts, if not those of people. */
export function ofWho({ who }: Question): string {
  return { people: '', all: '-of-all', bots: '-of-machines' }[who]
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

function sumViews(rows: readonly { views: number | null }[]): number {
  return rows.reduce((sum, { views }) => sum + (views ?? 0), 0)
}

async function* inOnePart(text: string): AsyncGenerator<string> {
  yield text
}
