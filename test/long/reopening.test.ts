/** Days that are opened again beside the batches: who goes on with it, and who does not. */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { pino } from 'pino'
import { Reopening } from '../../packages/analytics/src/ingest/reopening.ts'
import { createLog } from '../../packages/analytics/src/log.ts'
import { StoreUnavailable } from '../../packages/analytics/src/store/failures.ts'
import { openStore } from '../../packages/analytics/src/store/open.ts'
import type { Store } from '../../packages/analytics/src/store/store.ts'
import { assertVerified } from '../store-contract-database.ts'
import { atEnd } from '../support/at-end.ts'
import { ENGINES, SQLITE, type TestDatabase, type TestEngine } from '../support/engines.ts'
import { until } from '../support/until.ts'
import { GOOGLEBOT, record, SAFARI, unix, view } from '../support/views.ts'

const DAY = '2026-05-01'
const NOON = `${DAY}T12:00:00Z`
const READERS = 3_000
const COUNTING = { timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots: 'count' } as const
const PRUNING = { now: unix('2026-06-30T12:00:00Z'), rawRetentionDays: 90, maxAgeSeconds: 30 * 86_400 }
const log = createLog('silent')

const views = () => Array.from({ length: READERS }, (_, n) => view(NOON, { ip: `10.0.${n >> 8}.${n & 255}` }))

/** A store with a big day that was closed, and of which a view came again. */
async function closedDay(
  t: TestContext,
  engine: TestEngine,
): Promise<{ store: Store; database: TestDatabase }> {
  const database = await engine.create(t)
  const store = await openStore(database.url, COUNTING)
  atEnd(t, () => store.close())
  await store.migrate()
  const batch = views()
  await record(store, batch)
  await store.prune(PRUNING)
  // A process that knows no key of the day asks for one, and opens it.
  const next = await openStore(database.url, COUNTING)
  assert.equal((await record(next, batch.slice(0, 1))).duplicates, 1)
  await next.close()
  assert.equal(await isOpen(database), false)
  return { store, database }
}

async function isOpen({ query }: TestDatabase): Promise<boolean> {
  const [key] = await query(`SELECT reopening FROM post_view_day_keys WHERE day = '${DAY}'`)
  return key?.['reopening'] === null
}

async function assertNobodyIsNew(store: Store): Promise<void> {
  await record(store, views())
  const { views: all, unique_views } = await store.siteTotals()
  assert.deepEqual({ all, unique_views }, { all: 2 * READERS, unique_views: READERS })
  await assertVerified(store)
}

for (const engine of ENGINES) {
  describe(`opening a day again on ${engine.name}`, () => {
    test('ends between two steps, and the next consumer goes on', async t => {
      const { store, database } = await closedDay(t, engine)
      const first = new Reopening({ store, log })
      first.start()
      await first.stop()
      assert.equal(await isOpen(database), false)
      const next = new Reopening({ store, log })
      next.start()
      await until('the day is open', () => isOpen(database))
      await next.stop()
      await assertNobodyIsNew(store)
    })

    test('waits for another process that is at it, until its lease runs out', async t => {
      const { store, database } = await closedDay(t, engine)
      const leaseUntil = (expiresAt: number) =>
        database.query(
          `INSERT INTO post_view_leases (name, holder, expires_at) VALUES ('reopen', 'another', ${expiresAt})`,
        )
      const now = Math.floor(Date.now() / 1_000)
      await leaseUntil(now + 30)
      assert.deepEqual(await store.reopenDays(), { days: [], isDone: false })
      await database.query('DELETE FROM post_view_leases')
      await leaseUntil(now - 1)
      assert.deepEqual(await store.reopenDays(), { days: [DAY], isDone: true })
      assert.deepEqual(await store.reopenDays(), { days: [], isDone: true })
      await assertNobodyIsNew(store)
    })

    test('is no difference for verify, nothing to put right for rebuild, and no day to close for prune', async t => {
      const { store, database } = await closedDay(t, engine)
      // Half hashed again, and half not.
      for (let turn = 0; turn < 3; turn++) {
        await store.reopenDays(() => assert.fail('interrupted')).catch(() => {})
      }
      assert.equal(await isOpen(database), false)
      await assertVerified(store)
      assert.equal((await store.prune(PRUNING)).days, 0)
      assert.equal((await store.rebuild({ adoptSettings: false })).fixed, 0)
      assert.equal(await isOpen(database), true)
      await assertNobodyIsNew(store)
      assert.equal((await store.prune(PRUNING)).days, 1)
    })

    test('is brought to its end by whoever adopts other settings, under those of before', async t => {
      const { store, database } = await closedDay(t, engine)
      await store.reopenDays(() => assert.fail('interrupted')).catch(() => {})
      const other = await openStore(database.url, { ...COUNTING, uniqueBy: 'ip+user_agent' })
      atEnd(t, () => other.close())
      await other.rebuild({ adoptSettings: true })
      assert.equal(await isOpen(database), true)
      await assertNobodyIsNew(other)
    })
  })
}

