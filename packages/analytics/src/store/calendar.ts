/** Which day, and which window of it, a moment belongs to. The service computes this, never the database. */

import { DAY_MS, type Day, dayText } from './days.ts'
import { changeAt, firstInstantOf, NEWEST_RULES, type OffsetChange, type ZoneRules } from './zone-rules.ts'

const HOUR_SECONDS = 3_600
const DAY_SECONDS = 86_400

/** Where a moment falls. */
export interface Moment {
  day: Day
  /** The window's number within the day, from 0. */
  slice: number
  /** Elapsed hours since the day's first instant: 0 to 24. */
  hour: number
}

interface Bounds {
  day: Day
  /** Unix seconds of the day's first instant. */
  start: number
  /** Unix seconds of the next day's first instant: usually 23, 24 or 25 hours later. */
  end: number
}

/**
 * The days of one time zone, divided into windows of `windowHours` elapsed hours from each day's first instant. The last window
 * ends with the day. A day on which clocks go back may be an hour longer, and so have one more, short window.
 */
export class Calendar {
  readonly timeZone: string
  readonly windowHours: number
  readonly rules: ZoneRules
  /** The zone's changes of offset. */
  readonly changes: readonly OffsetChange[]
  // A cache, because nearly every view falls on the same day as the view before it.
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
    const hour = Math.floor((unixSeconds - start) / HOUR_SECONDS)
    return { day, slice: this.windowHours === 24 ? 0 : Math.floor(hour / this.windowHours), hour }
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
    // If clocks are set back across midnight, they show the previous date again, but the new day has already begun.
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
