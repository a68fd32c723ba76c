/** The parts that both pages are made of. */

import { FIGURE_NAMES, FIGURES } from '@postviews/client/src/figures.ts'
import type { StatsZone } from '@postviews/client/src/zone-time.ts'
import { html } from 'htm/preact'
import type { ComponentChildren, VNode } from 'preact'
import { chart, legend, minutesChart, trendChart } from './chart.ts'
import * as format from './format.ts'
import type { Counting, DayFigures, ReferrerRow, Trend } from './model.ts'
import { type Question, toAddress } from './question.ts'

export interface SectionOptions {
  id: string
  title: ComponentChildren
  /** At the right of the title. */
  aside?: ComponentChildren
}

export function section({ id, title, aside }: SectionOptions, content: ComponentChildren): VNode {
  return html`<section class="card" id=${id} aria-labelledby="${id}-title">
    <div class="card-head">
      <h2 id="${id}-title">${title}</h2>
      ${aside && html`<div class="card-aside">${aside}</div>`}
    </div>
    ${content}
  </section>`
}

/** @param base the beginning of the CSV's address: the panel's root, or the address of a post and a slash */
export function trendSection(trend: Trend, question: Question, base: string, of: string): VNode {
  if (isToCome(trend)) return section({ id: 'trend', title: 'Trend' }, stillToCome())
  const spec = trendChart(trend, of)
  const isLonger = trend.days.length > daysOf(trend)
  return section(
    {
      id: 'trend',
      title: html`Trend${isLonger && html` <small>the ${trend.days.length} days to ${format.day(trend.period.to)}</small>`}`,
      aside: legend(spec),
    },
    html`${chart(spec)}
      <div class="under-chart">
        <details class="table-toggle">
          <summary>Table of days <kbd>T</kbd></summary>
          ${daysTable(trend)}
        </details>
        ${csvLink(toAddress(`${base}days.csv`, question), 'days')}
      </div>`,
  )
}

/** The numbers of days to come are unknown, which is not the same as no views. */
export function isToCome({ period, today }: Trend): boolean {
  return period.from > today
}

export const STILL_TO_COME = 'These days are still to come'

export function stillToCome(): VNode {
  return html`<p class="empty">${STILL_TO_COME}.</p>`
}

function daysOf({ days, period }: Trend): number {
  return days.filter(({ date }) => date >= period.from).length
}

/** A link to a copy of the table beside it. */
export function csvLink(href: string, of: string): VNode {
  return html`<p class="csv"><a href=${href} download>Download CSV<span class="visually-hidden"> of ${of}</span></a></p>`
}

function daysTable({ days, daysBefore, today }: Trend): VNode {
  const rows = days.map((day, index) => ({ day, before: daysBefore?.[index] })).toReversed()
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Table of days">
    <table class="days">
      <thead>
        <tr>
          <th scope="col">Day</th>
          ${FIGURE_NAMES.map(name => html`<th scope="col" class="number">${FIGURES[name].label}</th>`)}
          ${
            daysBefore !== null &&
            html`<th scope="col" class="then">Compared with</th>
              <th scope="col" class="number">Views then</th>
              <th scope="col" class="number">Unique then</th>`
          }
        </tr>
      </thead>
      <tbody>
        ${rows.map(({ day, before }) => dayRow(day, before, today))}
      </tbody>
    </table>
  </div>`
}

function dayRow(day: DayFigures, before: DayFigures | undefined, today: string): VNode {
  return html`<tr key=${day.date}>
    <th scope="row">${format.weekday(day.date)}${day.date === today && html` <small>so far</small>`}</th>
    ${FIGURE_NAMES.map(name => numberCell(day[name]))}
    ${
      before !== undefined &&
      html`<td class="then">${format.weekday(before.date)}</td>
        ${numberCell(before.views)}${numberCell(before.unique_views)}`
    }
  </tr>`
}

/** @param of the number's label on a small screen, which shows no column headings */
export function numberCell(value: number | null, of?: string): VNode {
  return value === null
    ? html`<td role="cell" class="number" title="Unknown" data-of=${of}>
        <span aria-hidden="true">${format.UNKNOWN}</span><span class="visually-hidden">unknown</span>
      </td>`
    : html`<td role="cell" class="number" data-of=${of}>${format.number(value)}</td>`
}

const LATEST_MINUTES = 5

/** Views of the last hour, minute by minute. */
export function nowSection(counting: Counting, zone: StatsZone): VNode {
  const { minutes } = counting
  const sum = (part: Counting['minutes']) => part.reduce((total, { views }) => total + views, 0)
  return section(
    { id: 'now', title: 'Right now' },
    html`<p class="now">
        <span class="value" data-figure="now">${format.number(sum(minutes.slice(-LATEST_MINUTES)))}</span>
        <span>in the last ${LATEST_MINUTES} minutes</span>
        <span class="now-hour">${format.number(sum(minutes))} in the last hour</span>
      </p>
      ${chart(minutesChart(counting, zone))}`,
  )
}

/** @param trend of the same days; the CSV holds the whole list */
export function referrersSection(referrers: ReferrerRow[], trend: Trend, csv: string): VNode {
  const viewed = trend.sums.views.value ?? 0
  const most = Math.max(...referrers.filter(hasBar).map(({ views }) => views))
  return section(
    { id: 'referrers', title: 'Where readers came from' },
    isToCome(trend)
      ? stillToCome()
      : referrers.length === 0
        ? html`<p class="empty">No views on these days, so there are no referrers.</p>`
        : html`<table class="referrers">
            <thead class="visually-hidden">
              <tr>
                <th scope="col">Site</th>
                <th scope="col">Share of views</th>
                <th scope="col">Views</th>
              </tr>
            </thead>
            <tbody>
              ${referrers.map(
                row => html`<tr key=${row.host ?? row.kind}>
                  <th scope="row">
                    ${row.host !== null && row.kind === 'host' ? row.host : html`<span class="no-place">${nameOf(row)}</span>`}
                    ${
                      hasBar(row) &&
                      html`<svg class="bar" aria-hidden="true">
                        <rect width="${share(row.views, most)}%" height="100%" rx="2" />
                      </svg>`
                    }
                  </th>
                  <td class="number quiet">${format.percent(viewed === 0 ? null : row.views / viewed)}</td>
                  ${numberCell(row.views)}
                </tr>`,
              )}
            </tbody>
          </table>
          ${csvLink(csv, 'where readers came from')}`,
  )
}

/** A row that stands for many hosts has no bar, because it would be longer than the others only for that reason. */
function hasBar({ kind }: ReferrerRow): boolean {
  return kind !== 'other' && kind !== 'unknown'
}

function nameOf({ kind, hosts }: ReferrerRow): string {
  if (kind === 'internal') return 'This site’s own pages'
  if (kind === 'unknown') return 'Not recorded'
  return kind === 'other' ? otherHosts(hosts) : 'Direct or unknown'
}

/** `3 other hosts`, `1 other host`; with a plus where there may be more. */
function otherHosts(hosts: ReferrerRow['hosts']): string {
  const { count, isMore } = hosts ?? { count: 1, isMore: true }
  return isMore ? `${format.number(count)}+ other hosts` : format.some(count, 'other host')
}

function share(part: number, whole: number): string {
  return ((part / whole) * 100).toFixed(1)
}
