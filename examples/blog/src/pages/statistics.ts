import { type StatsZone, shortMinute, zoneDay, zoneTime } from '@postviews/client/src/index.ts'
import { html } from 'htm/preact'
import type { VNode } from 'preact'
import type { Person } from '../people.ts'
import type { Post } from '../posts.ts'
import type { Comparison, PostStatistics } from '../statistics.ts'
import { publishedOn } from './byline.ts'
import { shown, UNAVAILABLE } from './dashboard.ts'
import { layout } from './layout.ts'

interface StatisticsOptions {
  post: Post
  /** Null: unknown at the moment. */
  statistics: PostStatistics | null
  zone: StatsZone
  reader: Person
}

const NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })

export function statisticsPage({ post, statistics, zone, reader }: StatisticsOptions): VNode {
  return layout({
    title: `Statistics of ${post.title}`,
    reader,
    path: `/dashboard/posts/${post.slug}`,
    children: html`
      <header class="page-head">
        <p class="eyebrow"><a href="/dashboard">Your posts</a></p>
        <h1>${post.title}</h1>
        <p class="fine">Published on ${publishedOn(post, zone)} · <a href=${`/posts/${post.slug}`}>Read it</a></p>
        ${statistics === null ? UNAVAILABLE : numbers(statistics, zone)}
      </header>
      ${statistics !== null && [firstHours(statistics, zone), beside(statistics.comparison), sources(statistics)]}
    `,
  })
}

function numbers({ counts, asOf, timezone }: PostStatistics, zone: StatsZone): VNode {
  return html`<dl class="totals">
      <div>
        <dt>Views</dt>
        <dd>${shown(counts.views)}</dd>
      </div>
      <div>
        <dt>Unique views</dt>
        <dd>${shown(counts.unique_views)}</dd>
      </div>
    </dl>
    <p class="fine">
      Views by people. As of <time datetime=${asOf}>${zoneTime(asOf, zone)}</time>; times are those of ${timezone}.
    </p>`
}

const [WIDTH, HEIGHT, BAR] = [672, 120, 14]

function firstHours({ hours }: PostStatistics, zone: StatsZone): VNode {
  return html`<section class="statistics">
    <h2>The first 48 hours</h2>
    ${
      hours === null
        ? html`<p>Not known: the hours of these days were not kept.</p>`
        : html`${bars(hours)}
            <details>
              <summary>Hour by hour</summary>
              <table class="dashboard">
                <thead>
                  <tr>
                    <th scope="col">Hour</th>
                    <th scope="col" class="number">Views</th>
                  </tr>
                </thead>
                <tbody>
                  ${hours.map(
                    ({ start, views }) =>
                      html`<tr>
                        <th scope="row">${zoneDay(start, zone)}, ${shortMinute(start, zone)}</th>
                        <td class="number" data-label="Views">${NUMBER.format(views)}</td>
                      </tr>`,
                  )}
                </tbody>
              </table>
            </details>`
    }
  </section>`
}

function bars(hours: NonNullable<PostStatistics['hours']>): VNode {
  const most = Math.max(1, ...hours.map(({ views }) => views))
  const label = `Views by the hour: at most ${Math.max(0, ...hours.map(({ views }) => views))} in one`
  return html`<svg class="bars" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${label}>
    <path class="floor" d=${`M0 ${HEIGHT}H${WIDTH}`} />
    ${hours.map(({ views }, index) => {
      const height = (views / most) * (HEIGHT - 4)
      return html`<rect x=${index * BAR + 2} y=${(HEIGHT - height).toFixed(1)} width=${BAR - 4} height=${height.toFixed(1)} rx="1.5" />`
    })}
  </svg>`
}

function beside(comparison: Comparison | null): VNode {
  return html`<section class="statistics">
    <h2>Beside your other posts</h2>
    ${
      comparison === null
        ? html`<p>There is nothing to compare yet: it needs a whole day, and another post that is known at the same age.</p>`
        : html`<p>
            In its first ${comparison.ageDays === 1 ? 'day' : `${NUMBER.format(comparison.ageDays)} days`} it had
            ${' '}<b>${NUMBER.format(comparison.views)} views</b>. Half of your ${NUMBER.format(comparison.posts)} other
            ${' '}${comparison.posts === 1 ? 'post' : 'posts'} had more than
            ${' '}<b>${NUMBER.format(comparison.median)}</b> at the same age, half had fewer.
          </p>`
    }
  </section>`
}

function sources({ sources: listed, others }: PostStatistics): VNode {
  return html`<section class="statistics">
    <h2>Where readers came from</h2>
    ${
      listed.length === 0
        ? html`<p>Nobody has read it yet.</p>`
        : html`<table class="dashboard">
            <thead class="hidden">
              <tr>
                <th scope="col">Source</th>
                <th scope="col" class="number">Views</th>
              </tr>
            </thead>
            <tbody>
              ${listed.map(
                ({ value, views }) =>
                  html`<tr>
                    <th scope="row">${value ?? 'Direct, or from this blog'}</th>
                    <td class="number" data-label="Views">${NUMBER.format(views)}</td>
                  </tr>`,
              )}
              ${
                others !== 0 &&
                html`<tr>
                  <th scope="row">Others, or not known</th>
                  <td class="number" data-label="Views">${shown(others)}</td>
                </tr>`
              }
            </tbody>
          </table>`
    }
  </section>`
}
