/** The numbers of a period, each with its change against the period before. */

import { html } from 'htm/preact'
import type { ComponentChildren, VNode } from 'preact'
import * as format from './format.ts'
import type { Sum, Trend } from './model.ts'

export function figures(trend: Trend | null): VNode {
  if (trend === null) return unknownFigures()
  const { sums, before } = trend
  const share = format.shareOf(sums.logged_in, sums.anonymous)
  const shareBefore = before && format.shareOf(before.sums.logged_in, before.sums.anonymous)
  const change = (name: 'views' | 'unique_views' | 'bots') => {
    if (before === null) return null
    const was = before.sums[name]
    return isTodayAlone(trend) && was.value !== null
      ? wholeDay(was)
      : changeText(format.changeOf(sums[name], was), was.value)
  }
  return html`<dl class="figures">
    ${figure('Views', amount(sums.views), change('views'))}
    ${figure(
      'Unique views',
      amount(sums.unique_views),
      change('unique_views'),
      'Each reader counts once per post per day',
    )}
    ${figure(
      'Logged-in share',
      format.percent(share),
      shareBefore !== null && changeText(format.changeOfShare(share, shareBefore), shareBefore, true),
      readers(sums.logged_in, sums.anonymous),
    )}
    ${figure('Bots', amount(sums.bots), change('bots'), 'Views by known bots')}
  </dl>`
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

/** A sum; unknown is a dash that says so, and a part says from when it is. */
export function amount({ value, since }: Sum): ComponentChildren {
  if (value === null) return unknown()
  if (since === null) return format.number(value)
  return html`${format.number(value)} <small>since ${format.day(since)}; earlier is unknown</small>`
}

function unknown(): VNode {
  return html`<span title="Unknown"
    ><span aria-hidden="true">${format.UNKNOWN}</span><span class="visually-hidden">unknown</span></span
  >`
}

function isTodayAlone({ period, today }: Trend): boolean {
  return period.from === today && period.to === today
}

/** Some hours are always fewer than a day: that is no fall. */
function wholeDay(before: Sum): VNode {
  return html`<span class="same">so far; the day before had ${amount(before)}</span>`
}

const ARROWS = { up: '▲', down: '▼' }

function changeText(change: format.Change | null, before: number | null, isShare = false): VNode {
  if (before === null) return html`<span class="same">not comparable: the period before is unknown</span>`
  const was = isShare ? format.percent(before) : format.number(before)
  if (change === null) return html`<span class="same">${was} before</span>`
  if (change.direction === 'same') return html`<span class="same">no change</span>`
  return html`<span class=${change.direction}
      ><span aria-hidden="true">${ARROWS[change.direction]} </span
      ><span class="visually-hidden">${change.direction} </span>${change.text}</span
    >${' '}<span class="was">from ${was}</span>`
}

function readers(loggedIn: Sum, anonymous: Sum): string {
  if (loggedIn.value === null || anonymous.value === null) {
    return 'Logged-in views are unknown for these days'
  }
  if (loggedIn.value + anonymous.value === 0) return 'No views'
  return `${format.number(loggedIn.value)} logged in, ${format.number(anonymous.value)} anonymous`
}

function unknownFigures(): VNode {
  const note = 'Unknown while Analytics is unavailable'
  return html`<dl class="figures">
    ${['Views', 'Unique views', 'Logged-in share', 'Bots'].map(name => figure(name, unknown(), null, note))}
  </dl>`
}