test('a day that is closed while other settings are applied to it is hashed under one key all the same', async t => {
  const database = await SQLITE.create(t)
  const store = await openStore(database.url, COUNTING)
  atEnd(t, () => store.close())
  await store.migrate()
  await record(store, [...views(), ...views()])
  const other = await openStore(database.url, { ...COUNTING, uniqueBy: 'ip+user_agent' })
  atEnd(t, () => other.close())
  let steps = 0
  await other.rebuild({ adoptSettings: true }, step => {
    // Some rows are done by then. Statements of this engine are done at once.
    if (step !== 'settings' || ++steps !== 5) return
    void database.query('DELETE FROM post_view_day_keys')
    void database.query(`UPDATE post_view_state SET open_from = '2026-05-02'`)
  })
  assert.ok(steps > 5)
  assert.equal((await other.siteTotals()).unique_views, READERS)
  await assertVerified(other)
})

test('a day that begins to be opened again while other settings are applied is counted by those as well', async t => {
  const database = await SQLITE.create(t)
  const store = await openStore(database.url, COUNTING)
  atEnd(t, () => store.close())
  await store.migrate()
  const few = views().slice(0, 300)
  const others = views().slice(0, 300)
  await record(store, [...few, ...others.map(one => ({ ...one, userAgent: SAFARI }))])
  assert.equal((await store.siteTotals()).unique_views, few.length)
  const other = await openStore(database.url, { ...COUNTING, uniqueBy: 'ip+user_agent' })
  atEnd(t, () => other.close())
  let isClosed = false
  await other.rebuild({ adoptSettings: true }, step => {
    if (step !== 'rows' || isClosed) return
    isClosed = true
    beginReopening(database)
  })
  assert.equal(isClosed, true)
  assert.equal((await other.siteTotals()).unique_views, 2 * few.length)
  await assertVerified(other)
})

test('a day that begins to be opened again while bots are derived again is counted without them', async t => {
  const database = await SQLITE.create(t)
  const store = await openStore(database.url, { ...COUNTING, bots: 'exclude' })
  atEnd(t, () => store.close())
  await store.migrate()
  const people = views().slice(0, 300)
  const bots = Array.from({ length: 300 }, (_, n) =>
    view(NOON, { ip: `192.0.${n >> 7}.${n & 127}`, userAgent: GOOGLEBOT }),
  )
  await record(store, [...people, ...bots])
  const before = await store.siteTotals()
  await database.query(`UPDATE post_views SET agent = '0\t\t\t\t\t', bot = 0`)
  await store.rebuild({ adoptSettings: false })
  assert.equal((await store.siteTotals()).unique_views, people.length + bots.length)
  let isClosed = false
  await store.rebuild({ adoptSettings: false, derive: ['bot'] }, step => {
    if (step !== 'rows' || isClosed) return
    isClosed = true
    beginReopening(database)
  })
  assert.equal(isClosed, true)
  assert.deepEqual(await store.siteTotals(), before)
  await store.reopenDays()
  await assertVerified(store)
})

/** As somebody prunes, and a consumer then has a view of the day. Statements of this engine are done at once. */
function beginReopening(database: TestDatabase): void {
  void database.query(
    `UPDATE post_view_day_keys
     SET secret = '${'0'.repeat(64)}', reopening = 'visitors', rows_until = (SELECT MAX(id) FROM post_views)`,
  )
  void database.query('UPDATE post_view_rebuilds SET rebuilds = rebuilds + 1')
}

test('a row of before that cannot be changed is no fault of the rows that come', async t => {
  const database = await SQLITE.create(t)
  const store = await openStore(database.url, COUNTING)
  atEnd(t, () => store.close())
  await store.migrate()
  await record(store, [view(NOON)])
  await store.prune(PRUNING)
  await database.query(
    `CREATE TRIGGER kept BEFORE UPDATE ON post_view_rows BEGIN SELECT RAISE(ABORT, 'rows are kept as they are'); END`,
  )
  await assert.rejects(record(store, [view(NOON)]), StoreUnavailable)
  await database.query('DROP TRIGGER kept')
  await record(store, [view(NOON)])
  assert.equal((await store.siteTotals()).unique_views, 1)
})

test('what keeps a day from being opened again, and no retry cures, is told with its step', async t => {
  const { store, database } = await closedDay(t, SQLITE)
  await database.query('ALTER TABLE post_view_reopened RENAME TO elsewhere')
  const told: Record<string, unknown>[] = []
  const reopening = new Reopening({
    store,
    log: pino({ base: null, messageKey: 'event' }, { write: (line: string) => told.push(JSON.parse(line)) }),
  })
  reopening.start()
  await until('it is told', () => told.length > 0)
  await reopening.stop()
  assert.equal(told.length, 1)
  assert.deepEqual(
    [told[0]!['event'], told[0]!['level']],
    ['day.reopening_waits', pino.levels.values['error']],
  )
  assert.match(String(told[0]!['step']), /\bpost_view_reopened\b/)
  await database.query('ALTER TABLE elsewhere RENAME TO post_view_reopened')
  assert.equal((await store.reopenDays()).isDone, true)
  await assertNobodyIsNew(store)
})
