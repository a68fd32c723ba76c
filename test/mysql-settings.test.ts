/** Settings of a server that a store cannot make for its session: named, and waited for. */

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { StoreUnavailable } from '../packages/analytics/src/store/failures.ts'
import type { Store } from '../packages/analytics/src/store/store.ts'
import { type Mysql, startMysql } from '../tools/stack/mysql.ts'
import { assertVerified, differencesIn } from './store-contract-database.ts'
import { mysqlDatabase, type TestDatabase } from './support/engines.ts'
import { storeOn } from './support/mysql.ts'
import { referrersIn } from './support/referrers.ts'
import { record, view } from './support/views.ts'

const DAY = '2026-03-10'
const NOON = `${DAY}T12:00:00Z`
const LEAST_BYTES = 1_048_576
const USER = '18446744073709551615'

describe('a server', () => {
  let server: Mysql
  let database: TestDatabase
  before(async () => {
    server = await startMysql()
    database = mysqlDatabase((await server.database()).url)
  })
  after(() => server.stop())

  test('that takes only short statements is named at once; the longest ones fit into what is asked of it', async t => {
    await (await storeOn(t, database.url)).migrate()
    await database.query(`SET GLOBAL max_allowed_packet = ${LEAST_BYTES / 16}`)
    const store = await storeOn(t, database.url)
    for (const work of [() => store.checkSettings(), () => store.ping(), () => store.migrate()]) {
      await assert.rejects(work(), {
        constructor: StoreUnavailable,
        message:
          /^MySQL at 127\.0\.0\.1:\d+: max_allowed_packet is 65536, but must be at least 1048576: raise it on the server$/,
      })
    }
    await database.query(`SET GLOBAL max_allowed_packet = ${LEAST_BYTES}`)
    await takesTheLongest(store)
    await packsTheLongest(store)
  })

  test('that takes turns with others in giving ids counts each view under its own host', async t => {
    await (await storeOn(t, database.url)).migrate()
    await database.query('SET GLOBAL auto_increment_increment = 3')
    const store = await storeOn(t, database.url)
    const hosts = ['a.example', 'b.example', 'c.example']
    const views = hosts.flatMap(host =>
      Array.from({ length: 5 }, (_, nth) =>
        view(NOON, { postUuid: `of-turns-${nth}`, referer: `https://${host}/` }),
      ),
    )
    await record(store, views)
    const { referrers } = await referrersIn(store, 'of-turns-1', DAY, DAY, 10)
    assert.deepEqual(
      referrers,
      hosts.map(host => ({ host, views: 1 })),
    )
    await assertVerified(store)
    await database.query('SET GLOBAL auto_increment_increment = 1')
  })

  test('that answers commits before they are on the disk is named by verify', async t => {
    const store = await storeOn(t, database.url)
    await store.migrate()
    assert.deepEqual(await differencesIn(store), [])
    await database.query('SET GLOBAL innodb_flush_log_at_trx_commit = 2')
    assert.deepEqual(await differencesIn(store), [
      {
        kind: 'schema',
        name: 'the server',
        field: 'innodb_flush_log_at_trx_commit',
        expected: 1,
        found: 2,
      },
    ])
  })
})

/** Each text as long as it may be, of characters that take as many bytes as any, or are escaped. */
async function takesTheLongest(store: Store): Promise<void> {
  const views = Array.from({ length: 2_000 }, (_, index) =>
    view(NOON, {
      postUuid: `${'a'.repeat(30)}${index}`,
      userAgent: (index % 2 === 0 ? '語' : "'").repeat(2_000),
      referer: `https://${'a.'.repeat(120)}example/${'語'.repeat(200)}`,
      userId: USER,
    }),
  )
  assert.equal((await record(store, views)).counted, views.length)
  await assertVerified(store)
  assert.equal((await store.rebuild({ adoptSettings: false })).fixed, 0)
  assert.equal(await store.forget({ userId: USER }), views.length)
  const now = Date.parse('2027-03-10T12:00:00Z') / 1_000
  await store.prune({ now, rawRetentionDays: 90, maxAgeSeconds: 86_400 })
  await assertVerified(store)
}

/** Posts whose breakdowns are as long as they may be, so that not two of them fit into a statement. */
async function packsTheLongest(store: Store): Promise<void> {
  const hostOf = (nth: number) => `${'a.'.repeat(120)}x${nth}`
  const views = Array.from({ length: 5_000 }, (_, index) =>
    view('2027-03-09T12:00:00Z', { postUuid: `long-${index % 5}`, referer: `https://${hostOf(index)}/` }),
  )
  assert.equal((await record(store, views)).counted, views.length)
  const { referrers, other } = await referrersIn(store, 'long-1', '2027-03-09', '2027-03-09', 1_000)
  assert.equal(
    referrers.reduce((sum, { views }) => sum + views, other.views),
    1_000,
  )
  await assertVerified(store)
}
