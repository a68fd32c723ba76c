/** What a store's reads of breakdowns answer, from what it keeps of each day. */

import type { DimensionName } from '@postviews/client/src/figures.ts'
import { type CountedBy, settingsOn } from './bots-before.ts'
import type { Day } from './days.ts'
import { addViews, Breakdown, type Views } from './pack.ts'
import type { BreakdownOfDay, BreakdownOfPeriod } from './store.ts'

export interface Asked {
  name: DimensionName
  /** Null: the whole site. */
  posts: readonly string[] | null
  from: Day
  to: Day
}

/** What is kept of one day. */
export interface ReadDay {
  /** Which of those that were asked for. */
  post: string
  day: Day
  breakdown: Breakdown
  /** All views of the day; null if it has none. */
  all: Views | null
}

/** The days as they would be counted by what `BOTS` is now. Views are NaN where it is not known how many were bots'. */
export async function* asNow(days: AsyncIterable<ReadDay>, by: CountedBy): AsyncGenerator<ReadDay> {
  for await (const read of days) {
    if (settingsOn(by, read.day).bots === by.settings.bots) {
      yield read
      continue
    }
    const converted = ({ views, bots }: Views): Views => {
      const ofBots = bots ?? Number.NaN
      return { views: by.settings.bots === 'exclude' ? views - ofBots : views + ofBots, bots }
    }
    const breakdown = new Breakdown()
    for (const [value, views] of read.breakdown.values) breakdown.set(value, converted(views))
    if (read.breakdown.others !== null) breakdown.addToOthers(converted(read.breakdown.others))
    yield { ...read, breakdown, all: read.all && converted(read.all) }
  }
}

export async function periodOf(days: AsyncIterable<ReadDay>): Promise<BreakdownOfPeriod> {
  const read: BreakdownOfPeriod = { values: new Map(), others: null, days: [] }
  for await (const day of days) {
    for (const [value, views] of day.breakdown.values) {
      const before = read.values.get(value)
      if (before === undefined) read.values.set(value, { ...views })
      else addViews(before, views)
    }
    const { others } = day.breakdown
    if (others !== null) {
      read.others ??= { views: 0, bots: 0 }
      addViews(read.others, others)
    }
    read.days.push(sumsOf(day))
  }
  return read
}

export async function daysOf(
  days: AsyncIterable<ReadDay>,
  isAsked: (value: string) => boolean,
): Promise<BreakdownOfDay[]> {
  const read: BreakdownOfDay[] = []
  for await (const day of days) read.push(dayOf(day, isAsked))
  return read
}

/** The same by post, for each of `posts`. */
export async function daysOfPosts(
  posts: readonly string[],
  days: AsyncIterable<ReadDay>,
  isAsked: (value: string) => boolean,
): Promise<Map<string, BreakdownOfDay[]>> {
  const read = new Map<string, BreakdownOfDay[]>(posts.map(post => [post, []]))
  for await (const day of days) read.get(day.post)?.push(dayOf(day, isAsked))
  return read
}

function dayOf(day: ReadDay, isAsked: (value: string) => boolean): BreakdownOfDay {
  const { values, others } = day.breakdown
  return {
    ...sumsOf(day),
    values: new Map([...values].filter(([value]) => isAsked(value))),
    hasOthers: others !== null,
  }
}

function sumsOf({ day, breakdown, all }: ReadDay): BreakdownOfPeriod['days'][number] {
  const known: Views = { views: 0, bots: 0 }
  for (const [, views] of breakdown.entries()) addViews(known, views)
  return { date: day, all: all ?? { views: 0, bots: 0 }, known }
}
