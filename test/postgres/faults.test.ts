/** The store is away, hangs, or a batch waits on it: what is in hand stays in hand, and is counted once. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { StoreUnavailable } from '../../packages/analytics/src/store/failures.ts'
import { openStore } from '../../packages/analytics/src/store/open.ts'
import { atEnd } from '../support/at-end.ts'
import { untilStored } from '../support/invariants.ts'
import { SETTINGS } from '../support/mysql.ts'
import { plan } from '../support/planned.ts'
import { ownPostgres } from '../support/postgres.ts'
import { createSystem } from '../support/system.ts'
import { until } from '../support/until.ts'
import { record, unix, view } from '../support/views.ts'

const VIEWS = 4_000
const NOON = '2026-03-10T12:00:00Z'

for (const [what, begin, end] of [
  ['killed', 'kill', 'restart'],
  ['stopped', 'pause', 'resume'],
] as const) {
  test(`a server that is ${what} is waited for, and said to be away; what comes meanwhile is counted once`, async t => {
    const { server, database } = await ownPostgres(t)
    const system = await createSystem(t, { database })
    const service = await system.start()
    await service.untilReady()
    await server[begin]()
    await system.publish(plan({ views: VIEWS }))
    await until('it says so', async () => /store: /.test(await service.readiness()))
    assert.ok(system.tap.inHand > 0)
    await server[end]()
    await service.untilReady()
    await system.check()
  })
}

test('a service that waits for a lock ends in time, and leaves what is in hand to the next', async t => {
  const { database } = await ownPostgres(t)
  const system = await createSystem(t, { database })
  const service = await system.start()
  await service.untilReady()
  const other = new pg.Client({ connectionString: database.url })
  await other.connect()
  atEnd(t, () => other.end())
  await other.query('BEGIN')
  await other.query('SELECT 1 FROM post_view_state FOR UPDATE')
  await system.publish(plan({ views: VIEWS, twice: 0 }))
  await until('it holds deliveries', () => system.tap.inHand > 0)
  assert.equal((await service.end('SIGTERM')).code, 0)
  const waiting = "SELECT COUNT(*) AS waiting FROM pg_stat_activity WHERE application_name = 'postviews'"
  await until('the server has nothing of it left', async () => {
    const [row] = await database.query(waiting)
    return row!['waiting'] === 0
  })
  await other.query('ROLLBACK')
  await system.start()
  await untilStored(database, VIEWS)
  await system.check()
})

test('a day is opened, and retention runs, beside consumers that never pause', async t => {
  const { database } = await ownPostgres(t)
  const [busy, other] = await Promise.all([
    openStore(database.url, SETTINGS),
    openStore(database.url, SETTINGS),
  ])
  for (const store of [busy, other]) atEnd(t, () => store.close())
  await busy.migrate()
  let isDone = false
  const consume = async () => {
    while (!isDone)
      await record(
        busy,
        Array.from({ length: 500 }, () => view(NOON)),
      )
  }
  const consuming = [consume(), consume()]
  await record(other, [view('2026-03-11T12:00:00Z')])
  const { ran } = await other.prune({ now: unix(NOON), rawRetentionDays: 90, maxAgeSeconds: 30 * 86_400 })
  isDone = true
  await Promise.all(consuming)
  assert.equal(ran, true)
})

test('a store that is closed while its server hangs is closed within seconds', async t => {
  const { server, database } = await ownPostgres(t)
  const store = await openStore(database.url, SETTINGS)
  await store.migrate()
  await server.pause()
  const recorded = record(store, [view(NOON)]).catch((error: unknown) => error)
  const started = performance.now()
  await store.close()
  assert.ok(performance.now() - started < 8_000, `${performance.now() - started} ms`)
  await server.resume()
  assert.ok((await recorded) instanceof StoreUnavailable)
})

test('two stores that are given the same views at once, in opposite order, count each once', async t => {
  const { database } = await ownPostgres(t)
  const stores = await Promise.all([openStore(database.url, SETTINGS), openStore(database.url, SETTINGS)])
  for (const store of stores) atEnd(t, () => store.close())
  // Whatever isolation the database has by default.
  const name = new URL(database.url).pathname.slice(1)
  await database.query(`ALTER DATABASE ${name} SET default_transaction_isolation = 'repeatable read'`)
  // At once as well: one of them makes the tables.
  await Promise.all(stores.map(store => store.migrate()))
  const views = Array.from({ length: 500 }, (_, index) => view(NOON, { postUuid: `post-${index % 7}` }))
  const outcomes = await Promise.all(
    Array.from({ length: 10 }, (_, time) =>
      record(stores[time % 2]!, time % 2 === 0 ? views : views.toReversed()),
    ),
  )
  assert.equal(
    outcomes.reduce((sum, { counted }) => sum + counted, 0),
    views.length,
  )
  assert.equal((await stores[0]!.siteTotals()).views, views.length)
  await stores[0]!.verify(difference => assert.fail(JSON.stringify(difference)))
})
