/** The parts that pages are made of. */

import { FIGURE_NAMES, FIGURES } from '@postviews/client/src/figures.ts'
import type { StatsZone } from '@postviews/client/src/zone-time.ts'
import { html } from 'htm/preact'
import type { ComponentChildren, VNode } from 'preact'
import { chart, hourName, legend, minutesChart, notesOf, trendChart } from './chart.ts'
import * as format from './format.ts'
import { valueName } from './labels.ts'
import type { Counting, HourViews, Trend } from './model.ts'
import { daysBetween, type Question, toAddress } from './question.ts'

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

export interface TrendOptions {
  question: Question
  /** The address of the page. */
  path: string
  zone: StatsZone
  /** `of the site`. */
  of: string
}

export function trendSection(trend: Trend, { question, path, zone, of }: TrendOptions): VNode {
  if (isToCome(trend)) return section({ id: 'trend', title: 'Trend' }, stillToCome())
  const spec = trendChart(trend, zone, of)
  const isLonger = trend.days.length > daysOf(trend)
  const what = trend.hours === null ? 'days' : 'hours'
  return section(
    {
      id: 'trend',
      title: html`${trendTitle(trend, question, path)}${
        isLonger && html` <small>the ${trend.days.length} days to ${format.day(trend.period.to)}</small>`
      }`,
      aside: html`${stepLinks(trend, question, path)}${legend(spec)}`,
    },
    html`${chart(spec)}
      <div class="under-chart">
        <details class="table-toggle">
          <summary>Table of ${what} <kbd>T</kbd></summary>
          ${trend.hours === null ? daysTable(trend) : hoursTable(trend, trend.hours, zone)}
        </details>
        ${csvLink(toAddress(`${withSlash(path)}days.csv`, question), what)}
      </div>`,
  )
}

function trendTitle({ chosen }: Trend, question: Question, path: string): ComponentChildren {
  if (chosen === null) return 'Trend'
  const { dimension, value } = chosen
  return html`Trend of ${valueName(dimension, value)}${' '}<a class="clear" href=${toAddress(path, { ...question, chosen: null })}>Show all views</a>`
}

/** The most days that can be shown by the hour. */
const MAX_HOUR_DAYS = 14

function stepLinks({ period, hours, chosen }: Trend, question: Question, path: string): VNode | null {
  const isOneDay = period.from === period.to
  if (chosen !== null || isOneDay || daysBetween(period.from, period.to) >= MAX_HOUR_DAYS) return null
  return html`<nav class="segments small" aria-label="Steps of the chart">
    ${[false, true].map(
      isByHour =>
        html`<a
          href=${toAddress(path, { ...question, hours: isByHour })}
          aria-current=${(hours !== null) === isByHour ? 'true' : undefined}
          >${isByHour ? 'Hours' : 'Days'}</a
        >`,
    )}
  </nav>`
}

/** The address that those of a page's files begin with. */
export function withSlash(path: string): string {
  return path.endsWith('/') ? path : `${path}/`
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

function daysTable({ days, daysBefore, chosen, published, today }: Trend): VNode {
  const rows = days.map((day, index) => ({ day, before: daysBefore?.[index] })).toReversed()
  const notes = new Map(notesOf(days, published).map(({ index, text }) => [days[index]!.date, text]))
  const chosenViews = chosen && new Map(chosen.days.map(({ date, views }) => [date, views]))
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Table of days">
    <table class="days">
      <thead>
        <tr>
          <th scope="col">Day</th>
          ${chosen && html`<th scope="col" class="number">${valueName(chosen.dimension, chosen.value)}</th>`}
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
        ${rows.map(
          ({ day, before }) => html`<tr key=${day.date}>
            <th scope="row">
              ${format.weekday(day.date)}${day.date === today && html` <small>so far</small>`}
              ${notes.has(day.date) && html`<small class="note">${notes.get(day.date)}</small>`}
            </th>
            ${chosenViews && numberCell(chosenViews.get(day.date) ?? null)}
            ${FIGURE_NAMES.map(name => numberCell(day[name]))}
            ${
              before !== undefined &&
              html`<td class="then">${format.weekday(before.date)}</td>
                ${numberCell(before.views)}${numberCell(before.unique_views)}`
            }
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`
}

function hoursTable({ hoursBefore }: Trend, hours: HourViews[], zone: StatsZone): VNode {
  const rows = hours
    .map((hour, index) => ({ hour, before: hoursBefore?.[index] }))
    .filter(({ hour }) => !hour.isToCome)
    .toReversed()
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Table of hours">
    <table class="days">
      <thead>
        <tr>
          <th scope="col">Hour</th>
          <th scope="col" class="number">Views</th>
          ${
            hoursBefore !== null &&
            html`<th scope="col" class="then">Compared with</th>
              <th scope="col" class="number">Views then</th>`
          }
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ({ hour, before }) => html`<tr key=${hour.start}>
            <th scope="row">${hourName(hour.start, zone)}</th>
            ${numberCell(hour.views)}
            ${
              before !== undefined &&
              html`<td class="then">${hourName(before.start, zone)}</td>
                ${numberCell(before.views)}`
            }
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`
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

export interface PagingOptions {
  question: Question
  pages: number
  path: string
  /** What is listed: `posts`. */
  of: string
}

export function paging({ question, pages, path, of }: PagingOptions): VNode | null {
  if (pages <= 1) return null
  const { page } = question
  const link = (to: number, text: string, rel: string) =>
    to >= 1 && to <= pages
      ? html`<a href="${toAddress(path, { ...question, page: to })}#${of === 'posts' ? of : 'list'}" rel=${rel}>${text}</a>`
      : html`<span>${text}</span>`
  return html`<nav class="paging" aria-label="Pages of ${of}">
    ${link(page - 1, 'Previous', 'prev')}
    <span>Page ${format.number(page)} of ${format.number(pages)}</span>
    ${link(page + 1, 'Next', 'next')}
  </nav>`
}
