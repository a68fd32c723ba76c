import { type StatsZone, zoneTime } from '@postviews/client/src/index.ts'
import { html } from 'htm/preact'
import type { VNode } from 'preact'
import type { Person } from '../people.ts'
import type { Post } from '../posts.ts'
import { type Counts, DEFAULT_DAYS, type Known, PERIODS, sumOf } from '../statistics.ts'
import { publishedOn } from './byline.ts'
import { layout } from './layout.ts'
import { sparkline } from './sparkline.ts'

export const SORTS = { newest: 'Newest', views: 'Views', unique: 'Unique views' } as const
export type Sort = keyof typeof SORTS

export interface DashboardQuestion {
  days: number
  sort: Sort
}

/** Whatever an address does not say, or says wrongly, has its default. */
export function readQuestion({ days, sort }: { days?: string; sort?: string }): DashboardQuestion {
  return {
    days: PERIODS.find(period => String(period) === days) ?? DEFAULT_DAYS,
    sort: Object.hasOwn(SORTS, sort ?? '') ? (sort as Sort) : 'newest',
  }
}

function toAddress({ days, sort }: DashboardQuestion, path = '/dashboard'): string {
  const query = new URLSearchParams({
    ...(days !== DEFAULT_DAYS && { days: String(days) }),
    ...(sort !== 'newest' && { sort }),
  })
  return query.size === 0 ? path : `${path}?${query}`
}

interface DashboardOptions {
  /** The author's own posts, newest first. */
  posts: readonly Post[]
  /** Null: unknown at the moment. */
  counts: Counts | null
  question: DashboardQuestion
  /** The zone whose days are counted; every day and time on this page is in it. */
  zone: StatsZone
  reader: Person
}

/** A post with what is known of the period; null: nothing is. */
export interface Row {
  post: Post
  views: Known
  unique: Known
  count: Counts['posts'][number] | null
}

const NOT_KNOWN: Known = { value: null, since: null }

/** In the order that is asked for; what is not known comes last. */
export function rowsOf(posts: readonly Post[], counts: Counts | null, sort: Sort): Row[] {
  const byId = new Map(counts?.posts.map(post => [post.post_uuid, post]))
  const rows = posts.map(post => {
    const count = byId.get(post.id) ?? null
    const sum = (name: 'views' | 'unique_views') =>
      count === null ? NOT_KNOWN : sumOf(count.days ?? [], name)
    return { post, views: sum('views'), unique: sum('unique_views'), count }
  })
  if (sort === 'newest') return rows
  return rows.toSorted((a, b) => (b[sort].value ?? -1) - (a[sort].value ?? -1))
}

// Plain dates have no zone.
const DAY = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeZone: 'UTC' })
const NUMBER = new Intl.NumberFormat('en')

export function dashboardPage({ posts, counts, question, zone, reader }: DashboardOptions): VNode {
  return layout({
    title: 'Dashboard',
    reader,
    path: '/dashboard',
    children: html`
      <header class="page-head">
        <h1>Your posts</h1>
        ${posts.length > 0 && summary(counts, question, zone)}
      </header>
      ${
        posts.length > 0
          ? table(rowsOf(posts, counts, question.sort), counts, question, zone)
          : html`<p>You have not published anything yet.</p>`
      }
    `,
  })
}

export const UNAVAILABLE = html`<p class="notice" role="status">
  <b>View counts are unavailable right now.</b> Views are still being collected and will be shown here as soon as they
  can be read.
</p>`

