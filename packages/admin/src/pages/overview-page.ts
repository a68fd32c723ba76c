import { html } from 'htm/preact'
import type { VNode } from 'preact'
import { controls, periodLine, questionProblem } from './controls.ts'
import { figures } from './figures.ts'
import * as format from './format.ts'
import { layout } from './layout.ts'
import type { Overview, OverviewAnswer } from './model.ts'
import { postsSection } from './posts-section.ts'
import { onPage, type Question, toAddress } from './question.ts'
import { nowSection, section, trendSection } from './sections.ts'
import { valuesSection } from './values-section.ts'

export function OverviewPage(answer: OverviewAnswer): VNode {
  const { data, question, root } = answer
  return layout(
    answer,
    html`<div class="page-head">
        <div>
          <h1>Overview</h1>
          ${data !== null && periodLine(data.trend)}
        </div>
        ${controls({ path: root, question, trend: data?.trend ?? null })}
      </div>
      ${questionProblem(question)} ${figures(data?.trend ?? null)} ${data !== null && sections(data, question, root)}`,
  )
}

function sections(data: Overview, question: Question, root: string): VNode {
  const { trend, zone, lists } = data
  const values = (card: 'sources' | 'places' | 'devices') =>
    valuesSection({ card, list: lists[card], trend, question, path: root })
  return html`<div class="columns">
      ${trendSection(trend, { question, path: root, zone, of: 'of the site' })}
      ${nowSection(data.counting, zone)}
    </div>
    <div class="columns thirds">${values('sources')} ${values('places')} ${values('devices')}</div>
    <div class="columns">
      ${postsSection({ data, question, root, path: root, title: 'Posts', isSearchable: true })}
      ${trendingSection(data, question, root)}
    </div>`
}

/** What happens now: the posts with most views are nearly always the same. */
function trendingSection({ trending }: Overview, question: Question, root: string): VNode {
  return section(
    { id: 'trending', title: html`Standing out <small>in the last 24 hours</small>` },
    trending === null
      ? html`<p class="empty">Not known: the hours of these days were not kept.</p>`
      : trending.length === 0
        ? html`<p class="empty">No post stands out: all are about as usual.</p>`
        : html`<ol class="trending">
            ${trending.map(
              ({ id, name, last_24h, usual_24h }) =>
                html`<li key=${id}>
                  <a href=${toAddress(`${root}posts/${id}`, onPage(question))} class=${name === null ? 'plain id' : 'plain'}
                    >${name?.title ?? id}</a
                  >
                  <span class="quiet">
                    <b>${format.some(last_24h, 'view')}</b>,
                    ${usual_24h === null ? ' a new post' : ` usually ${format.number(Math.round(usual_24h))}`}
                  </span>
                </li>`,
            )}
          </ol>`,
  )
}
