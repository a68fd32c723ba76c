import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type TestContext, test } from 'node:test'
import type { View } from '@postviews/client/src/index.ts'
import type { ConsumeMessage } from 'amqplib'
import { until } from '../../../../test/support/until.ts'
import { received, record, unix, view } from '../../../../test/support/views.ts'
import { createLog } from '../log.ts'
import { createMetrics } from '../metrics.ts'
import { StoreBroken } from '../store/failures.ts'
import { openStore } from '../store/open.ts'
import type { Store } from '../store/store.ts'
import { Batches, type Delivery } from './batch.ts'
import { DeadLetters } from './dead-letters.ts'
import { Properties } from './properties.ts'
import { ReceivedMessage } from './received.ts'

const COUNTING = { timeZone: 'UTC', windowHours: 24, uniqueBy: null, bots: 'count' } as const
const NOON = '2026-05-01T12:00:00Z'
const log = createLog('silent')

/** A store in a new file, and a direct connection to that file. */
async function newStore(
  t: TestContext,
): Promise<{ store: Store; sql(text: string): Record<string, unknown>[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-batch-'))
  const path = join(folder, 'views.db')
  const store = await openStore(`sqlite:${path}`, COUNTING)
  t.after(async () => {
    await store.close()
    await rm(folder, { recursive: true })
  })
  await store.migrate()
  return {
    store,
    sql(text) {
      using database = new DatabaseSync(path, { timeout: 10_000 })
      return database.prepare(text).all()
    },
  }
}

function batchesOf(t: TestContext, store: Store): Batches {
  const metrics = createMetrics(store.calendar.rules)
  // Nothing of these tests is a dead letter: no broker is needed.
  const deadLetters = new DeadLetters({ amqpUrls: ['amqp://127.0.0.1:1'], deadMaxBytes: 1, metrics, log })
  const batches = new Batches({ store, deadLetters, metrics, log })
  t.after(() => Promise.all([batches.stop(), deadLetters.stop()]))
  return batches
}

function deliveryOf(...views: View[]): Delivery {
  const fields = {
    deliveryTag: 1,
    redelivered: false,
    exchange: '',
    routingKey: 'queue',
    consumerTag: 'consumer',
  }
  const message = { content: Buffer.from('{}'), fields, properties: new Properties(Buffer.alloc(2)) }
  const receivedAt = views[0]!.viewedAt
  return {
    message: new ReceivedMessage(message as unknown as ConsumeMessage, receivedAt),
    queue: 'queue',
    receivedAt,
    views,
    own: 0,
    invalid: [],
  }
}

const waiting = () => new AbortController().signal

test('a store that is found broken when the session is over shuts out nobody', async t => {
  const { store } = await newStore(t)
  const over = new AbortController()
  const broken = {
    ...store,
    async recordViews() {
      over.abort(new Error('the session is over'))
      throw new StoreBroken('SQLite', 'INSERT INTO post_views')
    },
  }
  const committed = batchesOf(t, broken).commit([deliveryOf(view(NOON))], over.signal)
  await assert.rejects(committed, /^Error: the session is over$/)
})

test('what a day that is opened again needs is rehearsed as well', async t => {
  const { store, sql } = await newStore(t)
  const batches = batchesOf(t, store)
  await batches.commit([deliveryOf(view(NOON))], waiting())
  await store.prune({ now: unix('2026-07-01T12:00:00Z'), rawRetentionDays: 0, maxAgeSeconds: 86_400 })
  sql('ALTER TABLE post_view_reopened RENAME TO elsewhere')
  const late = deliveryOf(view(NOON))
  await assert.rejects(batches.commit([late], waiting()), StoreBroken)
  await assert.rejects(batches.rehearse(), StoreBroken)
  sql('ALTER TABLE elsewhere RENAME TO post_view_reopened')
  await batches.rehearse()
  await batches.commit([late], waiting())
  assert.equal((await store.siteTotals()).views, 2)
})

test('a big day that a batch opens again is opened to its end beside the batches', async t => {
  const { store, sql } = await newStore(t)
  const batches = batchesOf(t, store)
  const views = Array.from({ length: 3_000 }, (_, n) => view(NOON, { ip: `10.0.${n >> 8}.${n & 255}` }))
  await batches.commit([deliveryOf(...views)], waiting())
  await until('nothing is looked for any more', () => !store.mayReopenDays)
  await store.prune({ now: unix('2026-07-01T12:00:00Z'), rawRetentionDays: 0, maxAgeSeconds: 86_400 })
  await batches.commit([deliveryOf(view(NOON, { ip: '10.0.0.1' }))], waiting())
  await until(
    'the day is open',
    () => sql('SELECT reopening FROM post_view_day_keys')[0]?.['reopening'] === null,
  )
  assert.equal((await store.siteTotals()).unique_views, 3_000)
})

test('views that another consumer has counted meanwhile hide nothing from a rehearsal', async t => {
  const { store, sql } = await newStore(t)
  const views = [view(NOON), view(NOON, { eventId: null })]
  await record(store, views)
  sql('ALTER TABLE post_view_totals RENAME TO elsewhere')
  await assert.rejects(store.rehearse(received(views.slice(0, 1))), StoreBroken)
})
