/** A Frontend under load: publishes a constant number of views per second through the client. Prints the client's own statistics. */

import { createTracker, type TrackerStats } from '@postviews/client/src/index.ts'
import { makeEvents } from '../events.ts'

/** The only argument, as JSON. */
export interface SteadyOptions {
  amqpUrl: string
  eventsPerSecond: number
  seconds: number
  /** Default 1,000. */
  posts?: number
}

export interface SteadyPublished {
  stats: TrackerStats
  seconds: number
}

const TICK_MS = 10
const POOL = 20_000

const { amqpUrl, eventsPerSecond, seconds, posts } = JSON.parse(process.argv[2]!) as SteadyOptions
const source = { seed: 'steady', count: POOL, untilMs: Date.now(), ...(posts !== undefined && { posts }) }
// The client sets id and time: a view happens when it is published.
const pool = makeEvents(source).map(({ event_id: _id, timestamp: _time, ...event }) => event)
const tracker = createTracker({ url: amqpUrl })
const total = eventsPerSecond * seconds
const startMs = performance.now()
let published = 0

const timer = setInterval(() => {
  // The number of views due by now, so that a late tick catches up.
  const due = Math.min(total, Math.floor(((performance.now() - startMs) / 1_000) * eventsPerSecond))
  while (published < due) tracker.trackView(pool[published++ % POOL]!)
  if (published >= total) void end()
}, TICK_MS)

async function end(): Promise<void> {
  clearInterval(timer)
  const took = (performance.now() - startMs) / 1_000
  await tracker.flush(10_000)
  const published: SteadyPublished = { stats: tracker.stats(), seconds: took }
  await tracker.close()
  console.log(JSON.stringify(published))
}
