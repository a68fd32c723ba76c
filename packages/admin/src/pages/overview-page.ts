import { html } from 'htm/preact'
import type { VNode } from 'preact'
import { chart, sparkChart } from './chart.ts'
import { controls, periodLine, questionProblem } from './controls.ts'
import { figures } from './figures.ts'
import * as format from './format.ts'
import { layout } from './layout.ts'
import {
  type OtherPosts,
  type Overview,
  type OverviewAnswer,
  type PostRow,
  RANKED_POSTS,
  ROWS_PER_PAGE,
} from './model.ts'
import { type Question, toAddress } from './question.ts'
import {
  csvLink,
  isToCome,
  nowSection,
  numberCell,
  referrersSection,
  section,
  stillToCome,
  trendSection,
} from './sections.ts'

export function OverviewPage(answer: OverviewAnswer): VNode {
  const { data, question, root } = answer
  return layout(
    answer,
    html`<div class="page-head">
        <div>
          <h1>Overview</h1>
          ${data !== null && periodLine(data.trend)}
        </div>
        ${controls(root, question, data?.trend ?? null)}
      </div>
      ${questionProblem(question)} ${figures(data?.trend ?? null)}
      ${
        data !== null &&
        html`<div class="columns">
          ${trendSection(data.trend, question, root, 'of the site')}
          ${nowSection(data.counting, data.zone)}
          ${postsSection(data, question, root)}
          ${referrersSection(data.referrers, data.trend, toAddress(`${root}referrers.csv`, question))}
        </div>`
      }`,
  )
}

function postsSection(data: Overview, question: Question, root: string): VNode {
  const { posts, names, totalPosts } = data
  return section(
    {
      id: 'posts',
      title: html`Posts${!isToCome(data.trend) && html` <small>${howMany(data, question)}</small>`}`,
      aside: searchForm(data, question, root),
    },
    html`${
      names === 'away' &&
      html`<p class="quiet-note">
        The posts service does not answer: posts whose titles are not known yet are shown by their ids.
      </p>`
    }
    ${
      posts.length === 0
        ? noPosts(data, question, root)
        : html`${postsTable(data, question, root)}
            <div class="card-foot">
              ${paging(question, totalPosts, root)} ${csvLink(toAddress(`${root}posts.csv`, question), 'posts')}
            </div>`
    }`,
  )
}

function howMany({ totalPosts, mayBeMore }: Overview, { search }: Question): string {
  if (search === '') return format.number(totalPosts)
  return mayBeMore ? `the first ${totalPosts} found` : `${totalPosts} found`
}

function searchForm({ names }: Overview, question: Question, root: string): VNode {
  const { period, compare, search } = question
  const what = names === 'none' ? 'Id' : 'Title or id'
  const label = `Search posts: ${what.toLowerCase()}`
  return html`<form class="search" role="search" method="get" action="${root}#posts">
    ${
      typeof period === 'string'
        ? html`<input type="hidden" name="period" value=${period} />`
        : html`<input type="hidden" name="from" value=${period.from} /><input
              type="hidden"
              name="to"
              value=${period.to}
            />`
    }
    ${compare && html`<input type="hidden" name="compare" value="1" />`}
    <input type="search" name="q" defaultValue=${search} aria-label=${label} placeholder=${what} maxlength="200" />
    <button>Search</button>
    ${
      search !== '' &&
      html`<a class="clear" href="${toAddress(root, { ...question, search: '' })}#posts">All posts</a>`
    }
  </form>`
}

function postsTable({ posts, others, mostViews }: Overview, question: Question, root: string): VNode {
  // The number of the first post may be a moment older than what a search finds.
  const most = Math.max(1, mostViews, ...posts.map(({ views }) => views))
  // The elements have these roles already, but browsers drop them if a small screen lays out the rows in another way.
  return html`<table class="posts" role="table">
    <thead role="rowgroup">
      <tr role="row">
        <th role="columnheader" scope="col" class="rank"><abbr title="Rank">#</abbr></th>
        <th role="columnheader" scope="col">Post</th>
        <th role="columnheader" scope="col" class="number">Views</th>
        <th role="columnheader" scope="col" class="number">Unique</th>
        <th role="columnheader" scope="col" class="spark-cell">Trend</th>
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${posts.map(post => postRow(post, most, question, root))} ${others !== null && othersRow(others)}
    </tbody>
  </table>`
}

function postRow(
  { id, rank, name, views, unique_views, spark }: PostRow,
  most: number,
  question: Question,
  root: string,
): VNode {
  const href = toAddress(`${root}posts/${id}`, { ...question, search: '', page: 1 })
  return html`<tr role="row" key=${id}>
    <td role="cell" class="rank">${rankText(rank, views)}</td>
    <th role="rowheader" scope="row">
      <a href=${href} class=${name === null ? 'id' : ''}>${name?.title ?? id}</a>
      ${name?.author && html`<span class="author">${name.author}</span>`}
      <svg class="bar" aria-hidden="true"><rect width="${((views / most) * 100).toFixed(1)}%" height="100%" rx="2" /></svg>
    </th>
    ${numberCell(views, 'views')} ${numberCell(unique_views, 'unique')}
    <td role="cell" class="spark-cell" aria-hidden="true">${spark.points.length > 1 && chart(sparkChart(spark))}</td>
  </tr>`
}

/** The rank in the whole list, also of posts that a search found. */
function rankText(rank: number | null, views: number): string {
  if (rank !== null) return format.number(rank)
  return views > 0 ? `>${format.number(RANKED_POSTS)}` : format.UNKNOWN
}

/** What the rows leave out, so that all of them add up to the views of the period. */
function othersRow({ posts, views, unique_views }: OtherPosts): VNode {
  return html`<tr role="row" class="others" key="">
    <td role="cell" class="rank"></td>
    <th role="rowheader" scope="row">${format.some(posts, 'other post')}</th>
    ${numberCell(views, 'views')} ${numberCell(unique_views, 'unique')}
    <td role="cell" class="spark-cell"></td>
  </tr>`
}

function paging(question: Question, total: number, root: string): VNode | null {
  const pages = Math.ceil(total / ROWS_PER_PAGE)
  if (question.search !== '' || pages <= 1) return null
  const { page } = question
  const link = (to: number, text: string, rel: string) =>
    to >= 1 && to <= pages
      ? html`<a href="${toAddress(root, { ...question, page: to })}#posts" rel=${rel}>${text}</a>`
      : html`<span>${text}</span>`
  return html`<nav class="paging" aria-label="Pages of posts">
    ${link(page - 1, 'Previous', 'prev')}
    <span>Page ${format.number(page)} of ${format.number(pages)}</span>
    ${link(page + 1, 'Next', 'next')}
  </nav>`
}

function noPosts({ totalPosts, names, trend }: Overview, question: Question, root: string): VNode {
  if (isToCome(trend)) return stillToCome()
  if (question.search !== '') {
    return html`<p class="empty">
      ${
        names === 'known'
          ? `No post has “${question.search}” in its title or id.`
          : `No post viewed on these days has “${question.search}” in its id.`
      }
      ${names === 'away' && ' Titles cannot be searched right now.'}
    </p>`
  }
  if (totalPosts > 0) {
    return html`<p class="empty">
      There is no page ${format.number(question.page)}.
      <a href="${toAddress(root, { ...question, page: 1 })}#posts">Go to the first</a>
    </p>`
  }
  return html`<div class="empty">
    <p><strong>No views on these days.</strong></p>
    <p>As soon as a post is viewed, it appears here.</p>
  </div>`
}
