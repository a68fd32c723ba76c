/** Arithmetic on days. UTC is enough for it: there, every day has the same length. */

/** A day in `STATS_TIMEZONE`, as `YYYY-MM-DD`. */
export type Day = string

export const DAY_MS = 86_400_000

/** @param date days since 1970-01-01 */
export function dayText(date: number): Day {
  return new Date(date * DAY_MS).toISOString().slice(0, 10)
}

/** The day `count` days later; earlier if `count` is negative. */
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

/** From one day to another, both included. */
export interface Period {
  from: Day
  to: Day
}

/**
 * As many days, just before the period.
 *
 * @throws {RangeError} for all time, which nothing is before
 */
export function periodBefore(period: Period | null): Period {
  if (period === null) throw new RangeError('there is no period before all time')
  const { from, to } = period
  return { from: addDays(from, -1 - daysBetween(from, to)), to: addDays(from, -1) }
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
