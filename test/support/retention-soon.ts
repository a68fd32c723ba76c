/** Loaded before the service (`--import`). The first run of retention, otherwise a minute after the start, happens at once. */

const FIRST_AFTER_MS = 60_000

const later = globalThis.setTimeout
let isScheduled = false
const sooner = (callback: () => void, ms?: number, ...values: []) => {
  // Other timers have the same duration; only the first is retention's.
  const isFirst = ms === FIRST_AFTER_MS && !isScheduled
  isScheduled ||= isFirst
  return later(callback, isFirst ? 0 : ms, ...values)
}
globalThis.setTimeout = Object.assign(sooner, later)
