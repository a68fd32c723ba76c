/** Where MySQL and the versions of MariaDB differ from each other, as docs/compatibility.md lists it: what this one does, and what of it holds on all. */

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { RowRejected } from '../packages/analytics/src/store/failures.ts'
import { type Mysql, startMysql } from '../tools/stack/mysql.ts'
import { assertVerified } from './store-contract-database.ts'
import { migratedStore, OLD, oldConsumer } from './support/article-tables.ts'
import { type OtherSession, otherSession, storeOn } from './support/mysql.ts'
import { referrersIn } from './support/referrers.ts'
import { POST, received, record, view } from './support/views.ts'

const NOON = '2026-03-10T12:00:00Z'

describe('a server', () => {
  let server: Mysql
  let root: OtherSession
  /** 10.11 as 1011. */
  let version: number

  before(async () => {
    // MySQL keeps count of warnings by default, MariaDB when it is told to.
    server = await startMysql({ args: ['--performance-schema=ON'] })
  })
  after(() => server.stop())

  async function asked(t: Parameters<typeof otherSession>[0]) {
    const database = await server.database()
    root = await otherSession(t, database.url)
    const [row] = await root.sql('SELECT VERSION() AS version')
    const [, major, minor] = /^(\d+)\.(\d+)/.exec(String(row!['version']))!
    version = Number(major) * 100 + Number(minor)
    return database
  }
  const isMariadbFrom = (least: number) => !server.isMysql && version >= least
  const variable = async (name: string) => Number((await root.sql(`SELECT @@${name} AS value`))[0]!['value'])
  /** The number of the error that a statement is refused with; null when it is not. */
  const errorOf = (sql: string) =>
    root.sql(sql).then(
      () => null,
      (error: { errno: number }) => error.errno,
    )

  test('warns of no statement of ours', async t => {
    const { url, name } = await asked(t)
    const old = await oldConsumer(t, url)
    await old.consume({ timestamp: `${OLD} 12:00:00` })
    const store = await migratedStore(t, url)
    const views = Array.from({ length: 50 }, (_, index) =>
      view(NOON, { ip: `192.0.2.${index}`, userId: String(index + 1), referer: 'https://a.example/' }),
    )
    for (let time = 1; time <= 2; time++) await record(store, views)
    await store.rehearse(received(views))
    await root.sql('UPDATE post_view_totals SET views = views + 1')
    await store.rebuild({ adoptSettings: false })
    await store.forget({ userId: '7' })
    const now = Math.floor(Date.now() / 1_000)
    await store.prune({ now, rawRetentionDays: 90, maxAgeSeconds: 86_400 })
    await store.topPosts({ period: null, limit: 10 })
    await store.siteTotals()
    await referrersIn(store, null, OLD, OLD, 10)
    await assertVerified(store)
    // Of tables that are there already it says so.
    const warned = await root.sql(
      `SELECT digest_text AS statement FROM performance_schema.events_statements_summary_by_digest
       WHERE schema_name = '${name}' AND sum_warnings > 0
         AND digest_text NOT LIKE 'CREATE TABLE IF NOT EXISTS %'`,
    )
    assert.deepEqual(
      warned.map(({ statement }) => statement),
      [],
    )
    const [seen] = await root.sql(
      `SELECT COUNT(*) AS statements FROM performance_schema.events_statements_summary_by_digest
       WHERE schema_name = '${name}' AND digest_text LIKE '%ON DUPLICATE KEY UPDATE%'`,
    )
    assert.ok(Number(seen!['statements']) >= 6, 'it was looked for')
  })

  test('names the row that an upsert adds in its own way', async t => {
    await asked(t)
    await root.sql('CREATE TABLE counts (id INT PRIMARY KEY, n INT)')
    const alias =
      'INSERT INTO counts VALUES (1, 1) AS added (added_id, added_n) ON DUPLICATE KEY UPDATE n = n + added_n'
    assert.equal(await errorOf(alias), server.isMysql ? null : 1064)
    const values = 'INSERT INTO counts VALUES (1, 1) ON DUPLICATE KEY UPDATE n = n + VALUES(n)'
    assert.equal(await errorOf(values), null)
    const warnings = (await root.sql('SHOW WARNINGS')).map(({ Code }) => Code)
    assert.deepEqual(warnings, server.isMysql ? [1287] : [])
  })

  test('keeps a TIMESTAMP to 2038 or to 2106, and refuses a later one as a value', async t => {
    const { url } = await asked(t)
    await root.sql('CREATE TABLE times (time TIMESTAMP)')
    assert.equal(
      await errorOf("INSERT INTO times VALUES ('2040-01-01 12:00:00')"),
      isMariadbFrom(1105) ? null : 1292,
    )
    const store = await storeOn(t, url)
    await store.migrate()
    await assert.rejects(store.recordViews(received([view('2107-01-01T00:00:00Z')])), RowRejected)
  })

  test('cuts fractions of a second or rounds them; a view of ours is cut before, and an adopted one lies on the day that was kept', async t => {
    const { url } = await asked(t)
    const old = await oldConsumer(t, url)
    await old.keep({ timestamp: `${OLD} 23:59:59.700` })
    const [kept] = await old.sql('SELECT viewed_at FROM post_views')
    const day = String(kept!['viewed_at']).slice(0, 10)
    assert.equal(day > OLD, server.isMysql)
    await old.count(POST, `${day} 12:00:00`)
    const store = await migratedStore(t, url)
    const [adopted] = await store.siteDays(day, day)
    assert.deepEqual([adopted?.views, adopted?.unique_views], [1, 1])
    await record(store, [view('2026-03-10T23:59:59.999Z')])
    const days = await store.siteDays('2026-03-10', '2026-03-11')
    assert.deepEqual(
      days.map(({ date, views }) => [date, views]),
      [['2026-03-10', 1]],
    )
    await assertVerified(store)
  })

  test('has a binary log by default or none, and numbers rows in its own order', async t => {
    await asked(t)
    assert.deepEqual(
      [await variable('log_bin'), await variable('innodb_autoinc_lock_mode')],
      server.isMysql ? [1, 2] : [0, 1],
    )
    if (server.isMysql) assert.equal(await variable('sync_binlog'), 1)
  })

  test('refuses a row by a rule of the users under a number of its own', async t => {
    const { url } = await asked(t)
    const store = await storeOn(t, url)
    await store.migrate()
    await root.sql("ALTER TABLE post_views ADD CHECK (post_uuid <> 'forbidden')")
    assert.equal(
      await errorOf("INSERT INTO post_views (post_uuid) VALUES ('forbidden')"),
      server.isMysql ? 3819 : 4025,
    )
    await assert.rejects(record(store, [view(NOON, { postUuid: 'forbidden' })]), RowRejected)
  })

  test('refuses to update a row that has changed since the snapshot, or does it', async t => {
    const { url } = await asked(t)
    await root.sql('CREATE TABLE counts (id INT PRIMARY KEY, n INT)')
    await root.sql('INSERT INTO counts VALUES (1, 1)')
    const other = await otherSession(t, url)
    await other.sql('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ')
    await other.sql('START TRANSACTION WITH CONSISTENT SNAPSHOT')
    await root.sql('UPDATE counts SET n = 2')
    const refused = await other.sql('UPDATE counts SET n = n + 1').then(
      () => null,
      (error: { errno: number }) => error.errno,
    )
    assert.equal(refused, isMariadbFrom(1106) ? 1020 : null)
  })

  test('has a default collation of its own; ids of ours compare by their bytes under each', async t => {
    const { url } = await asked(t)
    const [row] = await root.sql('SELECT @@collation_database AS collation')
    const ofMariadb = isMariadbFrom(1105) ? 'utf8mb4_uca1400_ai_ci' : 'utf8mb4_general_ci'
    assert.equal(row!['collation'], server.isMysql ? 'utf8mb4_0900_ai_ci' : ofMariadb)
    const store = await storeOn(t, url)
    await store.migrate()
    await record(store, [view(NOON, { postUuid: 'aB1' }), view(NOON, { postUuid: 'Ab1' })])
    const totals = await store.postTotals(['aB1', 'Ab1'])
    assert.deepEqual(
      totals.map(({ views }) => views),
      [1, 1],
    )
  })

  test('has MD5() and a native uuid, or not', async t => {
    await asked(t)
    assert.equal(await errorOf("SELECT MD5('a')"), server.isMysql && version >= 907 ? 1305 : null)
    assert.equal((await errorOf('SELECT CAST(NULL AS uuid)')) === null, isMariadbFrom(1007))
  })
})
