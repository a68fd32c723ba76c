/** The numbers of a period, each with its change against the period before. */

import { html } from 'htm/preact'
import type { ComponentChildren, VNode } from 'preact'
import * as format from './format.ts'
import type { Comparison, Sum, Trend } from './model.ts'
import { isToCome, STILL_TO_COME } from './sections.ts'

export function figures(trend: Trend | null): VNode {
  if (trend === null) return unknownFigures('Unknown while Analytics is unavailable')
  if (isToCome(trend)) return unknownFigures(STILL_TO_COME)
  const { sums, before } = trend
  const share = format.shareOf(sums.logged_in, sums.anonymous)
  const change = (now: Sum | null, was: Sum, tone: ChangeTone) =>
    before === null || before.countedSince !== null
      ? null
      : compared(
          before,
          { now, was },
          { write: format.number, changeOf: format.changeOf, none: 'none in the previous period', tone },
        )
  const changeOf = (name: 'views' | 'unique_views') =>
    before && change(before.over?.[name] ?? null, before.sums[name], 'good')
  return html`<dl class="figures">
    ${figure('Views', amount(sums.views), changeOf('views'))}
    ${figure(
      'Unique views',
      amount(sums.unique_views),
      changeOf('unique_views'),
      'Each reader counts once per post per day',
    )}
    ${figure(
      'Logged-in share',
      share.value === null ? format.UNKNOWN : amountAs(format.percent, share),
      before !== null && before.countedSince === null && shareChange(before),
      readers(sums.logged_in, sums.anonymous),
    )}
    ${restFigure(trend, rest => change(rest.over?.views ?? null, rest.sums.views, 'plain'))}
  </dl>`
}

const REST = {
  bots: { name: 'Machines', one: 'Crawlers, previews, feeds and other programs' },
  people: { name: 'People', one: 'Views by readers' },
}

/** The views that the others leave out; of all views, those by machines. */
function restFigure(
  { rest, sums }: Trend,
  changeOf: (before: NonNullable<Trend['rest']['before']>) => ComponentChildren,
): VNode {
  const { name, one } = REST[rest.who]
  const share = rest.isPart ? format.shareIn(rest.sum, sums.views) : format.shareOf(rest.sum, sums.views)
  const note = share.value === null ? one : `${one}: ${format.percent(share.value)} of all views`
  return figure(name, amount(rest.sum), rest.before && changeOf(rest.before), note)
}

function shareChange(before: Comparison): VNode {
  const { over, sums } = before
  return compared(
    before,
    {
      now: over && format.shareOf(over.logged_in, over.anonymous),
      was: format.shareOf(sums.logged_in, sums.anonymous),
    },
    {
      write: format.percent,
      changeOf: format.changeOfShare,
      none: 'no logged-in views in the previous period',
      tone: 'plain',
    },
  )
}

function figure(
  name: string,
  value: ComponentChildren,
  change: ComponentChildren,
  note?: ComponentChildren,
): VNode {
  return html`<div class="figure">
    <dt>${name}</dt>
    <dd class="value">${value}</dd>
    ${change && html`<dd class="change">${change}</dd>`} ${note && html`<dd class="note">${note}</dd>`}
  </div>`
}

/** A sum. An unknown one is a dash with a title; a partial one says from which day it counts. */
export function amount(sum: Sum): ComponentChildren {
  return amountAs(format.number, sum)
}

function amountAs(write: (value: number) => string, { value, since }: Sum): ComponentChildren {
  if (value === null) return unknown()
  if (since === null) return write(value)
  return html`${write(value)} <small>since ${format.day(since)}; earlier is unknown</small>`
}

function unknown(): VNode {
  return html`<span title="Unknown"
    ><span aria-hidden="true">${format.UNKNOWN}</span><span class="visually-hidden">unknown</span></span
  >`
}

/** `good`: more is better, and has a colour that says so. `plain`: it is not, as more bots. */
type ChangeTone = 'good' | 'plain'

interface Wording {
  write(value: number): string
  changeOf(now: Sum, was: Sum): format.Change | null
  /** The text if there was nothing before. */
  none: string
  tone: ChangeTone
}

const ARROWS = { up: '▲', down: '▼' }

/**
 * Describes a change: by how much, from what. `now` is null if no day of the period is over: some hours always
 * have fewer views than a whole day, and that is no fall.
 */
function compared(
  { isWithoutToday }: Comparison,
  { now, was }: { now: Sum | null; was: Sum },
  { write, changeOf, none, tone }: Wording,
): VNode {
  if (now === null) {
    return was.value === null
      ? quiet('not comparable: the day before is unknown')
      : html`<span class="same">so far; the day before had ${amountAs(write, was)}</span>`
  }
  if (was.value === null) return quiet('not comparable: the previous period is unknown')
  const change = changeOf(now, was)
  if (change === null)
    return html`<span class="same">not comparable: the previous period had ${amountAs(write, was)}</span>`
  const without = isWithoutToday ? 'without today' : ''
  if (change.direction === 'same') return quiet(`no change ${without}`.trim())
  if (was.value === 0) return quiet(none)
  const values = `from ${write(was.value)}${isWithoutToday ? ` to ${write(now.value!)}` : ''}`
  return html`<span class="${change.direction} ${tone}"
      ><span aria-hidden="true">${ARROWS[change.direction]} </span
      ><span class="visually-hidden">${change.direction} </span>${change.text}</span
    >${' '}<span class="was">${[without, values].filter(text => text !== '').join(', ')}</span>`
}

function quiet(text: string): VNode {
  return html`<span class="same">${text}</span>`
}

function readers(loggedIn: Sum, anonymous: Sum): string {
  if (loggedIn.value === null || anonymous.value === null) {
    return 'Logged-in views are unknown for these days'
  }
  if (loggedIn.value + anonymous.value === 0) return 'No views'
  return `${format.number(loggedIn.value)} logged in, ${format.number(anonymous.value)} anonymous`
}

function unknownFigures(note: string): VNode {
  return html`<dl class="figures">
    ${['Views', 'Unique views', 'Logged-in share', 'Machines'].map(name => figure(name, unknown(), null, note))}
  </dl>`
}
