/** What the routes of breakdowns answer: which views are chosen, and which values of them are listed. */

import type { DimensionName } from '@postviews/client/src/figures.ts'
import { NO_VALUE } from '../store/bounds.ts'
import type { Calendar } from '../store/calendar.ts'
import type { CountingSettings } from '../store/counting-settings.ts'
import { addDays, type Day } from '../store/days.ts'
import { isOfBots } from '../store/dimensions.ts'
import { known } from '../store/figures.ts'
import { isOwnHost, type OwnHosts } from '../store/own-hosts.ts'
import { byViews, type Views } from '../store/pack.ts'
import type { BreakdownOfDay, BreakdownOfPeriod } from '../store/store.ts'
import type * as schemas from './schemas.ts'

/** Which views are chosen. */
export interface Chosen {
  dimension: DimensionName
  bots: CountingSettings['bots']
  who: schemas.Who | undefined
}

export interface Question extends Chosen {
  limit: number
  offset: number
  ownHosts: OwnHosts
}

type Answer = Omit<schemas.Breakdown, 'as_of' | 'timezone' | 'from' | 'to'>

export function answerOf({ values, others, days }: BreakdownOfPeriod, question: Question): Answer {
  const { dimension, limit, offset, ownHosts } = question
  const seen = [...values]
    .map(([value, views]): [string, Views] => [value, chosen(views, question)])
    .filter(([, { views }]) => views > 0)
    .sort(dimension === 'hour' ? byHour : byViews)
  const page = seen.slice(offset, offset + limit)
  const left = [...seen.slice(0, offset), ...seen.slice(offset + limit)].map(([, views]) => views)
  const beyond = others === null ? [] : [chosen(others, question)]
  const other = sumOf([...left, ...beyond])
  // A day whose bots are not known: nobody can tell people from machines.
  const all = days.map(day => chosen(day.all, question))
  const views = known(sumOf(all).views)
  const listed = sumOf(seen.map(([, views]) => views).concat(beyond)).views
  const unknownDays = days.filter(
    day => chosen(day.known, question).views !== chosen(day.all, question).views,
  )
  const lastUnknown = unknownDays
    .map(({ date }) => date)
    .sort()
    .at(-1)
  return {
    dimension,
    details_since: lastUnknown === undefined ? null : addDays(lastUnknown, 1),
    views,
    total: seen.length,
    values: page.map(([value, { views, bots }]) => ({
      value: value === NO_VALUE ? null : value,
      views,
      bots,
      ...(dimension === 'referrer' && isOwnHost(ownHosts, value) && { internal: true as const }),
    })),
    other: { values: others === null ? left.length : null, views: known(other.views), bots: other.bots },
    unknown: { views: views === null ? null : known(views - listed) },
  }
}

function byHour([a]: [string, Views], [b]: [string, Views]): number {
  return Number(a) - Number(b)
}

/** The referring hosts in the words of `/referrers`. */
export function referrersOf({ values, other }: Answer): Pick<schemas.SiteReferrers, 'referrers' | 'other'> {
  return {
    referrers: values.map(({ value, views, internal }) => ({
      host: value,
      views,
      ...(internal && { internal }),
    })),
    other: { views: other.views },
  }
}

/** The views of a value on a day; null if nobody knows them. */
export function ofValue(day: BreakdownOfDay | undefined, value: string, question: Chosen): Counted {
  if (day === undefined) return NO_VIEWS
  const isKnown = chosen(day.known, question).views === chosen(day.all, question).views
  const found = day.values.get(value)
  // Where some values are not kept, one that is missing may be among them.
  if (!isKnown || (found === undefined && day.hasOthers)) return UNKNOWN
  const { views, bots } = chosen(found ?? NOTHING, question)
  return { views: known(views), bots }
}

interface Counted {
  views: number | null
  bots: number | null
}

const NO_VIEWS: Counted = { views: 0, bots: 0 }
const UNKNOWN: Counted = { views: null, bots: null }

/** The days of a value, each of `dates`. */
export function daysOfValue(
  days: readonly BreakdownOfDay[],
  dates: readonly Day[],
  value: string,
  question: Chosen,
): schemas.ValueDay[] {
  const byDate = new Map(days.map(day => [day.date, day]))
  return dates.map(date => ({ date, ...ofValue(byDate.get(date), value, question) }))
}

const HOUR_SECONDS = 3_600

/** Every hour of the days. Those that have not begun by `now` (Unix seconds) are not known yet. */
export function hoursOf(
  days: readonly BreakdownOfDay[],
  dates: readonly Day[],
  question: Chosen,
  { calendar, now }: { calendar: Calendar; now: number },
): schemas.Hour[] {
  const byDate = new Map(days.map(day => [day.date, day]))
  return dates.flatMap(date => {
    const { start, end } = calendar.bounds(date)
    return Array.from({ length: Math.ceil((end - start) / HOUR_SECONDS) }, (_, hour) => {
      const from = start + hour * HOUR_SECONDS
      const counted = from > now ? UNKNOWN : ofValue(byDate.get(date), String(hour), question)
      return { start: new Date(from * 1_000).toISOString().replace('.000Z', 'Z'), hour, ...counted }
    })
  })
}

/** Those of the views that are asked for; NaN if nobody knows how many. */
export function chosen({ views, bots }: Views, { dimension, bots: setting, who }: Chosen): Views {
  const ofBots = { views: bots ?? Number.NaN, bots }
  if (isOfBots(dimension)) return who === 'people' ? NOTHING : ofBots
  // With BOTS=exclude, `views` are people's, and bots come on top of them.
  const isExcluded = setting === 'exclude'
  if (who === 'bots') return ofBots
  if (who === 'people') return { views: isExcluded ? views : views - (bots ?? Number.NaN), bots: 0 }
  if (!isExcluded) return { views, bots }
  return who === 'all' ? { views: views + (bots ?? Number.NaN), bots } : { views, bots: 0 }
}

const NOTHING: Views = { views: 0, bots: 0 }

function sumOf(some: readonly Views[]): Views {
  const sum: Views = { views: 0, bots: 0 }
  for (const { views, bots } of some) {
    sum.views += views
    sum.bots = sum.bots === null || bots === null ? null : sum.bots + bots
  }
  return sum
}
