/** The second article's tables, with what its consumer left in them, become a store of ours. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { addDays } from '../packages/analytics/src/store/calendar.ts'
import { openStore } from '../packages/analytics/src/store/open.ts'
import { dumpSchema } from '../packages/analytics/src/store/schema-dump.ts'
import { type CountingSettings, type Store, StoreRefused } from '../packages/analytics/src/store/store.ts'
import { testMariadb } from '../tools/stack/for-tests.ts'
import type { Database, DatabaseOptions } from '../tools/stack/mariadb.ts'
import { assertVerified } from './store-contract-database.ts'
import { type OldConsumer, oldConsumer, POST_VIEW_AGGREGATES, POST_VIEWS } from './support/article-tables.ts'
import { GOOGLEBOT, POST, record, SAFARI, view } from './support/views.ts'

const SETTINGS: CountingSettings = { timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots: 'count' }
const KEEP = { adoptSettings: false, ipStorage: 'full' } as const
const TODAY = new Date().toISOString().slice(0, 10)
// Long over: its views are accepted no more.
const OLD = addDays(TODAY, -100)
const OLD_NEXT = addDays(OLD, 1)
// Views of it may still come.
const RECENT = addDays(TODAY, -3)

interface Adoption {
  database: Database
  old: OldConsumer
  /** Adopts what is there. */
  adopt(settings?: Partial<CountingSettings>): Promise<Store>
}

async function oldTables(
  t: TestContext,
  options: DatabaseOptions & { tables?: readonly string[] } = {},
): Promise<Adoption> {
  const database = await testMariadb(options)
  const old = await oldConsumer(t, database.url, options)
  return {
    database,
    old,
    async adopt(settings = {}) {
      const store = await openStore(database.url, { ...SETTINGS, ...settings })
      t.after(() => store.close())
      await store.migrate()
      await store.checkSettings()
      return store
    },
  }
}

async function totalOf(store: Store, post = POST) {
  const [total] = await store.postTotals([post])
  return total
}

test('a day whose rows explain its count has all its numbers', async t => {
  const { old, adopt } = await oldTables(t)
  await old.consume({ timestamp: `${OLD} 09:00:00`, user_id: 7, referer: 'https://News.example/a' })
  await old.consume({ timestamp: `${OLD} 10:00:00` })
  await old.consume({ timestamp: `${OLD} 11:00:00`, ip: '2001:db8::1', user_agent: GOOGLEBOT })
  await old.consume({ timestamp: `${OLD} 12:00:00`, ip: null })
  const store = await adopt()
  const figures = { views: 4, unique_views: 3, logged_in: 1, anonymous: 3, bots: 1 }
  assert.deepEqual(await totalOf(store), {
    post_uuid: POST,
    ...figures,
    first_viewed_at: `${OLD}T09:00:00Z`,
    last_viewed_at: `${OLD}T12:00:00Z`,
  })
  assert.deepEqual((await store.postDays([POST], OLD, OLD)).get(POST), [{ date: OLD, ...figures }])
  assert.deepEqual(await store.siteDays(OLD, TODAY), [{ date: OLD, ...figures }])
  assert.deepEqual(await store.referrers(POST, OLD, OLD, 10), [
    { host: null, views: 3 },
    { host: 'news.example', views: 1 },
  ])
  assert.deepEqual(await store.topPosts(null, 10, 0), {
    total: 1,
    posts: [{ post_uuid: POST, views: 4, unique_views: 3 }],
  })
  await assertVerified(store)
})

test('a backlog counted after midnight leaves both days known by their counts alone', async t => {
  const { old, adopt } = await oldTables(t)
  await old.consume({ timestamp: `${OLD} 23:58:00`, user_id: 7 }, `${OLD_NEXT} 00:01:00`)
  await old.consume({ timestamp: `${OLD} 23:59:00` }, `${OLD_NEXT} 00:01:00`)
  const later = addDays(OLD, 5)
  await old.consume({ timestamp: `${later} 12:00:00`, referer: 'https://a.example/' })
  const store = await adopt()
  const unknown = { unique_views: null, logged_in: null, anonymous: null, bots: null }
  const known = { unique_views: 1, logged_in: 0, anonymous: 1, bots: 0 }
  const days = [
    { date: OLD, views: 0, ...unknown },
    { date: OLD_NEXT, views: 2, ...unknown },
    { date: later, views: 1, ...known },
  ]
  assert.deepEqual((await store.postDays([POST], OLD, TODAY)).get(POST), days)
  assert.deepEqual(await store.siteDays(OLD, TODAY), days)
  const total = { views: 3, ...known, details_since: addDays(OLD_NEXT, 1) }
  const times = { first_viewed_at: `${OLD}T23:58:00Z`, last_viewed_at: `${later}T12:00:00Z` }
  assert.deepEqual(await totalOf(store), { post_uuid: POST, ...total, ...times })
  assert.deepEqual(await store.siteTotals(), { ...total, ...times })
  assert.deepEqual(await store.referrers(null, OLD, TODAY, 10), [{ host: 'a.example', views: 1 }])
  await assertVerified(store)
})

