/** Retention on the SQL engines: what is old goes wherever it stands, whatever a clock has said, in small steps. */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { PERSONAL_COLUMNS } from '../packages/analytics/src/store/kept.ts'
import { openStore } from '../packages/analytics/src/store/open.ts'
import type { Store } from '../packages/analytics/src/store/store.ts'
import { atEnd } from './support/at-end.ts'
import { ENGINES, type TestDatabase, type TestEngine } from './support/engines.ts'
import { received, record, unix, view } from './support/views.ts'

const DAY_SECONDS = 86_400
const NOW = unix('2026-06-30T12:00:00Z')
const OPTIONS = { now: NOW, rawRetentionDays: 90, maxAgeSeconds: 30 * DAY_SECONDS }
const YEAR = 365 * DAY_SECONDS
const COUNTING = { timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots: 'count' } as const

async function storeOn(
  t: TestContext,
  engine: TestEngine,
): Promise<{ store: Store; database: TestDatabase }> {
  const database = await engine.create(t)
  const store = await openStore(database.url, COUNTING)
  atEnd(t, () => store.close())
  await store.migrate()
  return { store, database }
}

async function assertVerified(store: Store): Promise<void> {
  const differences: unknown[] = []
  await store.verify(difference => differences.push(difference))
  assert.deepEqual(differences, [])
}

async function countOf(database: TestDatabase, what: string): Promise<number> {
  return Number((await database.query(`SELECT COUNT(*) AS found FROM ${what}`))[0]!['found'])
}

/** Views whose time is that of their receipt, by a clock that says so. */
function timeless(count: number, clock: number) {
  return { views: Array.from({ length: count }, () => view('', { viewedAt: clock })), receivedAt: clock }
}

const NAMELESS = { ip: null, userAgent: null, referer: null }

const daysAgo = (days: number) => NOW - days * DAY_SECONDS

