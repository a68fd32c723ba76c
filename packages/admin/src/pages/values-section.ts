/** Lists of values: a card of the first ones, with a tab for each dimension, and the whole list. */

import { html } from 'htm/preact'
import type { VNode } from 'preact'
import * as format from './format.ts'
import { flagOf, LISTS, rowName } from './labels.ts'
import type { Trend, ValueList, ValueRow } from './model.ts'
import { CARDS, type CardName, type Question, toAddress } from './question.ts'
import { csvLink, isToCome, numberCell, section, stillToCome, withSlash } from './sections.ts'

const TITLES: Record<CardName, string> = {
  sources: 'Where readers came from',
  places: 'Countries',
  devices: 'Devices',
  machines: 'Who they are',
  purposes: 'What they read for',
}

export interface ValuesOptions {
  card: CardName
  list: ValueList | undefined
  trend: Trend
  question: Question
  /** The address of the page. */
  path: string
}

export function valuesSection(options: ValuesOptions): VNode {
  const { card, list, trend, question, path } = options
  const tabs = CARDS[card]
  const title = TITLES[card]
  if (list === undefined || isToCome(trend)) return section({ id: card, title }, stillToCome())
  const { dimension, total, since } = list
  const whole = `${withSlash(path)}lists/${dimension}`
  const asked: Question = { ...question, chosen: null, page: 1 }
  return section(
    {
      id: card,
      title: html`${title}${since !== null && html` <small>since ${format.day(since)}</small>`}`,
      aside:
        tabs.length > 1 &&
        html`<nav class="tabs" aria-label=${title}>
          ${tabs.map(
            name =>
              html`<a
                class="plain" href="${toAddress(path, { ...question, lists: { ...question.lists, [card]: name } })}#${card}"
                aria-current=${name === dimension ? 'true' : undefined}
                >${LISTS[name].tab}</a
              >`,
          )}
        </nav>`,
    },
    list.rows.length === 0
      ? html`<p class="empty">No views on these days.</p>`
      : html`${valuesTable(options, list, mostOf(list.rows))}
          <div class="card-foot">
            ${total > 0 && html`<a class="whole" href=${toAddress(whole, asked)}>Whole list<span class="visually-hidden"> of ${LISTS[dimension].tab.toLowerCase()}</span></a>`}
            ${csvLink(toAddress(`${whole}/values.csv`, asked), LISTS[dimension].tab.toLowerCase())}
          </div>`,
  )
}

function mostOf(rows: readonly ValueRow[]): number {
  return Math.max(1, ...rows.filter(hasBar).map(({ views }) => views ?? 0))
}

/** @param most the views that a bar of the whole width stands for */
export function valuesTable(
  { question, path }: Pick<ValuesOptions, 'question' | 'path'>,
  { dimension, rows, views }: ValueList,
  most: number,
): VNode {
  return html`<table class="values">
    <thead class="visually-hidden">
      <tr>
        <th scope="col">${LISTS[dimension].tab}</th>
        <th scope="col">Share of views</th>
        <th scope="col">Views</th>
      </tr>
    </thead>
    <tbody>
      ${rows.map(
        row => html`<tr key="${row.kind} ${row.value ?? ''}">
          <th scope="row">
            ${rowLink(dimension, row, question, path)}
            ${
              hasBar(row) &&
              html`<svg class="bar" aria-hidden="true">
                <rect width="${(((row.views ?? 0) / most) * 100).toFixed(1)}%" height="100%" rx="2" />
              </svg>`
            }
          </th>
          <td class="number quiet">${format.percent(row.views === null || !views ? null : row.views / views)}</td>
          ${numberCell(row.views)}
        </tr>`,
      )}
    </tbody>
  </table>`
}

/** The days of each value are on the page's chart. */
function rowLink(dimension: ValueList['dimension'], row: ValueRow, question: Question, path: string): VNode {
  const name = rowName(dimension, row)
  if (row.kind === 'other' || row.kind === 'unknown' || (row.kind === 'internal' && row.value === null))
    return html`<span class="no-place">${name}</span>`
  const { chosen } = question
  const isChosen = chosen?.dimension === dimension && chosen.value === row.value
  const flag = dimension === 'country' && row.value !== null ? flagOf(row.value) : null
  return html`${flag !== null && html`<span class="flag" aria-hidden="true">${flag}</span>`}<a
      class=${row.kind === 'value' ? 'plain' : 'plain no-place'}
      href="${toAddress(path, { ...question, chosen: isChosen ? null : { dimension, value: row.value }, page: 1 })}#trend"
      aria-current=${isChosen ? 'true' : undefined}
      >${name}</a
    >`
}

/** A row that stands for many values has no bar, because it would be longer than the others only for that reason. */
function hasBar({ kind }: ValueRow): boolean {
  return kind !== 'other' && kind !== 'unknown'
}
