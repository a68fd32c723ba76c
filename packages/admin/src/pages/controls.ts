/** The controls of a page: links and forms, so that the address always says what is shown. */

import { html } from 'htm/preact'
import type { VNode } from 'preact'
import * as format from './format.ts'
import type { Comparison, Trend } from './model.ts'
import {
  type Compared,
  PERIODS,
  type PeriodName,
  type Question,
  toAddress,
  toParameters,
  WHO,
  type Who,
} from './question.ts'
import { isToCome } from './sections.ts'

/** These are always in sight, the others in the menu. */
const MAIN_PERIODS = ['today', '7d', '30d', '90d', '365d'] as const satisfies PeriodName[]
const OTHER_PERIODS = (Object.keys(PERIODS) as PeriodName[]).filter(
  name => !(MAIN_PERIODS as readonly PeriodName[]).includes(name),
)

export interface ControlsOptions {
  path: string
  question: Question
  /** Null while nothing is known. */
  trend: Trend | null
  /** Whether one can choose whose views are shown. */
  hasWho?: boolean
  isComparable?: boolean
}

export function controls({
  path,
  question,
  trend,
  hasWho = true,
  isComparable = true,
}: ControlsOptions): VNode {
  return html`<div class="controls">
    <div class="control-row">
      ${hasWho && whoSwitch(path, question)} ${periods(path, question, trend)}
    </div>
    ${isComparable && compareLinks(path, question, trend)}
  </div>`
}

function whoSwitch(path: string, question: Question): VNode {
  return html`<nav class="segments" aria-label="Whose views">
    ${(Object.keys(WHO) as Who[]).map(
      who =>
        html`<a
          href=${toAddress(path, { ...question, who, page: 1 })}
          aria-current=${who === question.who ? 'true' : undefined}
          >${WHO[who]}</a
        >`,
    )}
  </nav>`
}

function periods(path: string, question: Question, trend: Trend | null): VNode {
  const { period } = question
  const isOwn = typeof period !== 'string'
  const isOther = isOwn || OTHER_PERIODS.includes(period)
  const shown = trend?.period ?? (isOwn ? period : null)
  const link = (name: PeriodName) =>
    // A link to another period goes to page 1, because its pages hold other posts.
    html`<a
      href=${toAddress(path, { ...question, period: name, page: 1 })}
      aria-current=${name === period ? 'true' : undefined}
      >${PERIODS[name]}</a
    >`
  return html`<nav class="segments periods" aria-label="Period">
    ${MAIN_PERIODS.map(link)}
    <details class="own-period">
      <summary class=${isOther ? 'is-current' : ''}>
        ${isOwn ? format.dayRange(period) : isOther ? PERIODS[period] : 'Custom'}
      </summary>
      <div class="menu">
        <div class="menu-links">${OTHER_PERIODS.map(link)}</div>
        <form method="get" action=${path}>
          ${hiddenFields(question, ['period', 'from', 'to', 'page'])}
          <label>First day <input type="date" name="from" required defaultValue=${shown?.from} /></label>
          <label>Last day <input type="date" name="to" required defaultValue=${shown?.to} /></label>
          <button>Show</button>
        </form>
      </div>
    </details>
  </nav>`
}

/** What a form keeps of the question, because it does not ask for it. */
export function hiddenFields(question: Question, asked: readonly string[]): VNode[] {
  return toParameters(question)
    .filter(([name]) => !asked.includes(name))
    .map(([name, value]) => html`<input type="hidden" name=${name} value=${value} />`)
}

const COMPARED = { previous: 'the previous period', year: 'the year before' } as const

function compareLinks(path: string, question: Question, trend: Trend | null): VNode | null {
  if (trend !== null && isToCome(trend)) return null
  if (question.period === 'all') return html`<p class="compare">Nothing is before all time</p>`
  if (trend !== null && trend.before === null)
    return html`<p class="compare">This period is too long to compare</p>`
  return html`<div class="compares">
    ${(Object.keys(COMPARED) as Exclude<Compared, null>[]).map(compare => {
      const isOn = question.compare === compare
      return html`<a class="compare" href=${toAddress(path, { ...question, compare: isOn ? null : compare })}>
        <span class="check" aria-hidden="true">${isOn ? '✓' : ''}</span>
        <span
          ><span class="compare-verb">${isOn ? 'Comparing with ' : 'Compare with '}</span>${COMPARED[compare]}${
            isOn && html`<span class="visually-hidden">; stop comparing</span>`
          }</span
        >
      </a>`
    })}
  </div>`
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
