/** The second article's tables, as different servers and users have made them, get the shape that this program needs. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addDays } from '../packages/analytics/src/store/days.ts'
import { StoreRefused } from '../packages/analytics/src/store/failures.ts'
import { openStore } from '../packages/analytics/src/store/open.ts'
import { dumpSchema } from '../packages/analytics/src/store/schema-dump.ts'
import { testMysql } from '../tools/stack/for-tests.ts'
import { assertVerified } from './store-contract-database.ts'
import { POST_VIEW_AGGREGATES, POST_VIEWS } from './support/article-sql.ts'
import { migratedStore, OLD, oldTables, RECENT, TODAY } from './support/article-tables.ts'
import { SETTINGS } from './support/mysql.ts'
import { referrersIn } from './support/referrers.ts'
import { POST, record, SAFARI, view } from './support/views.ts'

test('tables in latin1 take texts of any language afterwards, and keep theirs', async t => {
  const { old, adopt, database } = await oldTables(t, { characterSet: 'latin1' })
  await old.consume({
    timestamp: `${OLD} 12:00:00`,
    user_agent: 'Füchslein/1.0 — Ætt',
    referer: 'https://ö.example/ß',
  })
  const store = await adopt()
  await record(store, [
    view(`${RECENT}T12:00:00Z`, { referer: 'https://пример.рф/🦊', userAgent: 'Лиса 🦊' }),
  ])
  assert.deepEqual(await old.sql('SELECT user_agent, referer FROM post_views ORDER BY id'), [
    { user_agent: 'Füchslein/1.0 — Ætt', referer: 'https://ö.example/ß' },
    { user_agent: 'Лиса 🦊', referer: 'https://пример.рф/🦊' },
  ])
  assert.deepEqual((await referrersIn(store, null, OLD, TODAY, 10)).referrers, [
    { host: 'xn--e1afmkfd.xn--p1ai', views: 1 },
    { host: 'xn--nda.example', views: 1 },
  ])
  await assertVerified(store)
  const fresh = await testMysql()
  await migratedStore(t, fresh.url)
  assert.equal(await dumpSchema(database.url), await dumpSchema(fresh.url))
})

test('adopted tables end in the same columns and indexes as new ones, whatever they were made with', async t => {
  const fresh = await testMysql()
  await migratedStore(t, fresh.url)
  const expected = await dumpSchema(fresh.url)
  for (const suffix of [
    'CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci',
    'CHARACTER SET utf8mb3',
    'CHARACTER SET latin1 COLLATE latin1_bin',
    'CHARACTER SET ascii ENGINE = MyISAM',
    'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = COMPACT',
  ]) {
    const tables = [POST_VIEWS, POST_VIEW_AGGREGATES].map(table => `${table} ${suffix}`)
    const { old, adopt, database } = await oldTables(t, { tables })
    await old.consume({ timestamp: `${OLD} 12:00:00` })
    const store = await adopt()
    assert.equal(await dumpSchema(database.url), expected, suffix)
    assert.equal((await store.siteTotals()).unique_views, 1, suffix)
    await assertVerified(store)
  }
})

test('empty tables, and one of the two alone, are adopted as well', async t => {
  for (const tables of [[POST_VIEWS, POST_VIEW_AGGREGATES], [POST_VIEWS], [POST_VIEW_AGGREGATES]]) {
    const { adopt } = await oldTables(t, { tables })
    const store = await adopt()
    await record(store, [view(`${RECENT}T12:00:00Z`)])
    assert.equal((await store.siteTotals()).views, 1)
    await assertVerified(store)
  }
})

test('users may have columns and indexes of their own, and lack those that can be made', async t => {
  const { old, adopt } = await oldTables(t, {
    tables: [
      `CREATE TABLE post_views (
         id INT UNSIGNED PRIMARY KEY AUTO_INCREMENT,
         tenant VARCHAR(10) NOT NULL DEFAULT 'blog',
         post_uuid VARCHAR(64) NOT NULL COMMENT 'the post, by its UUID',
         user_id INT NULL,
         ip VARCHAR(15) NOT NULL DEFAULT '',
         user_agent VARCHAR(255) NULL,
         referer TEXT NULL,
         viewed_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
         created_at DATETIME NULL,
         KEY mine (tenant, viewed_at)
       ) CHARACTER SET latin1`,
      `CREATE TABLE post_view_aggregates (
         id INT PRIMARY KEY AUTO_INCREMENT,
         date DATE NOT NULL,
         post_uuid CHAR(36) NOT NULL,
         view_count INT NOT NULL,
         note TEXT NULL,
         UNIQUE KEY whatever (date, post_uuid)
       )`,
    ],
  })
  await old.consume({ timestamp: `${OLD} 12:00:00`, user_id: 7 })
  await old.sql("UPDATE post_view_aggregates SET note = 'mine'")
  const store = await adopt()
  await record(store, [
    view(`${RECENT}T12:00:00Z`, {
      userId: String(2n ** 64n - 1n),
      ip: '2001:db8:1:2:3:4:5:6',
      userAgent: SAFARI.repeat(9),
    }),
  ])
  const [total] = await store.postTotals([POST])
  assert.deepEqual([total?.views, total?.unique_views, total?.logged_in], [2, 2, 2])
  assert.deepEqual(await old.sql('SELECT tenant, viewed_at, created_at FROM post_views'), [
    { tenant: 'blog', viewed_at: `${OLD} 12:00:00`, created_at: null },
    { tenant: 'blog', viewed_at: `${RECENT} 12:00:00`, created_at: null },
  ])
  assert.deepEqual(await old.sql('SELECT note FROM post_view_aggregates'), [{ note: 'mine' }, { note: null }])
  assert.deepEqual(
    await old.sql(
      `SELECT column_type AS type, column_comment AS comment FROM information_schema.columns
       WHERE table_schema = DATABASE() AND table_name = 'post_views' AND column_name = 'post_uuid'`,
    ),
    [{ type: 'varchar(64)', comment: 'the post, by its UUID' }],
  )
  await assertVerified(store)
})

test('a key that begins with the day will do: what is unknown stays so, and rebuild puts totals right', async t => {
  const { old, adopt } = await oldTables(t, {
    tables: [
      POST_VIEWS,
      POST_VIEW_AGGREGATES.replace('uq_post_date (post_uuid, date)', 'uq_date_post (date, post_uuid)'),
    ],
  })
  // Counted, and not kept: of the first day nothing else is known.
  await old.count(POST, `${OLD} 12:00:00`)
  await old.consume({ timestamp: `${RECENT} 12:00:00` })
  const store = await adopt()
  const expected = {
    views: 2,
    unique_views: 1,
    last_viewed_at: `${RECENT}T12:00:00Z`,
    details_since: addDays(OLD, 1),
  }
  const totals = async () => {
    const [total] = await store.postTotals([POST])
    const { views, unique_views, last_viewed_at, details_since } = total!
    return { views, unique_views, last_viewed_at, details_since }
  }
  assert.deepEqual(await totals(), expected)
  await assertVerified(store)
  await old.sql('UPDATE post_view_totals SET views = 9, last_viewed_at = NULL, unknown_until = NULL')
  assert.equal((await store.rebuild({ adoptSettings: false })).fixed, 1)
  assert.deepEqual(await totals(), expected)
  await assertVerified(store)
})

test('tables that lack what is needed are refused, by name, and left alone', async t => {
  const { old, database } = await oldTables(t, {
    tables: [
      `CREATE TABLE post_views (
         id BIGINT UNSIGNED PRIMARY KEY,
         post_uuid BIGINT NOT NULL,
         user_id BIGINT UNSIGNED NULL,
         ip VARCHAR(45) NULL,
         software TEXT NOT NULL,
         country CHAR(2) NULL,
         bot BOOLEAN NULL,
         viewed_at DATETIME NOT NULL
       )`,
      `CREATE TABLE post_view_aggregates (
         id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT,
         post_uuid CHAR(36) NULL,
         date DATE NOT NULL,
         view_count INT UNSIGNED NOT NULL DEFAULT 0
       )`,
    ],
  })
  const before = await dumpSchema(database.url)
  const store = await openStore(database.url, SETTINGS)
  t.after(() => store.close())
  await assert.rejects(store.migrate(), (error: Error) => {
    assert.ok(error instanceof StoreRefused)
    assert.equal(
      error.message,
      `the existing tables cannot be adopted: ${[
        'post_views.post_uuid is bigint',
        'post_views has no column user_agent',
        'post_views has no column referer',
        'post_views.viewed_at is datetime',
        'post_views already has other columns named bot, country',
        'post_views.software is NOT NULL without a default, so rows cannot be inserted without it',
        'post_views.id is not AUTO_INCREMENT',
        'post_view_aggregates.post_uuid may be null',
        'post_view_aggregates has no unique key on post_uuid and date',
      ].join('; ')}`,
    )
    return true
  })
  assert.equal(await dumpSchema(database.url), before)
  assert.deepEqual(await old.sql("SHOW TABLES LIKE '%migrations'"), [])
})

test('rows whose time is none are refused before anything is changed', async t => {
  const { old, database } = await oldTables(t)
  await old.sql("SET SESSION sql_mode = ''")
  await old.consume({ timestamp: 'yesterday' }, `${OLD} 12:00:00`)
  const before = await dumpSchema(database.url)
  const store = await openStore(database.url, SETTINGS)
  t.after(() => store.close())
  await assert.rejects(store.migrate(), {
    constructor: StoreRefused,
    message: /post_views has 1 rows whose viewed_at is not a valid time/,
  })
  assert.equal(await dumpSchema(database.url), before)
})

test('ids that the old collation took for one are told apart from then on', async t => {
  const { old, adopt } = await oldTables(t)
  await old.consume({ timestamp: `${OLD} 12:00:00`, post_uuid: 'aB1' })
  await old.consume({ timestamp: `${OLD} 13:00:00`, post_uuid: 'Ab1' })
  const store = await adopt()
  await record(store, [
    view(`${RECENT}T12:00:00Z`, { postUuid: 'Ab1' }),
    view(`${RECENT}T12:00:00Z`, { postUuid: 'Ab1' }),
    view(`${RECENT}T12:00:00Z`, { postUuid: 'ab1' }),
  ])
  const totals = await store.postTotals(['aB1', 'Ab1', 'ab1'])
  // Both old views were counted on the spelling that came first.
  assert.deepEqual(
    totals.map(({ views, unique_views }) => [views, unique_views]),
    [
      [2, null],
      [2, 1],
      [1, 1],
    ],
  )
  await assertVerified(store)
})
