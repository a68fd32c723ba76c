/** Finds the days that a page is about, and adds them up: the sums and the chart at the top of both pages. */

import { FIGURE_NAMES, type FigureName } from '@postviews/client/src/figures.ts'
import type { ClockOffset } from '@postviews/client/src/index.ts'
import type { Comparison, DayFigures, Spark, Sum, Sums, Trend } from './pages/model.ts'
import {
  addDays,
  type Day,
  type DayRange,
  daysBetween,
  MAX_PERIOD_DAYS,
  PERIODS,
  type Question,
} from './pages/question.ts'

/** A chart has at least this many days: a single day shows no trend. */
const LEAST_SHOWN_DAYS = 14
const FIRST_DAY = '1970-01-01'

export interface Ranges {
  period: DayRange
  /** The days right before, of the same length; null if all days together are more than Analytics gives at once. */
  before: DayRange | null
  /** The period; if it is short, some more days up to its end. */
  shown: DayRange
  shownBefore: DayRange | null
  /** All of these days together. */
  asked: DayRange
}

export function rangesOf(asked: Question['period'], today: Day): Ranges {
  const period = typeof asked === 'string' ? lastDays(today, PERIODS[asked].days) : upTo(today, asked)
  const length = lengthOf(period)
  const shown = lastDays(period.to, length < LEAST_SHOWN_DAYS / 2 ? LEAST_SHOWN_DAYS : length)
  const before = daysBefore(period)
  const shownBefore = daysBefore(shown)
  const isKnown = shownBefore.from >= FIRST_DAY && 2 * lengthOf(shown) <= MAX_PERIOD_DAYS
  return isKnown
    ? { period, before, shown, shownBefore, asked: { from: shownBefore.from, to: period.to } }
    : { period, before: null, shown, shownBefore: null, asked: shown }
}

function lastDays(to: Day, count: number): DayRange {
  return { from: addDays(to, 1 - count), to }
}

function daysBefore(range: DayRange): DayRange {
  return lastDays(addDays(range.from, -1), lengthOf(range))
}

function lengthOf({ from, to }: DayRange): number {
  return daysBetween(from, to) + 1
}

// Days to come would be drawn as days without views.
function upTo(today: Day, { from, to }: DayRange): DayRange {
  return { from, to: from <= today && to > today ? today : to }
}

export interface Place {
  timezone: string
  today: Day
  /** The day of the site's first view; null without any. */
  firstDay: Day | null
}

/** @param days those of `ranges.asked`, oldest first */
export function trendOf(
  days: readonly DayFigures[],
  ranges: Ranges,
  { timezone, today, firstDay }: Place,
  compare: boolean,
): Trend {
  const { period, before, shown, shownBefore } = ranges
  return {
    timezone,
    today,
    period,
    sums: sumsOf(within(days, period)),
    before: before && comparisonOf(days, period, before, today, earliest(firstDay, days)),
    days: within(days, shown),
    daysBefore: compare && shownBefore ? within(days, shownBefore) : null,
  }
}

/** The numbers of a period that is still to come are unknown, which is not the same as no views. */
export function trendToCome({ period }: Ranges, { timezone, today }: Place): Trend {
  const unknown: Sum = { value: null, since: null }
  const sums = Object.fromEntries(FIGURE_NAMES.map(name => [name, unknown])) as Sums
  return { timezone, today, period, sums, before: null, days: [], daysBefore: null }
}

function comparisonOf(
  days: readonly DayFigures[],
  period: DayRange,
  before: DayRange,
  today: Day,
  firstDay: Day | null,
): Comparison {
  const isWithoutToday = period.to === today
  const isToday = period.from === today
  // A single day is compared with the whole day before: without that day, nothing would be left.
  const then = isWithoutToday && !isToday ? { from: before.from, to: addDays(before.to, -1) } : before
  const over = isWithoutToday ? { from: period.from, to: addDays(today, -1) } : period
  return {
    period: then,
    sums: sumsOf(within(days, then)),
    over: isToday ? null : sumsOf(within(days, over)),
    isWithoutToday,
    countedSince: firstDay !== null && firstDay > then.from ? firstDay : null,
  }
}

/** Adopted days have views without times, so there may be earlier views than the first that Analytics reports. */
function earliest(firstDay: Day | null, days: readonly DayFigures[]): Day | null {
  const firstWithViews = days.find(({ views }) => views > 0)?.date ?? null
  if (firstDay === null || firstWithViews === null) return firstDay ?? firstWithViews
  return firstWithViews < firstDay ? firstWithViews : firstDay
}

/**
 * The day of a time, in the zone that days are counted in.
 *
 * @param time ISO 8601
 * @param offsets oldest first
 */
export function dayOf(time: string, offsets: readonly ClockOffset[]): Day {
  const ms = Date.parse(time)
  const { seconds } = offsets.findLast(({ from }) => Date.parse(from) <= ms) ?? offsets[0] ?? { seconds: 0 }
  return new Date(ms + seconds * 1_000).toISOString().slice(0, 10)
}

export function within(days: readonly DayFigures[], { from, to }: DayRange): DayFigures[] {
  return days.filter(({ date }) => date >= from && date <= to)
}

export function sumsOf(days: readonly DayFigures[]): Sums {
  return Object.fromEntries(FIGURE_NAMES.map(name => [name, sumOf(days, name)])) as Sums
}

/** Sums as Analytics does: from the day after the last unknown one on. */
export function sumOf(days: readonly DayFigures[], name: FigureName): Sum {
  const unknownUntil = days.findLastIndex(day => day[name] === null)
  const known = days.slice(unknownUntil + 1)
  if (known.length === 0 && days.length > 0) return { value: null, since: null }
  return {
    value: known.reduce((sum, day) => sum + (day[name] ?? 0), 0),
    since: unknownUntil === -1 ? null : known[0]!.date,
  }
}

const MAX_SPARK_POINTS = 60

/** The views of each day, oldest first, with today so far. Many days are summed to few points, each of as many days. */
export function sparkOf(days: readonly DayFigures[], today: Day): Spark {
  const daysPerPoint = Math.max(1, Math.ceil(days.length / MAX_SPARK_POINTS))
  // The last point has all its days: with fewer it would look like a fall. Instead, the first days may be left out.
  const first = days.length % daysPerPoint
  const points: number[] = []
  for (let index = first; index < days.length; index += daysPerPoint) {
    points.push(days.slice(index, index + daysPerPoint).reduce((sum, { views }) => sum + views, 0))
  }
  return { points, isUnfinished: days.at(-1)?.date === today }
}
