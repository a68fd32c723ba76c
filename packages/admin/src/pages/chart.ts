/** Charts as data; the browser draws them. If it does not, the tables beside them say the same. */

import { FIGURES } from '@postviews/client/src/figures.ts'
import { type StatsZone, shortMinute, zoneDay, zoneMinute } from '@postviews/client/src/zone-time.ts'
import { html } from 'htm/preact'
import { createContext, type VNode } from 'preact'
import { useContext, useEffect, useRef } from 'preact/hooks'
import * as format from './format.ts'
import { valueName } from './labels.ts'
import type {
  AiTrend,
  ChosenDays,
  Counting,
  DayFigures,
  HourViews,
  PostRow,
  Published,
  Trend,
} from './model.ts'
import type { Day } from './question.ts'

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
  /** The index of the point that is not over, today or this hour; null if all are. */
  unfinished: number | null
  /** What happened at a point. */
  notes?: { index: number; text: string }[]
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

export function trendChart(trend: Trend, zone: StatsZone, of: string): ChartSpec {
  if (trend.hours !== null) return hoursChart(trend, trend.hours, zone, of)
  return trend.chosen === null ? daysChart(trend, of) : chosenChart(trend, trend.chosen, of)
}

function daysChart(trend: Trend, of: string): ChartSpec {
  const { days, daysBefore } = trend
  return {
    ...byDay(trend, `Views and unique views ${of} by day`),
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

function chosenChart(trend: Trend, { dimension, value, days }: ChosenDays, of: string): ChartSpec {
  const views = new Map(days.map(day => [day.date, day.views]))
  const name = valueName(dimension, value)
  return {
    ...byDay(trend, `Views ${of} by day, ${name}`),
    series: [
      { name, tone: 'main', shape: 'area', values: trend.days.map(({ date }) => views.get(date) ?? null) },
    ],
  }
}

function hoursChart(
  { timezone, period, hoursBefore }: Trend,
  hours: HourViews[],
  zone: StatsZone,
  of: string,
): ChartSpec {
  const isOneDay = period.from === period.to
  const now = hours.findLastIndex(({ isToCome }) => !isToCome)
  const isNewDay = (index: number) =>
    index === 0 || zoneDay(hours[index]!.start, zone) !== zoneDay(hours[index - 1]!.start, zone)
  return {
    size: 'large',
    label: `Views ${of} by the hour in ${timezone}, ${format.dayRange(period)}`,
    points: hours.map(({ start }, index) => ({
      name: hourName(start, zone),
      tick: isOneDay ? shortMinute(start, zone) : isNewDay(index) ? shortDay(start, zone) : '',
    })),
    unfinished: hours.some(({ isToCome }) => isToCome) ? now : null,
    series: [
      { name: 'Views', tone: 'main', shape: 'area', values: hours.map(({ views }) => views) },
      ...(hoursBefore === null
        ? []
        : [
            {
              name: 'Views before',
              tone: 'before',
              shape: 'line',
              values: hoursBefore.map(({ views }) => views),
              valueNames: hoursBefore.map(({ start }) => hourName(start, zone)),
            } as const,
          ]),
    ],
  }
}

/** `22 Nov`. */
function shortDay(start: string, zone: StatsZone): string {
  return zoneDay(start, zone).replace(/ \d+$/, '')
}

export function hourName(start: string, zone: StatsZone): string {
  return `${zoneDay(start, zone)}, ${zoneMinute(start, zone)}`
}

/** What AI fetched for people, and the people it sent. */
export function aiChart({ answers, readers }: AiTrend, trend: Trend): ChartSpec {
  return {
    ...byDay(
      { ...trend, days: answers, published: [] },
      'What AI fetched to answer, and the readers it sent, by day',
    ),
    size: 'small',
    series: [
      { name: 'Fetched to answer', tone: 'second', shape: 'line', values: answers.map(({ views }) => views) },
      { name: 'Readers sent', tone: 'main', shape: 'area', values: readers.map(({ views }) => views) },
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

export function readersChart(trend: Trend): ChartSpec {
  const { days } = trend
  return {
    ...byDay({ ...trend, published: [] }, 'Logged-in and anonymous views by day'),
    size: 'small',
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

type Dated = Pick<Trend, 'timezone' | 'today' | 'published'> & { days: readonly { date: Day }[] }

function byDay({ days, today, timezone, published }: Dated, what: string): Omit<ChartSpec, 'series'> {
  const range = { from: days[0]!.date, to: days.at(-1)!.date }
  return {
    size: 'large',
    label: `${what} in ${timezone}, ${format.dayRange(range)}`,
    points: points(days),
    unfinished: range.to === today ? days.length - 1 : null,
    notes: notesOf(days, published),
  }
}

/** Longer ones would hide the chart. */
const TITLES_OF_NOTE = 3

export function notesOf(
  days: readonly { date: Day }[],
  published: readonly Published[],
): NonNullable<ChartSpec['notes']> {
  return days.flatMap(({ date }, index) => {
    const titles = published.filter(post => post.date === date).map(({ title }) => title)
    if (titles.length === 0) return []
    const more = titles.length - TITLES_OF_NOTE
    const named = titles.slice(0, TITLES_OF_NOTE).join('; ')
    return [{ index, text: `Published: ${named}${more > 0 ? `; ${more} more` : ''}` }]
  })
}

export function minutesChart({ minutes }: Counting, zone: StatsZone): ChartSpec {
  return {
    size: 'small',
    label: 'Views in each of the last 60 minutes',
    points: minutes.map(({ minute }) => ({
      name: zoneMinute(minute, zone),
      tick: shortMinute(minute, zone),
    })),
    unfinished: null,
    series: [{ name: 'Views', tone: 'main', shape: 'bars', values: minutes.map(({ views }) => views) }],
  }
}

export function sparkChart({ points, isUnfinished }: PostRow['spark']): ChartSpec {
  return {
    size: 'spark',
    label: '',
    points: points.map(() => ({ name: '', tick: '' })),
    unfinished: isUnfinished ? points.length - 1 : null,
    series: [{ name: 'Views', tone: 'main', shape: 'area', values: points }],
  }
}

/** Beyond this many days, the axis shows months and years. */
const LONG_DAYS = 180

function points(days: readonly { date: Day }[]): ChartSpec['points'] {
  const isLong = days.length > LONG_DAYS
  const tick = (date: Day) => {
    if (!isLong) return format.shortDay(date)
    return date.endsWith('-01') ? format.month(date) : ''
  }
  return days.map(({ date }) => ({ name: format.weekday(date), tick: tick(date) }))
}
