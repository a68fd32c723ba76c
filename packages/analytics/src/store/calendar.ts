/** Which day, and which window of it, a moment belongs to. The service computes this, never the database. */

import { Temporal } from 'temporal-polyfill'
import { firstNameOf } from './time-zone.ts'

const HOUR_SECONDS = 3_600

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
  // Asking for a zone's rules costs microseconds, and nearly every view falls on the day of the one before it.
  readonly #known: Bounds[] = []

  constructor(timeZone: string, windowHours: number) {
    this.timeZone = timeZone
    this.windowHours = windowHours
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
    const date = Temporal.PlainDate.from(day)
    return { start: this.#firstInstant(date), end: this.#firstInstant(date.add({ days: 1 })) }
  }

  #boundsAt(unixSeconds: number): Bounds {
    for (const bounds of this.#known) {
      if (unixSeconds >= bounds.start && unixSeconds < bounds.end) return bounds
    }
    const date = Temporal.Instant.fromEpochMilliseconds(unixSeconds * 1_000)
      .toZonedDateTimeISO(this.timeZone)
      .toPlainDate()
    const next = date.add({ days: 1 })
    // Clocks set back across midnight show the day before once more, when the next has begun already.
    const day = (unixSeconds < this.#firstInstant(next) ? date : next).toString()
    const bounds = { day, ...this.bounds(day) }
    this.#known.unshift(bounds)
    if (this.#known.length > 64) this.#known.pop()
    return bounds
  }

  #firstInstant(date: Temporal.PlainDate): number {
    return date.toZonedDateTime(this.timeZone).epochMilliseconds / 1_000
  }
}

// Days by themselves know no zone: in UTC each has the same length.
const DAY_MS = 86_400_000

/** The day so many days later, or earlier where `count` is negative. */
export function addDays(day: Day, count: number): Day {
  return new Date(Date.parse(day) + count * DAY_MS).toISOString().slice(0, 10)
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
  try {
    return Temporal.PlainDate.from(text, { overflow: 'reject' }).toString() === text
  } catch {
    // A RangeError is how Temporal says that there is no such day.
    return false
  }
}

/**
 * An IANA time zone in its own spelling, from a name in any letter case; null where this runtime knows none. An alias
 * stays one: which of its names is a zone's first differs from runtime to runtime.
 */
export function timeZoneNamed(name: string): string | null {
  if (firstNameOf(name) === null) return null
  return Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name).timeZoneId
}
