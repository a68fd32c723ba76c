/** Finds the days that a page is about, and adds them up: the sums and the chart at the top of both pages. */

import { FIGURE_NAMES, type FigureName } from '@postviews/client/src/figures.ts'
import type { Comparison, DayFigures, Spark, Sum, Sums, Trend } from './pages/model.ts'
import {
  addDays,
  type Day,
  type DayRange,
  daysBetween,
  MAX_PERIOD_DAYS,
  type PeriodName,
  type Question,
  type Who,
  yearBefore,
} from './pages/question.ts'

/** A chart has at least this many days: a single day shows no trend. */
const LEAST_SHOWN_DAYS = 14
/** The first that Analytics counts. */
export const FIRST_DAY = '1970-01-01'

export interface Ranges {
  period: DayRange
  /** The days that the period is compared with, of the same length; null if all days together are too many to read. */
  before: DayRange | null
  /** The period; if it is short, some more days up to its end. */
  shown: DayRange
  shownBefore: DayRange | null
  /** All of these days together. */
  asked: DayRange
  /** The days of the small lines beside posts, which need some days to be lines. */
  sparks: DayRange
  /** Whether views were counted in all of as many days before, so that a post's change against these can be told. */
  hasChange: boolean
  /** Whether the period is shown by the hour. */
  isByHour: boolean
}

/** The most days that Analytics gives by the hour. */
const MAX_HOUR_DAYS = 14

/** @param firstDay of the site's first view; null without any */
export function rangesOf(
  question: Pick<Question, 'period' | 'compare' | 'hours' | 'chosen'>,
  today: Day,
  firstDay: Day | null,
): Ranges {
  const period =
    typeof question.period === 'string'
      ? PERIOD_DAYS[question.period](today, firstDay)
      : upTo(today, question.period)
  const length = lengthOf(period)
  const isByHour =
    period.from <= today &&
    length <= MAX_HOUR_DAYS &&
    question.chosen === null &&
    (length === 1 || question.hours)
  const shown = lastDays(period.to, isByHour || length >= LEAST_SHOWN_DAYS / 2 ? length : LEAST_SHOWN_DAYS)
  const daysBefore = question.compare === 'year' ? sameDaysAYearBefore : rightBefore
  const before = daysBefore(period)
  const shownBefore = daysBefore(shown)
  const sparks = lastDays(period.to, Math.min(MAX_PERIOD_DAYS, Math.max(length, LEAST_SHOWN_DAYS)))
  const { from } = rightBefore(period)
  const hasChange = question.period !== 'all' && firstDay !== null && from >= firstDay && from >= FIRST_DAY
  const common = { period, shown, sparks, hasChange, isByHour }
  const isKnown =
    question.period !== 'all' &&
    shownBefore.from >= FIRST_DAY &&
    lengthOf({ from: shownBefore.from, to: period.to }) <= MAX_PERIOD_DAYS
  return isKnown
    ? { ...common, before, shownBefore, asked: { from: shownBefore.from, to: period.to } }
    : { ...common, before: null, shownBefore: null, asked: shown }
}

const PERIOD_DAYS: Record<PeriodName, (today: Day, firstDay: Day | null) => DayRange> = {
  today: today => lastDays(today, 1),
  '7d': today => lastDays(today, 7),
  '30d': today => lastDays(today, 30),
  '90d': today => lastDays(today, 90),
  '365d': today => lastDays(today, 365),
  yesterday: today => lastDays(addDays(today, -1), 1),
  month: today => ({ from: firstOfMonth(today), to: today }),
  'last-month': today => {
    const to = addDays(firstOfMonth(today), -1)
    return { from: firstOfMonth(to), to }
  },
  year: today => ({ from: `${today.slice(0, 4)}-01-01`, to: today }),
  all: (today, firstDay) => ({ from: firstDay ?? today, to: today }),
}

function firstOfMonth(day: Day): Day {
  return `${day.slice(0, 8)}01`
}

function lastDays(to: Day, count: number): DayRange {
  return { from: addDays(to, 1 - count), to }
}

/** As many days, just before. */
export function rightBefore(range: DayRange): DayRange {
  return lastDays(addDays(range.from, -1), lengthOf(range))
}

/** As many days, also where one of the two has a 29 February. */
function sameDaysAYearBefore(range: DayRange): DayRange {
  return lastDays(yearBefore(range.to), lengthOf(range))
}

export function lengthOf({ from, to }: DayRange): number {
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

/** What the days alone tell. */
export type DaysTrend = Pick<
  Trend,
  'timezone' | 'today' | 'period' | 'sums' | 'before' | 'days' | 'daysBefore'
>

/** @param days those of `ranges.asked`, oldest first */
export function trendOf(
  days: readonly DayFigures[],
  ranges: Ranges,
  { timezone, today, firstDay }: Place,
  isCompared: boolean,
): DaysTrend {
  const { period, before, shown, shownBefore } = ranges
  return {
    timezone,
    today,
    period,
    sums: sumsOf(within(days, period)),
    before: before && comparisonOf(days, period, before, today, earliest(firstDay, days)),
    days: within(days, shown),
    daysBefore: isCompared && shownBefore ? within(days, shownBefore) : null,
  }
}

/** The numbers of a period that is still to come are unknown, which is not the same as no views. */
export function trendToCome({ period }: Ranges, { timezone, today }: Place, who: Who): Trend {
  const unknown: Sum = { value: null, since: null }
  const sums = Object.fromEntries(FIGURE_NAMES.map(name => [name, unknown])) as Sums
  return {
    ...{ timezone, today, period, sums, before: null, days: [], daysBefore: null },
    ...{ hours: null, hoursBefore: null, chosen: null, published: [] },
    rest: { ...restOf(who), sum: unknown, before: null },
  }
}

/** Whose views are shown beside the chosen ones. */
export function restOf(who: Who): Pick<Trend['rest'], 'who' | 'isPart'> {
  return { who: who === 'bots' ? 'people' : 'bots', isPart: who === 'all' }
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
  const firstWithViews = days.find(({ views }) => views === null || views > 0)?.date ?? null
  if (firstDay === null || firstWithViews === null) return firstDay ?? firstWithViews
  return firstWithViews < firstDay ? firstWithViews : firstDay
}

export function within<OfDay extends { date: Day }>(days: readonly OfDay[], { from, to }: DayRange): OfDay[] {
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
  const points: (number | null)[] = []
  for (let index = first; index < days.length; index += daysPerPoint) {
    const views = days.slice(index, index + daysPerPoint).map(day => day.views)
    points.push(views.reduce((sum, count) => (sum === null || count === null ? null : sum + count), 0))
  }
  return { points, isUnfinished: days.at(-1)?.date === today }
}
