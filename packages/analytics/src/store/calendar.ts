/** Which day, and which window of it, a moment belongs to. The service computes this, never the database. */

import { changeAt, firstInstantOf, NEWEST_RULES, type OffsetChange, type ZoneRules } from './zone-rules.ts'

const HOUR_SECONDS = 3_600
// Days by themselves know no zone: in UTC each has the same length.
const DAY_SECONDS = 86_400
const DAY_MS = 86_400_000

/** A day in `STATS_TIMEZONE`, as `YYYY-MM-DD`. */
export type Day = string

/** Where a moment falls. */
export interface Moment {
  day: Day
  /** The window's number within the day, from 0. */
  slice: number
}

interface Bounds {
  day: Day
  /** Unix seconds of the day's first instant. */
  start: number
  /** Unix seconds of the next day's first instant: 23, 24 or 25 hours later as a rule. */
  end: number
}

/**
 * The days of one time zone, cut into windows of elapsed hours from each day's first instant. The last window
 * ends with the day: where clocks go back it may be an hour more to the day, and so one short window more.
 */
export class Calendar {
  readonly timeZone: string
  readonly windowHours: number
  readonly rules: ZoneRules
  /** The zone's changes of offset. */
  readonly changes: readonly OffsetChange[]
  // Nearly every view falls on the day of the one before it.
  readonly #known: Bounds[] = []

  /** @throws {RangeError} where the rules know no such zone */
  constructor(timeZone: string, windowHours: number, rules: ZoneRules = NEWEST_RULES) {
    const zone = rules.zone(timeZone)
    if (zone === null) throw new RangeError(`there is no time zone ${timeZone}`)
    this.timeZone = timeZone
    this.windowHours = windowHours
    this.rules = rules
    this.changes = zone.changes
  }

  locate(unixSeconds: number): Moment {
    const { day, start } = this.#boundsAt(unixSeconds)
    const slice =
      this.windowHours === 24 ? 0 : Math.floor((unixSeconds - start) / (this.windowHours * HOUR_SECONDS))
    return { day, slice }
  }

  dayOf(unixSeconds: number): Day {
    return this.#boundsAt(unixSeconds).day
  }

  /** Unix seconds of the day's first instant, and of the next day's. */
  bounds(day: Day): { start: number; end: number } {
    const date = Date.parse(day) / DAY_MS
    return { start: this.#firstInstant(date), end: this.#firstInstant(date + 1) }
  }

  #boundsAt(unixSeconds: number): Bounds {
    for (const bounds of this.#known) {
      if (unixSeconds >= bounds.start && unixSeconds < bounds.end) return bounds
    }
    const { offset } = this.changes[changeAt(this.changes, unixSeconds)]!
    const date = Math.floor((unixSeconds + offset) / DAY_SECONDS)
    // Clocks set back across midnight show the day before once more, when the next has begun already.
    const day = dayText(unixSeconds < this.#firstInstant(date + 1) ? date : date + 1)
    const bounds = { day, ...this.bounds(day) }
    this.#known.unshift(bounds)
    if (this.#known.length > 64) this.#known.pop()
    return bounds
  }

  /** @param date days since 1970-01-01 */
  #firstInstant(date: number): number {
    return firstInstantOf(this.changes, date * DAY_SECONDS)
  }
}

function dayText(date: number): Day {
  return new Date(date * DAY_MS).toISOString().slice(0, 10)
}

/** The day so many days later, or earlier where `count` is negative. */
export function addDays(day: Day, count: number): Day {
  return dayText(Date.parse(day) / DAY_MS + count)
}

/** How many days `to` lies after `from`; 0 for the same day. */
export function daysBetween(from: Day, to: Day): number {
  return (Date.parse(to) - Date.parse(from)) / DAY_MS
}

/** Every day from `from` to `to`, both included, oldest first. */
export function daysFrom(from: Day, to: Day): Day[] {
  return Array.from({ length: Math.max(0, daysBetween(from, to) + 1) }, (_, index) => addDays(from, index))
}

/** The later of two days; null stands for the beginning of time. */
export function latest(a: Day | null, b: Day | null): Day | null {
  return a === null || (b !== null && b > a) ? b : a
}

/** Whether the text is a day that exists. */
export function isDay(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false
  const ms = Date.parse(text)
  return !Number.isNaN(ms) && dayText(ms / DAY_MS) === text
}
