/**
 * Fills a store with views of the past, through the service's own store: whatever it keeps is there, and adds up. Prints
 * a line of JSON (`Filled`) for each hundredth.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { openStore } from '../../packages/analytics/src/store/open.ts'
import { type EventsOptions, generateEvents } from '../events.ts'
import { viewsOf } from './rows.ts'

/** The one argument, as JSON. */
export interface FillOptions {
  databaseUrl: string
  events: EventsOptions
  /** On ClickHouse, as if each view had been counted when it happened, and each day rolled up when it was over. */
  rollUp?: boolean
}

export interface Filled {
  rows: number
  /** Of the hundredth that ends here; without a broker, in batches of 5,000. */
  eventsPerSecond: number
}

const ROWS_AT_ONCE = 5_000
const DROPPED_AFTER_MS = 61_000
/** Nothing goes and no day is closed: years. */
const FOR_EVER_SECONDS = 100 * 365 * 86_400

const { databaseUrl, events, rollUp = false } = JSON.parse(process.argv[2]!) as FillOptions
const now = Date.now
let countedAtMs = events.untilMs
if (rollUp) Date.now = () => countedAtMs
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
  // The next views are made while the store takes these.
  await recording
  countedAtMs = Date.parse(batch.at(-1)!.timestamp)
  recording = store.recordViews(views)
  rows += views.length
  if (rows - told.rows >= step) tell()
}
await recording
if (rows > told.rows) tell()
if (rollUp) {
  const prune = () =>
    store.prune({ now: Math.floor(now() / 1_000), rawRetentionDays: 0, maxAgeSeconds: FOR_EVER_SECONDS })
  await prune()
  // What is rolled up is dropped by the next one, when nobody can be about to read it any more.
  await sleep(DROPPED_AFTER_MS)
  await prune()
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
