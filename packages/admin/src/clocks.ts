import type { ClockOffset } from '@postviews/client/src/index.ts'

/** No clock is ever set back by more. */
const LONGEST_CHANGE_MS = 86_400_000

/**
 * The offsets from a time on, ISO 8601, because nothing earlier is shown; and those of the day before, to know
 * whether an hour occurs twice.
 */
export function clocksFrom(offsets: readonly ClockOffset[], time: string): ClockOffset[] {
  const sinceMs = Date.parse(time) - LONGEST_CHANGE_MS
  const inForce = offsets.findLastIndex(({ from }) => Date.parse(from) <= sinceMs)
  return offsets.slice(Math.max(0, inForce))
}
