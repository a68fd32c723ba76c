/** The controls of a page: links and forms, so that the address always says what is shown. */

import { html } from 'htm/preact'
import type { VNode } from 'preact'
import * as format from './format.ts'
import type { Comparison, Trend } from './model.ts'
import { PERIODS, type PeriodName, type Question, toAddress } from './question.ts'
import { isToCome } from './sections.ts'

/** @param trend null while nothing is known */
export function controls(path: string, question: Question, trend: Trend | null): VNode {
  const { period, compare, search } = question
  const isOwn = typeof period !== 'string'
  // A link to another period goes to page 1, because its pages hold other posts.
  const first = { ...question, page: 1 }
  const shown = trend?.period ?? (isOwn ? period : null)
  return html`<div class="controls">
    <nav class="periods" aria-label="Period">
      ${Object.entries(PERIODS).map(
        ([name, { name: text }]) =>
          html`<a
            href=${toAddress(path, { ...first, period: name as PeriodName })}
            aria-current=${name === period ? 'true' : undefined}
            >${text}</a
          >`,
      )}
      <details class="own-period">
        <summary class=${isOwn ? 'is-current' : ''}>
          ${isOwn ? format.dayRange(period) : 'Custom'}
        </summary>
        <form method="get" action=${path}>
          <label>First day <input type="date" name="from" required defaultValue=${shown?.from} /></label>
          <label>Last day <input type="date" name="to" required defaultValue=${shown?.to} /></label>
          ${compare && html`<input type="hidden" name="compare" value="1" />`}
          ${search !== '' && html`<input type="hidden" name="q" value=${search} />`}
          <button>Show</button>
        </form>
      </details>
    </nav>
    ${
      trend !== null && isToCome(trend)
        ? null
        : trend !== null && trend.before === null
          ? html`<p class="compare">This period is too long to compare</p>`
          : compareLink(path, question)
    }
  </div>`
}

function compareLink(path: string, question: Question): VNode {
  const { compare } = question
  return html`<a class="compare" href=${toAddress(path, { ...question, compare: !compare })}>
    <span class="check" aria-hidden="true">${compare ? '✓' : ''}</span>
    ${compare ? 'Comparing with the previous period' : 'Compare with the previous period'}
    ${compare && html`<span class="visually-hidden">; stop comparing</span>`}
  </a>`
}

export function periodLine({ period, before, today, timezone }: Trend): VNode {
  return html`<p class="period-line">
    ${format.dayRange(period)} in ${timezone}${
      before !== null && html`<span> · ${comparedWith(before)}</span>`
    }${period.to === today && html`<span> · includes today so far</span>`}
  </p>`
}

function comparedWith({ period, isWithoutToday, over, countedSince }: Comparison): string {
  if (countedSince !== null) return `not compared: the first view was on ${format.day(countedSince)}`
  const without = isWithoutToday && over !== null ? ', without today' : ''
  return `compared with ${format.dayRange(period)}${without}`
}

export function questionProblem({ problem }: Question): VNode | null {
  return problem === null
    ? null
    : html`<p class="problem" role="alert">${problem} Showing the last 30 days instead.</p>`
}
