/** Calls `trackView` many times and measures the cost for this process. Prints `Tracked` as JSON. */

import { createTracker, type TrackerStats } from '@postviews/client/src/index.ts'
import { makeEvents } from '../events.ts'
import { peakResidentBytes, percentile, residentBytes } from '../measure.ts'

/** The only argument, as JSON. */
export interface TrackOptions {
  amqpUrl: string
  events: number
  /** At a steady rate; 0: as fast as events are confirmed, with at most `PENDING` unconfirmed. */
  eventsPerSecond: number
  /** Does not wait for confirms, because there may be no broker to send them. */
  withoutBroker: boolean
}

export interface Tracked {
  /** Of one call, in microseconds. Reading the clock itself takes about 0.05. */
  p50Us: number
  p99Us: number
  maxUs: number
  /** Of this process, with everything that follows a call: grouping, publishing, confirms. */
  cpuUsPerEvent: number
  /** Confirmed events per second, from the first call to the last confirm. */
  confirmedPerSecond: number
  /** Before the first call, but with its events already created. */
  residentBefore: number
  peakResident: number
  stats: TrackerStats
}

const PENDING = 20_000
const SLICE = 100
const TICK_MS = 2
const POOL = 20_000
const FLUSH_MS = 60_000

const options = JSON.parse(process.argv[2]!) as TrackOptions
// The client sets id and time.
const pool = makeEvents({ seed: 'track', count: POOL, untilMs: Date.now() }).map(
  ({ event_id: _id, timestamp: _time, ...event }) => event,
)
const tookUs = new Float64Array(options.events)
const tracker = createTracker({ url: options.amqpUrl })
await until(() => options.withoutBroker || tracker.stats().connected)
global.gc?.()
const residentBefore = residentBytes(process.pid)
const cpuBefore = process.cpuUsage()
const startMs = performance.now()

let called = 0
while (called < options.events) {
  const upTo = Math.min(options.events, dueBy(performance.now() - startMs))
  const isIdle = upTo <= called || options.eventsPerSecond > 0
  while (called < upTo) call()
  // A Frontend does other work in between, which lets the client publish.
  await new Promise(resolve => (isIdle ? setTimeout(resolve, TICK_MS) : setImmediate(resolve)))
}
if (!options.withoutBroker) await tracker.flush(FLUSH_MS)

const seconds = (performance.now() - startMs) / 1_000
const cpu = process.cpuUsage(cpuBefore)
const stats = tracker.stats()
const peakResident = peakResidentBytes(process.pid)
const sorted = [...tookUs.toSorted()]
const tracked: Tracked = {
  p50Us: percentile(sorted, 50),
  p99Us: percentile(sorted, 99),
  maxUs: sorted.at(-1)!,
  cpuUsPerEvent: (cpu.user + cpu.system) / options.events,
  confirmedPerSecond: stats.confirmed / seconds,
  residentBefore,
  peakResident,
  stats,
}
await tracker.close(0)
console.log(JSON.stringify(tracked))

function dueBy(elapsedMs: number): number {
  if (options.eventsPerSecond > 0) return Math.floor((elapsedMs / 1_000) * options.eventsPerSecond)
  if (options.withoutBroker) return called + SLICE
  return called + Math.max(0, Math.min(SLICE, PENDING - tracker.stats().pending))
}

function call(): void {
  const event = { ...pool[called % POOL]! }
  const before = process.hrtime.bigint()
  tracker.trackView(event)
  tookUs[called++] = Number(process.hrtime.bigint() - before) / 1_000
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + FLUSH_MS
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('the broker cannot be reached')
    await new Promise(resolve => setTimeout(resolve, TICK_MS))
  }
}
