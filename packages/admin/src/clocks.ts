import type { Clocks } from './pages/model.ts'

/** The clocks from a time on, ISO 8601: nothing earlier is shown. */
export function clocksFrom(offsets: Clocks, time: string): Clocks {
  const inForce = offsets.findLastIndex(({ from }) => Date.parse(from) <= Date.parse(time))
  return offsets.slice(Math.max(0, inForce))
}
