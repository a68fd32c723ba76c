/** Loaded before the service (`--import`): retention, whose first run is a minute after the start, runs at once. */

const FIRST_AFTER_MS = 60_000

const later = globalThis.setTimeout
let isScheduled = false
const sooner = (callback: () => void, ms?: number, ...values: []) => {
  // Others wait as long for something else.
  const isFirst = ms === FIRST_AFTER_MS && !isScheduled
  isScheduled ||= isFirst
  return later(callback, isFirst ? 0 : ms, ...values)
}
globalThis.setTimeout = Object.assign(sooner, later)
