/** From a question to the days it is about, and from days to sums: what both pages show first. */

import type { DayFigures, FigureName, Sum, Sums, Trend } from './pages/model.ts'
import {
  addDays,
  type Day,
  type DayRange,
  daysBetween,
  MAX_PERIOD_DAYS,
  PERIODS,
  type Question,
} from './pages/question.ts'

/** A chart has at least so many days: one by itself shows no trend. */
const LEAST_SHOWN_DAYS = 14
const FIRST_DAY = '1970-01-01'
const FIGURE_NAMES: readonly FigureName[] = ['views', 'unique_views', 'logged_in', 'anonymous', 'bots']

export interface Ranges {
  period: DayRange
  /** Right before it, of the same length; null where all of it together is more than Analytics tells at once. */
  before: DayRange | null
  /** The period, or, where that is short, some days up to its end. */
  shown: DayRange
  shownBefore: DayRange | null
  /** All of these. */
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

/** @param days those of `ranges.asked`, oldest first */
export function trendOf(
  days: readonly DayFigures[],
  ranges: Ranges,
  place: { timezone: string; today: Day },
  compare: boolean,
): Trend {
  const { period, before, shown, shownBefore } = ranges
  return {
    ...place,
    period,
    sums: sumsOf(within(days, period)),
    before: before && { period: before, sums: sumsOf(within(days, before)) },
    days: within(days, shown),
    daysBefore: compare && shownBefore ? within(days, shownBefore) : null,
  }
}

export function within(days: readonly DayFigures[], { from, to }: DayRange): DayFigures[] {
  return days.filter(({ date }) => date >= from && date <= to)
}

function sumsOf(days: readonly DayFigures[]): Sums {
  return Object.fromEntries(FIGURE_NAMES.map(name => [name, sumOf(days, name)])) as Sums
}

/** As Analytics does: where earlier days are unknown, what is known is added up from the day after them on. */
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

/**
 * The views of the days that are over, oldest first; many days are added up to few points, each of as many days.
 */
export function sparkOf(all: readonly DayFigures[], today: Day): number[] {
  const days = all.filter(({ date }) => date < today)
  const daysPerPoint = Math.max(1, Math.ceil(days.length / MAX_SPARK_POINTS))
  // The last point is whole: one of fewer days would look like a fall. The first days may be left out for it.
  const first = days.length % daysPerPoint
  const points: number[] = []
  for (let index = first; index < days.length; index += daysPerPoint) {
    points.push(days.slice(index, index + daysPerPoint).reduce((sum, { views }) => sum + views, 0))
  }
  return points
}
