/** Charts as data; the browser draws them. If it does not, the tables beside them say the same. */

import { FIGURES } from '@postviews/client/src/figures.ts'
import { type StatsZone, shortMinute, zoneMinute } from '@postviews/client/src/zone-time.ts'
import { html } from 'htm/preact'
import { createContext, type VNode } from 'preact'
import { useContext, useEffect, useRef } from 'preact/hooks'
import * as format from './format.ts'
import type { Counting, DayFigures, PostRow, Trend } from './model.ts'

/** `main`, `second`: a colour each; `before`: quieter than both. */
export type Tone = 'main' | 'second' | 'before'

export interface Series {
  name: string
  tone: Tone
  shape: 'area' | 'line' | 'bars'
  /** As many as there are points; null leaves a gap. */
  values: (number | null)[]
  /** The name of each value, if it is not the series' name. */
  valueNames?: string[]
}

export interface ChartSpec {
  /** `spark`: nothing but the line, for a cell of a table. */
  size: 'large' | 'small' | 'spark'
  /** What the chart shows, for those who do not see it. */
  label: string
  /** Along the axis, oldest first. */
  points: { name: string; tick: string }[]
  series: Series[]
  /** The last point is a day that is not over. */
  isUnfinished: boolean
}

export interface DrawnChart {
  update(spec: ChartSpec): void
  remove(): void
}

/** Draws into an element of the page. */
export type DrawChart = (place: unknown, spec: ChartSpec) => DrawnChart

export const DrawContext = createContext<DrawChart | null>(null)

function Chart({ spec }: { spec: ChartSpec }): VNode {
  const draw = useContext(DrawContext)
  const place = useRef(null)
  const drawn = useRef<DrawnChart | null>(null)
  useEffect(() => {
    if (drawn.current === null) drawn.current = draw?.(place.current, spec) ?? null
    else drawn.current.update(spec)
  })
  useEffect(() => () => drawn.current?.remove(), [])
  return html`<div class="chart chart-${spec.size}" ref=${place}></div>`
}

export function chart(spec: ChartSpec): VNode {
  return html`<${Chart} spec=${spec} />`
}

/** What the colours of a chart stand for. */
export function legend({ series }: ChartSpec): VNode {
  return html`<ul class="legend">
    ${series.map(({ name, tone }) => html`<li class="tone-${tone}">${name}</li>`)}
  </ul>`
}

export function trendChart({ days, daysBefore, today, timezone }: Trend, of: string): ChartSpec {
  const range = { from: days[0]!.date, to: days.at(-1)!.date }
  return {
    size: 'large',
    label: `Views and unique views ${of} by day in ${timezone}, ${format.dayRange(range)}`,
    points: points(days),
    isUnfinished: days.at(-1)!.date === today,
    series: [
      { name: 'Views', tone: 'main', shape: 'area', values: days.map(({ views }) => views) },
      {
        name: 'Unique views',
        tone: 'second',
        shape: 'line',
        values: days.map(({ unique_views }) => unique_views),
      },
      ...(daysBefore === null ? [] : [seriesBefore(daysBefore)]),
    ],
  }
}

function seriesBefore(days: DayFigures[]): Series {
  return {
    name: `Views, ${format.dayRange({ from: days[0]!.date, to: days.at(-1)!.date })}`,
    tone: 'before',
    shape: 'line',
    values: days.map(({ views }) => views),
    valueNames: days.map(({ date }) => format.weekday(date)),
  }
}

export function readersChart({ days, today, timezone }: Trend): ChartSpec {
  return {
    size: 'small',
    label: `Logged-in and anonymous views by day in ${timezone}, ${format.dayRange({ from: days[0]!.date, to: days.at(-1)!.date })}`,
    points: points(days),
    isUnfinished: days.at(-1)!.date === today,
    series: [
      {
        name: FIGURES.logged_in.label,
        tone: 'main',
        shape: 'area',
        values: days.map(({ logged_in }) => logged_in),
      },
      {
        name: FIGURES.anonymous.label,
        tone: 'second',
        shape: 'line',
        values: days.map(({ anonymous }) => anonymous),
      },
    ],
  }
}

export function minutesChart({ minutes }: Counting, zone: StatsZone): ChartSpec {
  return {
    size: 'small',
    label: 'Views in each of the last 60 minutes',
    points: minutes.map(({ minute }) => ({
      name: zoneMinute(minute, zone),
      tick: shortMinute(minute, zone),
    })),
    isUnfinished: false,
    series: [{ name: 'Views', tone: 'main', shape: 'bars', values: minutes.map(({ views }) => views) }],
  }
}

export function sparkChart({ points, isUnfinished }: PostRow['spark']): ChartSpec {
  return {
    size: 'spark',
    label: '',
    points: points.map(() => ({ name: '', tick: '' })),
    isUnfinished,
    series: [{ name: 'Views', tone: 'main', shape: 'area', values: points }],
  }
}

/** Beyond this many days, the axis shows months and years. */
const LONG_DAYS = 180

function points(days: DayFigures[]): ChartSpec['points'] {
  const tick = days.length > LONG_DAYS ? format.month : format.shortDay
  return days.map(({ date }) => ({ name: format.weekday(date), tick: tick(date) }))
}
