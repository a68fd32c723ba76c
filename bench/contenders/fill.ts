/**
 * Fills a store with past views through the service's own store, so that all its tables are filled and consistent. Prints a line of
 * JSON (`Filled`) for each hundredth.
 */

import { openStore } from '../../packages/analytics/src/store/open.ts'
import { type EventsOptions, generateEvents } from '../events.ts'
import { viewsOf } from './rows.ts'

/** The only argument, as JSON. */
export interface FillOptions {
  databaseUrl: string
  events: EventsOptions
  /** Settles past days, as retention does in time. Nothing is deleted. */
  settle?: boolean
}

export interface Filled {
  rows: number
  /** For the hundredth that ends here; without a broker, in batches of 5,000. */
  eventsPerSecond: number
}

const ROWS_AT_ONCE = 5_000
/** Keeps all rows and all days open for a hundred years. */
const FOR_EVER_SECONDS = 100 * 365 * 86_400

const { databaseUrl, events, settle = false } = JSON.parse(process.argv[2]!) as FillOptions
const store = await openStore(databaseUrl, {
  timeZone: 'UTC',
  windowHours: 24,
  uniqueBy: 'ip',
  bots: 'count',
})
await store.migrate()

const step = Math.max(ROWS_AT_ONCE, Math.floor(events.count / 100))
let rows = 0
let told = { rows: 0, atMs: performance.now() }
let recording: Promise<unknown> = Promise.resolve()
for (const batch of chunks(generateEvents(events), ROWS_AT_ONCE)) {
  const views = batch.flatMap(viewsOf)
  // Creates the next views while the store records these.
  await recording
  recording = store.recordViews(views)
  rows += views.length
  if (rows - told.rows >= step) {
    await recording
    await store.roll?.()
    tell()
  }
}
await recording
await store.roll?.()
if (rows > told.rows) tell()
if (settle) {
  const now = Math.floor(Date.now() / 1_000)
  await store.prune({ now, rawRetentionDays: 0, maxAgeSeconds: FOR_EVER_SECONDS })
}
await store.close()

function tell(): void {
  const atMs = performance.now()
  const eventsPerSecond = ((rows - told.rows) * 1_000) / (atMs - told.atMs)
  told = { rows, atMs }
  console.log(JSON.stringify({ rows, eventsPerSecond } satisfies Filled))
}

function* chunks<T>(items: Iterable<T>, size: number): Generator<T[]> {
  let chunk: T[] = []
  for (const item of items) {
    if (chunk.push(item) < size) continue
    yield chunk
    chunk = []
  }
  if (chunk.length > 0) yield chunk
}
