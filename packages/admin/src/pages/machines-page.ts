import { html } from 'htm/preact'
import type { VNode } from 'preact'
import { aiChart, chart, legend } from './chart.ts'
import { controls, periodLine, questionProblem } from './controls.ts'
import { figures } from './figures.ts'
import * as format from './format.ts'
import { layout } from './layout.ts'
import type { DayViews, Machines, MachinesAnswer } from './model.ts'
import { postsSection } from './posts-section.ts'
import type { Question } from './question.ts'
import { section, trendSection } from './sections.ts'
import { valuesSection } from './values-section.ts'

export function MachinesPage(answer: MachinesAnswer): VNode {
  const { data, question, root } = answer
  const path = `${root}machines`
  return layout(
    answer,
    html`<div class="page-head">
        <div>
          <h1>Machines</h1>
          ${data !== null && periodLine(data.trend)}
        </div>
        ${controls({ path, question, trend: data?.trend ?? null, hasWho: false })}
      </div>
      ${questionProblem(question)} ${figures(data?.trend ?? null)}
      ${data !== null && sections(data, question, root, path)}`,
  )
}

function sections(data: Machines, question: Question, root: string, path: string): VNode {
  const { trend, zone, lists } = data
  const values = (card: 'machines' | 'purposes') =>
    valuesSection({ card, list: lists[card], trend, question, path })
  return html`${trendSection(trend, { question, path, zone, of: 'by machines' })}
    <div class="columns even">${values('machines')} ${values('purposes')}</div>
    ${aiSection(data)}
    ${postsSection({ data, question, root, path, title: 'Posts most read by machines', isSearchable: false })}`
}

/** An assistant fetches a page to answer somebody; some who read the answer come to the page itself. */
function aiSection({ ai, trend }: Machines): VNode | null {
  if (ai === null) return null
  const { answers, readers } = ai
  const inPeriod = (days: DayViews[]) => days.filter(({ date }) => date >= trend.period.from)
  const spec = aiChart(ai, trend)
  return section(
    { id: 'ai', title: 'AI assistants', aside: legend(spec) },
    html`<dl class="split">
        <div class="tone-second">
          <dt>Fetched to answer somebody</dt>
          <dd data-figure="ai-answers">${sumText(inPeriod(answers))}</dd>
        </div>
        <div class="tone-main">
          <dt>Readers they sent</dt>
          <dd data-figure="ai-readers">${sumText(inPeriod(readers))}</dd>
        </div>
      </dl>
      ${chart(spec)}`,
  )
}

function sumText(days: DayViews[]): string {
  return format.number(
    days.reduce<number | null>((sum, { views }) => (sum === null || views === null ? null : sum + views), 0),
  )
}