for (const engine of ENGINES) {
  describe(`pruning on ${engine.name}`, () => {
    test('removes what is old behind rows that a clock a year ahead has received', async t => {
      const { store, database } = await storeOn(t, engine)
      const ahead = timeless(2_100, daysAgo(150) + YEAR)
      await record(store, ahead.views, ahead)
      const old = timeless(600, daysAgo(150))
      await record(store, old.views, old)
      await record(store, [view('2026-06-29T12:00:00Z')])
      const before = await store.siteTotals()

      assert.equal((await store.prune(OPTIONS)).rows, 600)
      assert.equal(await countOf(database, 'post_views'), 2_101)
      // Days to come do not make those before them incomplete.
      const [state] = await database.query('SELECT raw_from FROM post_view_state')
      assert.equal(state?.['raw_from'], '2026-02-01')
      assert.deepEqual(await store.siteTotals(), before)
      await assertVerified(store)
    })

    test('erases what is personal in rows of the future once they are old for certain, and removes those whose day is past', async t => {
      const { store, database } = await storeOn(t, engine)
      const ahead = timeless(30, NOW + YEAR)
      const url = '/?utm_campaign=told-to-one'
      // The last one has nothing else that tells its reader.
      const told = ahead.views.map((each, nth) => ({ ...each, url, ...(nth === 29 ? NAMELESS : {}) }))
      await record(store, told, ahead)
      await record(store, [view('2026-06-29T12:00:00Z')], { receivedAt: NOW + YEAR })
      const isPersonal = PERSONAL_COLUMNS.map(column => `${column} IS NOT NULL`).join(' OR ')
      const personal = () => countOf(database, `post_views WHERE ${isPersonal}`)
      const total = (await store.siteTotals()).views

      assert.equal((await store.prune(OPTIONS)).rows, 0)
      assert.equal((await store.prune({ ...OPTIONS, now: NOW + 89 * DAY_SECONDS })).rows, 0)
      assert.equal(await personal(), 31)
      // The one whose own time is past goes like any other that was received on its day.
      assert.equal((await store.prune({ ...OPTIONS, now: NOW + 90 * DAY_SECONDS + 1 })).rows, 1)
      assert.equal(await personal(), 0)
      assert.equal(await countOf(database, 'post_views'), 30)
      assert.equal((await store.siteTotals()).views, total)
      await assertVerified(store)

      // Their own time comes as well.
      assert.equal((await store.prune({ ...OPTIONS, now: NOW + YEAR + 91 * DAY_SECONDS })).rows, 30)
      assert.equal(await countOf(database, 'post_views'), 0)
      await assertVerified(store)
    })

    test('remembers what a clock set back has received for as long as all else', async t => {
      const { store, database } = await storeOn(t, engine)
      await record(store, [view('2026-06-29T12:00:00Z')])
      await store.prune(OPTIONS)
      const back = timeless(20, daysAgo(200))
      const rows = received(back.views, back)
      await store.recordViews(rows)
      assert.equal((await store.prune({ ...OPTIONS, now: NOW + 3_600 })).rows, 0)
      assert.deepEqual(await store.recordViews(rows), { counted: 0, duplicates: 20 })
      assert.equal((await store.prune({ ...OPTIONS, now: NOW + 89 * DAY_SECONDS })).rows, 0)
      await assertVerified(store)
      assert.equal((await store.prune({ ...OPTIONS, now: NOW + 91 * DAY_SECONDS })).rows, 21)
      assert.equal(await countOf(database, 'post_views'), 0)
      await assertVerified(store)
    })

    test('runs on when it ran once by a clock a year ahead, and after a process that died with such a clock', async t => {
      const { store, database } = await storeOn(t, engine)
      await record(store, [view('2026-06-29T12:00:00Z')])
      await store.prune({ ...OPTIONS, rawRetentionDays: 900, now: NOW + YEAR })
      await database.query(
        `INSERT INTO post_view_leases (name, holder, expires_at) VALUES ('prune', 'another', ${NOW + YEAR})`,
      )
      const old = timeless(5, daysAgo(100))
      await record(store, old.views, old)
      assert.deepEqual(await store.prune(OPTIONS), { ran: true, rows: 5, days: 1 })
      await assertVerified(store)
    })

    test('removes the visitors of a big post in steps, and goes on where it was interrupted', async t => {
      const { store, database } = await storeOn(t, engine)
      const READERS = 6_000
      const ipOf = (n: number) => `10.0.${n >> 8}.${n & 255}`
      const views = Array.from({ length: READERS }, (_, n) => view('2026-05-01T12:00:00Z', { ip: ipOf(n) }))
      await record(store, views)
      await record(store, [view('2026-05-01T12:00:00Z', { postUuid: 'another' })])
      const visitors = () => countOf(database, 'post_view_visitors')
      assert.equal(await visitors(), READERS + 1)
      const interrupted = store.prune(OPTIONS, step => {
        if (step === 'visitors') throw new Error('interrupted')
      })
      await assert.rejects(interrupted, /interrupted/)
      const left = await visitors()
      assert.ok(left > READERS / 2 && left < READERS, `${left} are left of ${READERS}`)
      let steps = 0
      await store.prune(OPTIONS, step => {
        if (step === 'visitors') steps++
      })
      assert.ok(steps > 0)
      assert.equal(await visitors(), 0)
      await assertVerified(store)
    })

    test('removes minutes by the thousand, and those that lie ahead', async t => {
      const { store, database } = await storeOn(t, engine)
      const minutes = Array.from({ length: 3_000 }, (_, n) => `(${NOW - 86_400 - n * 60}, 1)`)
      await database.query(`INSERT INTO site_view_minutes (minute, view_count) VALUES ${minutes.join()}`)
      await database.query(
        `INSERT INTO site_view_minutes (minute, view_count) VALUES (${NOW - 60}, 1), (${NOW + YEAR}, 7)`,
      )
      await store.prune(OPTIONS)
      assert.deepEqual(
        (await store.minutes(0)).map(({ views }) => views),
        [1],
      )
    })

    test('forgets a reader while a day is being opened again, and changes no number', async t => {
      const { store, database } = await storeOn(t, engine)
      const READERS = 1_800
      const time = '2026-05-01T12:00:00Z'
      const ipOf = (n: number) => `10.0.${n >> 8}.${n & 255}`
      const views = Array.from({ length: READERS }, (_, n) =>
        view(time, { ip: ipOf(n), userId: String(1 + (n % 9)) }),
      )
      await record(store, views)
      await record(
        store,
        views.map(({ ip }) => view(time, { ip })),
      )
      await store.prune(OPTIONS)
      // A process that knows no key of the day asks for one, and opens it.
      const next = await openStore(database.url, COUNTING)
      await record(next, views.slice(0, 1))
      await next.close()
      assert.equal(await countOf(database, 'post_view_day_keys WHERE reopening IS NOT NULL'), 1)
      assert.equal(await store.forget({ userId: '5' }), 200)
      await store.reopenDays()
      // Everybody comes back, and nobody is new: other rows of those who were forgotten tell who they are.
      await record(
        store,
        views.map(({ ip }) => view(time, { ip })),
      )
      const { views: all, unique_views } = await store.siteTotals()
      assert.deepEqual({ all, unique_views }, { all: 3 * READERS, unique_views: READERS })
      assert.equal(await countOf(database, 'post_view_reopened'), 0)
      await assertVerified(store)
    })
  })
}
