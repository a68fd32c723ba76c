/** What numbers are about: the whole site, or one post. Both are asked the same questions. */

import type { DimensionName } from '@postviews/client/src/figures.ts'
import type {
  BreakdownQuery,
  HoursQuery,
  SiteBreakdown,
  SiteHours,
  SiteValueDays,
  Stats,
  ValueQuery,
} from '@postviews/client/src/index.ts'
import type { DayFigures } from './pages/model.ts'
import { addDays, type DayRange, daysBetween, MAX_PERIOD_DAYS, type Who } from './pages/question.ts'

export interface Days {
  timezone: string
  days: DayFigures[]
  as_of: string
}

/** Every method throws a `StatsError` if the numbers are unknown. */
export interface Subject {
  /** Null: the whole site. */
  post: string | null
  /** As many days as one likes, oldest first. */
  days(range: DayRange, who: Who): Promise<Days>
  hours(query: HoursQuery): Promise<SiteHours>
  breakdown(dimension: DimensionName, query: BreakdownQuery): Promise<SiteBreakdown>
  valueDays(dimension: DimensionName, query: ValueQuery): Promise<SiteValueDays>
}

export function subjectOf(stats: Stats, post: string | null): Subject {
  const subject = (ask: (range: DayRange, who: Who) => Promise<Days>) => ({
    post,
    days: (range: DayRange, who: Who) => inCalls(range, part => ask(part, who)),
  })
  if (post === null) {
    return {
      ...subject((range, who) => stats.siteDays({ ...range, who })),
      hours: query => stats.siteHours(query),
      breakdown: (dimension, query) => stats.siteBreakdown(dimension, query),
      valueDays: (dimension, query) => stats.siteValueDays(dimension, query),
    }
  }
  return {
    ...subject((range, who) => stats.postDays(post, { ...range, who })),
    hours: query => stats.postHours(post, query),
    breakdown: (dimension, query) => stats.postBreakdown(post, dimension, query),
    valueDays: (dimension, query) => stats.postValueDays(post, dimension, query),
  }
}

/** More days than Analytics gives at once are asked for in several calls. */
async function inCalls<Answer extends Pick<Days, 'as_of' | 'days'>>(
  { from, to }: DayRange,
  ask: (range: DayRange) => Promise<Answer>,
): Promise<Answer> {
  const first = addDays(to, 1 - MAX_PERIOD_DAYS)
  if (daysBetween(from, first) <= 0) return ask({ from, to })
  const [before, last] = await Promise.all([
    inCalls({ from, to: addDays(first, -1) }, ask),
    ask({ from: first, to }),
  ])
  const asOf = before.as_of < last.as_of ? before.as_of : last.as_of
  return { ...last, days: [...before.days, ...last.days], as_of: asOf }
}

/** The last days of the range that Analytics gives at once. */
export function inOneCall({ from, to }: DayRange): DayRange {
  const first = addDays(to, 1 - MAX_PERIOD_DAYS)
  return from < first ? { from: first, to } : { from, to }
}