test('a row without its count, and a count without rows, are unknown and not zero', async t => {
  const { old, adopt } = await oldTables(t)
  await old.keep({ post_uuid: 'kept-only', timestamp: `${OLD} 12:00:00` })
  await old.count('counted-only', `${OLD} 12:00:00`, 3)
  const store = await adopt()
  const unknown = {
    unique_views: null,
    logged_in: null,
    anonymous: null,
    bots: null,
    details_since: OLD_NEXT,
  }
  assert.deepEqual(await store.postTotals(['kept-only', 'counted-only', 'never-seen']), [
    {
      post_uuid: 'kept-only',
      views: 0,
      ...unknown,
      first_viewed_at: `${OLD}T12:00:00Z`,
      last_viewed_at: `${OLD}T12:00:00Z`,
    },
    { post_uuid: 'counted-only', views: 3, ...unknown, first_viewed_at: null, last_viewed_at: null },
    {
      post_uuid: 'never-seen',
      views: 0,
      unique_views: 0,
      logged_in: 0,
      anonymous: 0,
      bots: 0,
      first_viewed_at: null,
      last_viewed_at: null,
    },
  ])
  assert.equal((await store.siteTotals()).views, 3)
  await assertVerified(store)
})

test('a redelivery that was counted twice stays counted twice, by one reader', async t => {
  const { old, adopt } = await oldTables(t)
  const twice = { timestamp: `${OLD} 12:00:00` }
  await old.consume(twice)
  await old.consume(twice)
  const store = await adopt()
  const total = await totalOf(store)
  assert.deepEqual([total?.views, total?.unique_views], [2, 1])
  await assertVerified(store)
})

test('one UUID spelt in two ways is one post, whose counts add up', async t => {
  // Bytes told them apart in these users' tables.
  const tables = [POST_VIEWS, POST_VIEW_AGGREGATES].map(table => `${table} COLLATE utf8mb4_bin`)
  const { old, adopt } = await oldTables(t, { tables })
  const UPPER = POST.toUpperCase()
  await old.consume({ post_uuid: UPPER, timestamp: `${OLD} 12:00:00` })
  await old.consume({ post_uuid: UPPER, timestamp: `${OLD} 12:30:00`, ip: '192.0.2.2' })
  await old.consume({ timestamp: `${OLD} 13:00:00` })
  await old.consume({ post_uuid: UPPER, timestamp: `${OLD_NEXT} 12:00:00` })
  await old.consume({ post_uuid: 'Not-a-UUID-but-36-characters-as-one-', timestamp: `${OLD} 12:00:00` })
  const store = await adopt()
  const total = await totalOf(store)
  assert.deepEqual([total?.views, total?.unique_views], [4, 3])
  assert.equal((await totalOf(store, UPPER))?.views, 0)
  assert.equal((await totalOf(store, 'Not-a-UUID-but-36-characters-as-one-'))?.views, 1)
  assert.deepEqual(
    await old.sql('SELECT date, view_count, baseline FROM post_view_aggregates WHERE post_uuid = ?', [POST]),
    [
      { date: OLD, view_count: 3, baseline: 3 },
      { date: OLD_NEXT, view_count: 1, baseline: 1 },
    ],
  )
  await assertVerified(store)
})

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
  assert.deepEqual(await store.referrers(null, OLD, TODAY, 10), [
    { host: 'xn--e1afmkfd.xn--p1ai', views: 1 },
    { host: 'xn--nda.example', views: 1 },
  ])
  await assertVerified(store)
  const fresh = await testMariadb()
  await (await openAndMigrate(t, fresh.url)).checkSettings()
  assert.equal(await dumpSchema(database.url), await dumpSchema(fresh.url))
})

test('adopted tables end in the same columns and indexes as new ones, whatever they were made with', async t => {
  const fresh = await testMariadb()
  await openAndMigrate(t, fresh.url)
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
    assert.equal((await totalOf(store))?.unique_views, 1, suffix)
    await assertVerified(store)
  }
})

