import { html } from 'htm/preact'
import type { VNode } from 'preact'
import { chart, readersChart } from './chart.ts'
import { controls, periodLine, questionProblem } from './controls.ts'
import { amount, figures } from './figures.ts'
import * as format from './format.ts'
import { layout } from './layout.ts'
import type { Post, PostAnswer, Trend } from './model.ts'
import { onPage, type Question, toAddress, type Who } from './question.ts'
import { isToCome, section, stillToCome, trendSection } from './sections.ts'
import { valuesSection } from './values-section.ts'

export function PostPage(answer: PostAnswer): VNode {
  const { id, data, question, root } = answer
  const path = `${root}posts/${id}`
  return layout(
    answer,
    html`<nav class="crumbs" aria-label="Breadcrumb"><a href=${toAddress(root, onPage(question))}>Overview</a></nav>
      <div class="page-head">
        <div>
          <h1 class=${data?.name ? '' : 'id'}>${data?.name?.title ?? id}</h1>
          ${data !== null && byline(id, data)} ${data !== null && total(data, question)}
        </div>
        ${controls({ path, question, trend: data?.trend ?? null })}
      </div>
      ${questionProblem(question)} ${data !== null && periodLine(data.trend)} ${figures(data?.trend ?? null)}
      ${data !== null && sections(data, question, path)}`,
  )
}

function sections({ trend, zone, lists }: Post, question: Question, path: string): VNode {
  const values = (card: 'sources' | 'places' | 'devices') =>
    valuesSection({ card, list: lists[card], trend, question, path })
  return html`${trendSection(trend, { question, path, zone, of: 'of this post' })}
    <div class="columns thirds">${values('sources')} ${values('places')} ${values('devices')}</div>
    ${readersSection(trend)}`
}

function byline(id: string, { name, names }: Post): VNode {
  return html`<p class="byline">
    ${name?.author && html`<span>${name.author}</span>`}
    ${name !== null && html`<span class="id">${id}</span>`}
    ${name?.url && html`<a href=${name.url} rel="noopener noreferrer">Open the post</a>`}
    ${name === null && names === 'away' && html`<span>The posts service does not answer, so the title is unknown.</span>`}
    ${name === null && names === 'known' && html`<span>The posts service knows no post with this id.</span>`}
  </p>`
}

const VIEWS_BY: Record<Who, string> = { people: 'by people', all: 'in total', bots: 'by machines' }

function total(
  { total: { views, first_viewed_at: first, last_viewed_at: last }, zone }: Post,
  { who }: Question,
): VNode {
  const number = html`<span class="value" data-figure="total">${format.number(views)}</span>`
  if (first === null || last === null) {
    return html`<p class="total">${number} views: nobody has viewed it yet</p>`
  }
  return html`<p class="total">
    ${number} ${views === 1 ? 'view' : 'views'} ${VIEWS_BY[who]}
    <span class="when">
      first <time dateTime=${first}>${format.dayAndTime(first, zone)}</time>, last
      <time dateTime=${last}> ${format.dayAndTime(last, zone)}</time>
    </span>
  </p>`
}

function readersSection(trend: Trend): VNode {
  if (isToCome(trend)) return section({ id: 'readers', title: 'Logged in and anonymous' }, stillToCome())
  const { logged_in, anonymous } = trend.sums
  const { value: share } = format.shareOf(logged_in, anonymous)
  return section(
    { id: 'readers', title: 'Logged in and anonymous' },
    html`<dl class="split">
        <div class="tone-main">
          <dt>Logged in</dt>
          <dd>${amount(logged_in)} <span class="quiet">${share !== null && format.percent(share)}</span></dd>
        </div>
        <div class="tone-second">
          <dt>Anonymous</dt>
          <dd>${amount(anonymous)} <span class="quiet">${share !== null && format.percent(1 - share)}</span></dd>
        </div>
      </dl>
      ${
        share !== null &&
        html`<svg class="split-bar" aria-hidden="true">
          <rect class="rest" width="100%" height="100%" />
          <rect width="${(share * 100).toFixed(1)}%" height="100%" />
        </svg>`
      }
      ${chart(readersChart(trend))}`,
  )
}
