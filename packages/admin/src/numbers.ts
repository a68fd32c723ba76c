/** Reads what every page shows: the trend, how far counting is, and lists of values. */

import {
  type ClockOffset,
  dayOf,
  type SiteHours,
  type Stats,
  type Status,
} from '@postviews/client/src/index.ts'
import { readValues } from './breakdowns.ts'
import { clocksFrom } from './clocks.ts'
import type { HourViews, Trend, ValueList } from './pages/model.ts'
import {
  addDays,
  type CardName,
  type Chosen,
  type Day,
  type DayRange,
  daysBetween,
  isOfMachines,
  listOf,
  type Question,
  type Who,
} from './pages/question.ts'
import type { Posts } from './posts.ts'
import { inOneCall, type Subject, subjectOf } from './subject.ts'
import { FIRST_DAY, type Ranges, rangesOf, restOf, trendOf, trendToCome } from './trend.ts'

/** What day it is, and since when views are counted: asked before anything else can be. */
export interface Calendar {
  timezone: string
  today: Day
  /** The day of the site's first view; null without any. */
  firstDay: Day | null
  status: Status
  /** As of which the oldest of the answers is. */
  asOf: string
}

/** @throws {StatsError} */
export async function readCalendar(stats: Stats, { period }: Pick<Question, 'period'>): Promise<Calendar> {
  // What day it is depends on the time zone that Analytics counts in.
  const [{ timezone, to: today }, status, site] = await Promise.all([
    stats.siteDays({ days: 1 }),
    stats.status(),
    stats.siteViews(),
  ])
  const firstTime = site.first_viewed_at === null ? null : dayOf(site.first_viewed_at, status.offsets)
  const mayBeEarlier = period === 'all' && site.details_since !== undefined
  return {
    timezone,
    today,
    firstDay: mayBeEarlier ? await firstDayOf(stats, today) : firstTime,
    status,
    asOf: oldest(status.as_of, site.as_of),
  }
}

/** Adopted days have views without times, so the first of them must be looked for. A gap of years is taken for the beginning. */
async function firstDayOf(stats: Stats, today: Day): Promise<Day | null> {
  let first: Day | null = null
  for (let to = today; to > FIRST_DAY; ) {
    const range = inOneCall({ from: FIRST_DAY, to })
    const { days } = await stats.siteDays(range)
    const found = days.find(({ views }) => views > 0)
    if (found === undefined) break
    first = found.date
    to = addDays(range.from, -1)
  }
  return first
}

type Hour = SiteHours['hours'][number]

export interface Numbers {
  trend: Trend
  lists: Partial<Record<CardName, ValueList>>
  ranges: Ranges
  asOf: string
}

/**
 * @param cards whose lists are shown
 * @throws {StatsError}
 */
export async function readNumbers(
  stats: Stats,
  posts: Posts,
  calendar: Calendar,
  { post, question, cards }: { post: string | null; question: Question; cards: readonly CardName[] },
): Promise<Numbers> {
  const { today, firstDay } = calendar
  const subject = subjectOf(stats, post)
  const ranges = rangesOf(question, today, firstDay)
  if (ranges.period.from > today) {
    return { trend: trendToCome(ranges, calendar, question.who), lists: {}, ranges, asOf: calendar.asOf }
  }
  const [trend, lists] = await Promise.all([
    readTrend(subject, posts, calendar, ranges, question),
    Promise.all(
      cards.map(async card => ({
        card,
        ...(await readValues(
          subject,
          listOf(question, card),
          ranges.period,
          isOfMachines(listOf(question, card)) ? 'bots' : question.who,
        )),
      })),
    ),
  ])
  return {
    trend: trend.trend,
    lists: Object.fromEntries(lists.map(({ card, list }) => [card, list])),
    ranges,
    asOf: oldest(calendar.asOf, trend.asOf, ...lists.map(({ asOf }) => asOf)),
  }
}

async function readTrend(
  subject: Subject,
  posts: Posts,
  calendar: Calendar,
  ranges: Ranges,
  { who, compare, chosen }: Question,
): Promise<{ trend: Trend; asOf: string }> {
  const { shown, shownBefore, asked, isByHour } = ranges
  const { offsets } = calendar.status
  const before = compare === null ? null : shownBefore
  const rest = restOf(who)
  const [days, restDays, hours, hoursBefore, value, published] = await Promise.all([
    subject.days(asked, who),
    subject.days(asked, rest.who),
    isByHour ? subject.hours({ ...shown, who }) : null,
    isByHour && before !== null ? subject.hours({ ...before, who }) : null,
    chosen === null ? null : readChosen(subject, chosen, shown, who),
    posts.published(subject.post, shown),
  ])
  const answers = [days, restDays, hours, hoursBefore, value].filter(answer => answer !== null)
  const asOf = oldest(...answers.map(({ as_of }) => as_of))
  const ofRest = trendOf(restDays.days, ranges, calendar, false)
  return {
    trend: {
      ...trendOf(days.days, ranges, calendar, before !== null),
      hours: hours?.hours.map(hour => toHour(hour, asOf)) ?? null,
      hoursBefore:
        hours && before && hoursBefore && sameHours(hours.hours, shown, hoursBefore.hours, before, offsets),
      chosen: value && { ...value.chosen, days: value.days },
      rest: { ...rest, sum: ofRest.sums.views, before: ofRest.before },
      published: published
        .map(({ publishedAt, ...post }) => ({ ...post, date: dayOf(publishedAt, offsets) }))
        .filter(({ date }) => date >= shown.from && date <= shown.to),
    },
    asOf,
  }
}

async function readChosen(subject: Subject, { dimension, value }: Chosen, shown: DayRange, who: Who) {
  const told = await subject.valueDays(dimension, {
    ...inOneCall(shown),
    // Only machines have names and purposes.
    who: isOfMachines(dimension) ? 'bots' : who,
    ...(value !== null && { value }),
  })
  return { chosen: { dimension, value }, ...told }
}

function toHour({ start, views }: Hour, asOf: string): HourViews {
  return { start, views, ...(Date.parse(start) > Date.parse(asOf) && { isToCome: true }) }
}

/** The hours of the days before that correspond to these: of the same day and the same hour within it. */
function sameHours(
  hours: readonly Hour[],
  shown: DayRange,
  hoursBefore: readonly Hour[],
  before: DayRange,
  offsets: readonly ClockOffset[],
): HourViews[] {
  const keyOf = ({ start, hour }: Hour, { from }: DayRange) =>
    `${daysBetween(from, dayOf(start, offsets))} ${hour}`
  const byKey = new Map(hoursBefore.map(hour => [keyOf(hour, before), hour]))
  return hours.map(hour => {
    const { start, views } = byKey.get(keyOf(hour, shown)) ?? { ...hour, views: null }
    return { start, views }
  })
}

/** What pages say besides the numbers of the period. */
export function countingOf(
  { status }: Calendar,
  { hours, hoursBefore }: Trend,
  firstViewedAt: string | null = null,
) {
  const { as_of: countedAt, offsets, timezone, zone_rules: _rules, ...counting } = status
  const shown = [
    ...counting.minutes.map(({ minute }) => minute),
    ...[hours, hoursBefore].flatMap(list => list?.map(({ start }) => start) ?? []),
    ...(firstViewedAt === null ? [] : [firstViewedAt]),
  ]
  return { counting, zone: { timezone, offsets: clocksFrom(offsets, oldest(countedAt, ...shown)) } }
}

/** Compares the times as texts: Analytics writes them so that both orders are the same. */
export function oldest(...times: string[]): string {
  return times.reduce((a, b) => (b < a ? b : a))
}