test('empty tables, and one of the two alone, are adopted as well', async t => {
  for (const tables of [[POST_VIEWS, POST_VIEW_AGGREGATES], [POST_VIEWS], [POST_VIEW_AGGREGATES]]) {
    const { adopt } = await oldTables(t, { tables })
    const store = await adopt()
    await record(store, [view(`${RECENT}T12:00:00Z`)])
    assert.equal((await totalOf(store))?.views, 1)
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
  const total = await totalOf(store)
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

test('tables that lack what is needed are refused, by name, and left alone', async t => {
  const { old, database } = await oldTables(t, {
    tables: [
      `CREATE TABLE post_views (
         id BIGINT UNSIGNED PRIMARY KEY,
         post_uuid BIGINT NOT NULL,
         user_id BIGINT UNSIGNED NULL,
         ip VARCHAR(45) NULL,
         agent TEXT NOT NULL,
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
      `the tables that are there cannot be adopted: ${[
        'post_views.post_uuid is bigint',
        'post_views has no column user_agent',
        'post_views has no column referer',
        'post_views.viewed_at is datetime',
        'post_views has columns of its own that are named bot',
        'post_views.agent has no default, so that no row can be added without knowing of it',
        'post_views.id does not number rows by itself',
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
    message: /post_views has 1 rows whose viewed_at is no time/,
  })
  assert.equal(await dumpSchema(database.url), before)
})

test("the article's own queries go on working, and rebuild counts what its consumer still adds", async t => {
  const { old, adopt } = await oldTables(t)
  await old.consume({ timestamp: `${RECENT} 09:00:00` })
  await old.consume({ timestamp: `${OLD} 09:00:00` })
  const store = await adopt()
  await record(store, [view(`${RECENT}T10:00:00Z`)])

  await old.consume({ timestamp: `${RECENT} 11:00:00`, ip: '192.0.2.7' })
  await old.consume({ timestamp: `${RECENT} 11:30:00`, post_uuid: POST.toUpperCase() })
  const total = 'SELECT SUM(view_count) AS views FROM post_view_aggregates WHERE post_uuid = ?'
  const daily = `SELECT date, view_count FROM post_view_aggregates
                 WHERE post_uuid = ? AND date >= ? - INTERVAL 30 DAY ORDER BY date`
  const top = `SELECT post_uuid, SUM(view_count) AS views FROM post_view_aggregates
               GROUP BY post_uuid ORDER BY views DESC LIMIT 10`
  assert.deepEqual(await old.sql(daily, [POST, TODAY]), [{ date: RECENT, view_count: 3 }])
  assert.deepEqual(await old.sql(total, [POST]), [{ views: '4' }])

  assert.ok((await store.rebuild(KEEP)).fixed > 0)
  assert.deepEqual(await old.sql(total, [POST]), [{ views: '5' }])
  assert.deepEqual(await old.sql(top), [{ post_uuid: POST, views: '5' }])
  assert.deepEqual(await old.sql('SELECT date, baseline FROM post_view_aggregates ORDER BY date'), [
    { date: OLD, baseline: 1 },
    { date: RECENT, baseline: 1 },
  ])
  const [figures] = await store.siteDays(RECENT, RECENT)
  assert.deepEqual([figures?.views, figures?.unique_views], [4, 2])
  await assertVerified(store)
})

test('rebuild leaves baselines alone, and what adoption told as it is', async t => {
  const { old, adopt } = await oldTables(t)
  await old.consume({ timestamp: `${OLD} 23:58:00` }, `${OLD_NEXT} 00:01:00`)
  await old.consume({ timestamp: `${RECENT} 12:00:00`, referer: 'https://a.example/' })
  const store = await adopt()
  assert.equal((await store.rebuild(KEEP)).fixed, 0)
  await old.sql('DELETE FROM post_view_totals')
  await old.sql('UPDATE post_view_aggregates SET view_count = view_count + 5, unique_views = 3, bots = 1')
  assert.ok((await store.rebuild(KEEP)).fixed > 0)
  assert.equal((await store.siteTotals()).views, 2)
  const total = await totalOf(store)
  assert.deepEqual([total?.views, total?.unique_views, total?.bots], [2, 1, 0])
  await assertVerified(store)
})

test('new views count on adopted days: readers as before, and unknown numbers stay unknown', async t => {
  const { old, adopt } = await oldTables(t)
  const before = addDays(RECENT, -1)
  await old.consume({ timestamp: `${before} 23:59:00` }, `${RECENT} 00:00:30`)
  await old.consume({ timestamp: `${RECENT} 09:00:00`, post_uuid: 'known' })
  await old.count('unknown-alone', `${RECENT} 09:00:00`, 2)
  const store = await adopt()

  const noon = `${RECENT}T12:00:00Z`
  await record(store, [
    view(noon, { postUuid: 'known' }),
    view(noon, { postUuid: 'known', ip: '192.0.2.9', userId: '7' }),
    view(noon, { postUuid: 'unknown-alone', referer: 'https://a.example/' }),
    view(noon),
  ])
  const total = async (post: string) => {
    const { views, unique_views, anonymous, details_since, last_viewed_at } = (await totalOf(store, post))!
    return { views, unique_views, anonymous, details_since, last_viewed_at }
  }
  const since = addDays(RECENT, 1)
  const last_viewed_at = noon
  const known = { views: 3, unique_views: 2, anonymous: 2, details_since: undefined, last_viewed_at }
  const unknown = { views: 3, unique_views: null, anonymous: null, details_since: since, last_viewed_at }
  assert.deepEqual(await total('known'), known)
  assert.deepEqual(await total('unknown-alone'), unknown)
  assert.deepEqual(await total(POST), { ...unknown, views: 2 })
  await assertVerified(store)

  // The first day of which all is known.
  await record(store, [view(`${since}T12:00:00Z`, { postUuid: 'unknown-alone' }), view(`${since}T12:00:00Z`)])
  await record(store, [view(`${since}T13:00:00Z`, { postUuid: 'unknown-alone' })])
  assert.deepEqual(await total('unknown-alone'), {
    views: 5,
    unique_views: 1,
    anonymous: 2,
    details_since: since,
    last_viewed_at: `${since}T13:00:00Z`,
  })
  assert.deepEqual(await store.referrers('unknown-alone', RECENT, RECENT, 10), [
    { host: 'a.example', views: 1 },
  ])
  const [site] = await store.siteDays(RECENT, RECENT)
  assert.deepEqual([site?.views, site?.unique_views], [8, null])
  await assertVerified(store)
  assert.equal((await store.rebuild(KEEP)).fixed, 0)
})

test('days whose views are accepted no more keep neither key nor readers', async t => {
  const { old, adopt } = await oldTables(t)
  await old.consume({ timestamp: `${OLD} 12:00:00` })
  await old.consume({ timestamp: `${OLD} 13:00:00`, ip: '192.0.2.2' })
  await old.consume({ timestamp: `${RECENT} 12:00:00` })
  const store = await adopt()
  assert.deepEqual(await old.sql('SELECT day FROM post_view_day_keys'), [{ day: RECENT }])
  assert.deepEqual(await old.sql('SELECT DISTINCT day FROM post_view_visitors'), [{ day: RECENT }])
  assert.equal((await totalOf(store))?.unique_views, 3)

  // Somebody raises EVENT_MAX_AGE: the old reader is known all the same.
  await record(store, [view(`${OLD}T14:00:00Z`), view(`${OLD}T14:00:00Z`, { ip: '192.0.2.3' })])
  assert.equal((await totalOf(store))?.unique_views, 4)
  await assertVerified(store)
})

test('days and windows are those of the settings it is adopted under', async t => {
  const { old, adopt } = await oldTables(t)
  await old.consume({ timestamp: `${OLD} 23:30:00` })
  await old.consume({ timestamp: `${OLD_NEXT} 00:30:00`, user_agent: SAFARI })
  await old.consume({ timestamp: `${OLD_NEXT} 12:30:00` })
  const settings = { timeZone: 'Asia/Tokyo', windowHours: 12, uniqueBy: 'ip+user_agent' } as const
  const store = await adopt(settings)
  assert.deepEqual(
    (await store.siteDays(OLD, TODAY)).map(({ date, views, unique_views }) => ({
      date,
      views,
      unique_views,
    })),
    [
      { date: OLD, views: 1, unique_views: null },
      { date: OLD_NEXT, views: 2, unique_views: null },
    ],
  )
  assert.deepEqual(await old.sql('SELECT day, slice FROM post_views ORDER BY id'), [
    { day: OLD_NEXT, slice: 0 },
    { day: OLD_NEXT, slice: 0 },
    { day: OLD_NEXT, slice: 1 },
  ])
  await assertVerified(store)
})

test('excluded bots are in the adopted counts, and in no number that is told anew', async t => {
  const { old, adopt } = await oldTables(t)
  await old.consume({ timestamp: `${RECENT} 12:00:00`, user_agent: GOOGLEBOT, user_id: 3 })
  await old.consume({ timestamp: `${RECENT} 13:00:00` })
  const store = await adopt({ bots: 'exclude' })
  await record(store, [view(`${RECENT}T14:00:00Z`, { userAgent: GOOGLEBOT }), view(`${RECENT}T14:00:00Z`)])
  const total = await totalOf(store)
  assert.deepEqual([total?.views, total?.unique_views, total?.bots], [3, 1, 2])
  await assertVerified(store)
})

test('several processes that start at once adopt the tables once', async t => {
  const { old, database } = await oldTables(t)
  for (let hour = 10; hour < 20; hour++) await old.consume({ timestamp: `${RECENT} ${hour}:00:00` })
  const stores = await Promise.all([1, 2, 3].map(() => openAndMigrate(t, database.url)))
  const total = await totalOf(stores[0]!)
  assert.deepEqual([total?.views, total?.unique_views], [10, 1])
  await assertVerified(stores[2]!)
})

async function openAndMigrate(t: TestContext, url: string): Promise<Store> {
  const store = await openStore(url, SETTINGS)
  t.after(() => store.close())
  await store.migrate()
  return store
}
