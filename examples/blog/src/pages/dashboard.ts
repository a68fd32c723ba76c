import { type PostsViews, type StatsZone, zoneTime } from '@postviews/client/src/index.ts'
import { html } from 'htm/preact'
import type { VNode } from 'preact'
import type { Person } from '../people.ts'
import type { Post } from '../posts.ts'
import { publishedOn } from './byline.ts'
import { layout } from './layout.ts'
import { sparkline } from './sparkline.ts'

interface DashboardOptions {
  /** The author's own posts, newest first. */
  posts: readonly Post[]
  /** Null: unknown at the moment. */
  counts: PostsViews | null
  /** The zone whose days are counted; every day and time on this page is in it. */
  zone: StatsZone
  reader: Person
}

// Plain dates have no zone.
const DAY = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeZone: 'UTC' })
const NUMBER = new Intl.NumberFormat('en')

export function dashboardPage({ posts, counts, zone, reader }: DashboardOptions): VNode {
  return layout({
    title: 'Dashboard',
    reader,
    path: '/dashboard',
    children: html`
      <header class="page-head">
        <h1>Your posts</h1>
        ${posts.length > 0 && summary(counts, zone)}
      </header>
      ${posts.length > 0 ? table(posts, counts, zone) : html`<p>You have not published anything yet.</p>`}
    `,
  })
}

function summary(counts: PostsViews | null, zone: StatsZone): VNode {
  if (counts === null) {
    return html`<p class="notice" role="status">
      <b>View counts are unavailable right now.</b> Views are still being collected and will be shown here as soon as
      they can be read.
    </p>`
  }
  const recent = counts.posts.map(({ days }) => sum(days?.map(({ views }) => views) ?? []))
  return html`
    <dl class="totals">
      <div>
        <dt>Views in ${lengthOf(counts)} days</dt>
        <dd>${shown(sum(recent))}</dd>
      </div>
      <div>
        <dt>Views in total</dt>
        <dd>${shown(sum(counts.posts.map(({ views }) => views)))}</dd>
      </div>
    </dl>
    <p class="fine">
      As of <time datetime=${counts.as_of}>${zoneTime(counts.as_of, zone)}</time>. Days are those of
      ${' '}${counts.timezone ?? zone.timezone}. Unique views: each reader counts once per post per day, or per shorter
      window if Analytics uses one.
    </p>
  `
}

function table(posts: readonly Post[], counts: PostsViews | null, zone: StatsZone): VNode {
  const ofPost = new Map(counts?.posts.map(post => [post.post_uuid, post]))
  const trendTitle = counts && `Last ${lengthOf(counts)} days`
  return html`<table class="dashboard">
    <thead>
      <tr>
        <th scope="col">Post</th>
        <th scope="col" class="number">Views</th>
        <th scope="col" class="number">Unique views</th>
        ${trendTitle && html`<th scope="col">${trendTitle}</th>`}
      </tr>
    </thead>
    <tbody>
      ${posts.map(post => {
        const count = ofPost.get(post.id)
        return html`<tr>
          <th scope="row">
            <a href=${`/posts/${post.slug}`}>${post.title}</a>
            ${publishedOn(post, zone)}
          </th>
          <td class="number" data-label="Views">${shown(count?.views)}</td>
          <td class="number" data-label="Unique views">${shown(count?.unique_views)}${sinceWhen(count?.details_since)}</td>
          ${trendTitle && html`<td class="trend" data-label=${trendTitle}>${count?.days && sparkline(count.days)}</td>`}
        </tr>`
      })}
    </tbody>
  </table>`
}

/** An unknown number is never shown as 0. */
function shown(count: number | null | undefined): string | VNode {
  if (count !== null && count !== undefined) return NUMBER.format(count)
  return html`<span class="unknown"><span aria-hidden="true">–</span><span class="hidden">unavailable</span></span>`
}

/** Older days may have only views; then the number beside it covers fewer days. */
function sinceWhen(day: string | undefined): VNode | false {
  return day !== undefined && html`<small class="since">since ${DAY.format(new Date(day))}</small>`
}

function lengthOf(counts: PostsViews): number {
  return counts.posts[0]?.days?.length ?? 0
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