function summary(counts: Counts | null, question: DashboardQuestion, zone: StatsZone): VNode {
  if (counts === null) return UNAVAILABLE
  const allDays = counts.posts.flatMap(({ days }) => days ?? [])
  const inTotal = counts.posts.map(({ views }) => views)
  return html`
    <dl class="totals">
      <div>
        <dt>Views in ${question.days} days</dt>
        <dd>${shown(totalOf(allDays.map(({ views }) => views)))}</dd>
      </div>
      <div>
        <dt>Unique views in ${question.days} days</dt>
        <dd>${shown(totalOf(allDays.map(({ unique_views }) => unique_views)))}</dd>
      </div>
      <div>
        <dt>Views in total</dt>
        <dd>${shown(totalOf(inTotal))}</dd>
      </div>
    </dl>
    <nav class="choices" aria-label="Days">
      ${PERIODS.map(
        days =>
          html`<a href=${toAddress({ ...question, days })} aria-current=${days === question.days ? 'true' : undefined}>${days} days</a>`,
      )}
      <a href=${toAddress(question, '/dashboard.csv')} download>Download CSV</a>
    </nav>
    <p class="fine">
      Views by people; machines are not counted here. As of${' '}
      <time datetime=${counts.as_of}>${zoneTime(counts.as_of, zone)}</time>. Days are those of
      ${' '}${counts.timezone ?? zone.timezone}. Unique views: each reader counts once per post per day, or per shorter
      window if Analytics uses one.
    </p>
  `
}

function table(
  rows: readonly Row[],
  counts: Counts | null,
  question: DashboardQuestion,
  zone: StatsZone,
): VNode {
  const trendTitle = counts && `Last ${question.days} days`
  const head = (sort: Sort, text: string) =>
    html`<th scope="col" class=${sort === 'newest' ? '' : 'number'} aria-sort=${question.sort === sort ? 'descending' : undefined}>
      <a href=${toAddress({ ...question, sort })}>${text}${question.sort === sort && html`<span aria-hidden="true"> ▾</span>`}</a>
    </th>`
  return html`<table class="dashboard">
    <thead>
      <tr>
        ${head('newest', 'Post')} ${head('views', 'Views')} ${head('unique', 'Unique views')}
        <th scope="col" class="number">In total</th>
        ${trendTitle && html`<th scope="col">${trendTitle}</th>`}
      </tr>
    </thead>
    <tbody>
      ${rows.map(
        ({ post, views, unique, count }) => html`<tr>
          <th scope="row">
            <a href=${`/dashboard/posts/${post.slug}`}>${post.title}</a>
            ${publishedOn(post, zone)}
          </th>
          <td class="number" data-label="Views">${shown(views.value)}${sinceWhen(views.since)}</td>
          <td class="number" data-label="Unique views">${shown(unique.value)}${sinceWhen(unique.since)}</td>
          <td class="number" data-label="In total">${shown(count?.views)}</td>
          ${trendTitle && html`<td class="trend" data-label=${trendTitle}>${count?.days && sparkline(count.days)}</td>`}
        </tr>`,
      )}
    </tbody>
  </table>`
}

/** An unknown number is never shown as 0. */
export function shown(count: number | null | undefined): string | VNode {
  if (count !== null && count !== undefined) return NUMBER.format(count)
  return html`<span class="unknown"><span aria-hidden="true">–</span><span class="hidden">unavailable</span></span>`
}

/** Of older days the number may be unknown; then it covers fewer days. */
function sinceWhen(day: string | null): VNode | false {
  return day !== null && html`<small class="since">since ${DAY.format(new Date(day))}</small>`
}

function totalOf(numbers: readonly (number | null)[]): number | null {
  return numbers.reduce((total, number) => (total === null || number === null ? null : total + number), 0)
}

/** The table as a file; unknown is empty. */
export function dashboardCsv(rows: readonly Row[]): string {
  const lines = rows.map(({ post, views, unique, count }) => [
    post.title,
    post.publishedAt.toISOString(),
    known(views),
    known(unique),
    String(count?.views ?? ''),
  ])
  return [['title', 'published_at', 'views', 'unique_views', 'views_in_total'], ...lines]
    .map(cells => `${cells.map(toCell).join(',')}\r\n`)
    .join('')
}

/** A number that covers only a part of the days would look like one of all. */
function known({ value, since }: Known): string {
  return value === null || since !== null ? '' : String(value)
}

/** Quoted, and with an apostrophe before what a spreadsheet would run as a formula. */
function toCell(text: string): string {
  return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`
}
