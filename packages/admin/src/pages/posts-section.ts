/** The list of posts. */

import { html } from 'htm/preact'
import type { VNode } from 'preact'
import { chart, sparkChart } from './chart.ts'
import { hiddenFields } from './controls.ts'
import * as format from './format.ts'
import {
  type Names,
  type OtherPosts,
  type PostRow,
  RANKED_POSTS,
  ROWS_PER_PAGE,
  type Trend,
} from './model.ts'
import { onPage, type Question, type Sort, toAddress } from './question.ts'
import { csvLink, isToCome, numberCell, paging, section, stillToCome } from './sections.ts'

export interface PostsOptions {
  data: {
    posts: PostRow[]
    names: Names
    totalPosts: number
    mayBeMore?: boolean
    mostViews: number
    hasChange: boolean
    others?: OtherPosts | null
    trend: Trend
  }
  question: Question
  root: string
  /** The address of the page. */
  path: string
  title: string
  isSearchable: boolean
}

export function postsSection({ data, question, root, path, title, isSearchable }: PostsOptions): VNode {
  const { posts, names, totalPosts } = data
  return section(
    {
      id: 'posts',
      title: html`${title}${!isToCome(data.trend) && html` <small>${howMany(data, question)}</small>`}`,
      aside: isSearchable && searchForm(names, question, path),
    },
    html`${
      names === 'away' &&
      html`<p class="quiet-note">
        The posts service does not answer: posts whose titles are not known yet are shown by their ids.
      </p>`
    }
    ${
      posts.length === 0
        ? noPosts(data, question, path)
        : html`${postsTable(data, question, root, path)}
            <div class="card-foot">
              ${
                question.search === '' &&
                paging({ question, pages: Math.ceil(totalPosts / ROWS_PER_PAGE), path, of: 'posts' })
              }
              ${csvLink(toAddress(`${root}posts.csv`, { ...question, chosen: null, lists: {}, page: 1 }), 'posts')}
            </div>`
    }`,
  )
}

function howMany({ totalPosts, mayBeMore }: PostsOptions['data'], { search }: Question): string {
  if (search === '') return format.number(totalPosts)
  return mayBeMore ? `the first ${totalPosts} found` : `${totalPosts} found`
}

function searchForm(names: Names, question: Question, path: string): VNode {
  const what = names === 'none' ? 'Id' : 'Title or id'
  const label = `Search posts: ${what.toLowerCase()}`
  return html`<form class="search" role="search" method="get" action="${path}#posts">
    ${hiddenFields(question, ['q', 'page', 'sort', 'order'])}
    <input type="search" name="q" defaultValue=${question.search} aria-label=${label} placeholder=${what} maxlength="200" />
    <button>Search</button>
    ${
      question.search !== '' &&
      html`<a class="clear" href="${toAddress(path, { ...question, search: '', page: 1 })}#posts">All posts</a>`
    }
  </form>`
}

function postsTable(
  { posts, others = null, mostViews, hasChange, trend }: PostsOptions['data'],
  question: Question,
  root: string,
  path: string,
): VNode {
  // The number of the first post may be a moment older than what a search finds.
  const most = Math.max(1, mostViews, ...posts.map(({ views }) => views ?? 0))
  const head = (sort: Sort, text: string) => sortHead(sort, text, question, path)
  // The elements have these roles already, but browsers drop them if a small screen lays out the rows in another way.
  return html`<table class="posts" role="table">
    <thead role="rowgroup">
      <tr role="row">
        <th role="columnheader" scope="col" class="rank"><abbr title="Rank">#</abbr></th>
        <th role="columnheader" scope="col">Post</th>
        ${head('views', 'Views')} ${head('unique_views', 'Unique')} ${hasChange && head('change', 'Change')}
        <th role="columnheader" scope="col" class="spark-cell">Trend</th>
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${posts.map(post => postRow(post, { most, hasChange, question, root }))}
      ${others !== null && othersRow(others, hasChange)}
    </tbody>
  </table>
  ${
    question.sort === 'change' &&
    hasChange &&
    trend.period.to === trend.today &&
    html`<p class="quiet-note">Change is against as many days before. Today so far counts as a day.</p>`
  }`
}

/** A second choice of the same column turns the order round. */
function sortHead(sort: Sort, text: string, question: Question, path: string): VNode {
  const { search, order } = question
  const isSorted = question.sort === sort && search === ''
  const next = isSorted && order === 'desc' ? 'asc' : 'desc'
  return html`<th
    role="columnheader"
    scope="col"
    class="number"
    aria-sort=${isSorted ? (order === 'asc' ? 'ascending' : 'descending') : undefined}
  >
    ${
      search === ''
        ? html`<a class="plain" href="${toAddress(path, { ...question, sort, order: next, page: 1 })}#posts">${text}${isSorted && html`<span aria-hidden="true">${order === 'asc' ? ' ▴' : ' ▾'}</span>`}</a>`
        : text
    }
  </th>`
}

interface RowOptions {
  most: number
  hasChange: boolean
  question: Question
  root: string
}

function postRow(
  { id, rank, name, views, unique_views, change, spark }: PostRow,
  { most, hasChange, question, root }: RowOptions,
): VNode {
  return html`<tr role="row" key=${id}>
    <td role="cell" class="rank">${rankText(rank, views)}</td>
    <th role="rowheader" scope="row">
      <a href=${toAddress(`${root}posts/${id}`, onPage(question))} class=${name === null ? 'plain id' : 'plain'}>${name?.title ?? id}</a>
      ${name?.author && html`<span class="author">${name.author}</span>`}
      <svg class="bar" aria-hidden="true"><rect width="${(((views ?? 0) / most) * 100).toFixed(1)}%" height="100%" rx="2" /></svg>
    </th>
    ${numberCell(views, 'views')} ${numberCell(unique_views, 'unique')} ${hasChange && changeCell(change)}
    <td role="cell" class="spark-cell" aria-hidden="true">${spark.points.length > 1 && chart(sparkChart(spark))}</td>
  </tr>`
}

function changeCell(change: number | null): VNode {
  if (change === null) return numberCell(null, 'change')
  const direction = change > 0 ? 'up' : change < 0 ? 'down' : 'same'
  return html`<td role="cell" class="number row-change ${direction}" data-of="change">${format.signed(change)}</td>`
}

/** The rank in the whole list, also of posts that a search found. */
function rankText(rank: number | null, views: number | null): string {
  if (rank !== null) return format.number(rank)
  return views !== null && views > 0 ? `>${format.number(RANKED_POSTS)}` : format.UNKNOWN
}

/** What the rows leave out, so that all of them add up to the views of the period. */
function othersRow({ posts, views, unique_views }: OtherPosts, hasChange: boolean): VNode {
  return html`<tr role="row" class="others" key="">
    <td role="cell" class="rank"></td>
    <th role="rowheader" scope="row">${format.some(posts, 'other post')}</th>
    ${numberCell(views, 'views')} ${numberCell(unique_views, 'unique')}
    ${hasChange && html`<td role="cell" class="number"></td>`}
    <td role="cell" class="spark-cell"></td>
  </tr>`
}

function noPosts(
  { totalPosts, names, trend }: PostsOptions['data'],
  question: Question,
  path: string,
): VNode {
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
      <a href="${toAddress(path, { ...question, page: 1 })}#posts">Go to the first</a>
    </p>`
  }
  return html`<div class="empty">
    <p><strong>No views on these days.</strong></p>
    <p>As soon as a post is viewed, it appears here.</p>
  </div>`
}
