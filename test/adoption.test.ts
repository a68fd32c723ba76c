/** The second article's counts and rows become a store of ours: what is told of them, and what stays unknown. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { DimensionName } from '@postviews/client/src/figures.ts'
import { openCountries } from '../packages/analytics/src/derive/countries.ts'
import { addDays } from '../packages/analytics/src/store/days.ts'
import { openStore } from '../packages/analytics/src/store/open.ts'
import { ownHostsOf } from '../packages/analytics/src/store/own-hosts.ts'
import type { Store } from '../packages/analytics/src/store/store.ts'
import { LISTED_DIMENSIONS } from '../packages/analytics/src/store/who-again.ts'
import { assertVerified, topOf } from './store-contract-database.ts'
import { POST_VIEW_AGGREGATES, POST_VIEWS } from './support/article-sql.ts'
import { migratedStore, OLD, type OldConsumer, oldTables, RECENT, TODAY } from './support/article-tables.ts'
import { SETTINGS } from './support/mysql.ts'
import { referrersIn } from './support/referrers.ts'
import { GOOGLEBOT, POST, record, SAFARI, view } from './support/views.ts'

const KEEP = { adoptSettings: false } as const
const OLD_NEXT = addDays(OLD, 1)

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
  assert.deepEqual((await referrersIn(store, POST, OLD, OLD, 10)).referrers, [
    { host: null, views: 3 },
    { host: 'news.example', views: 1 },
  ])
  assert.deepEqual(await topOf(store, null, 10, 0), {
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
  assert.deepEqual((await referrersIn(store, null, OLD, TODAY, 10)).referrers, [
    { host: 'a.example', views: 1 },
  ])
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
  assert.deepEqual((await referrersIn(store, 'unknown-alone', RECENT, RECENT, 10)).referrers, [
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

test('who read adopted rows is known at once, where they explain the count', async t => {
  const { old, database } = await oldTables(t)
  const store = await consumeAndAdopt(t, old, database.url)
  for (const [name, values] of Object.entries(WHO)) {
    assert.deepEqual(await valuesOf(store, name as DimensionName, POST), values, name)
    const { days } = await store.breakdown(name as DimensionName, 'kept-only', OLD, OLD)
    assert.deepEqual(days, [{ date: OLD, all: { views: 0, bots: null }, known: { views: 0, bots: 0 } }], name)
  }
  await assertVerified(store)
  assert.equal((await store.rebuild({ ...KEEP, derive: LISTED_DIMENSIONS })).derived, 0)
})

test('adopted rows that an earlier version derived nothing of become known by rebuild', async t => {
  const { old, database } = await oldTables(t)
  const store = await consumeAndAdopt(t, old, database.url)
  const total = await totalOf(store)
  await old.sql(
    'UPDATE post_views SET hour_of_day = NULL, origin = NULL, agent = NULL, country = NULL, viewed_at = viewed_at',
  )
  await store.rebuild(KEEP)
  assert.deepEqual(await valuesOf(store, 'device', POST), {})
  await store.rebuild({ ...KEEP, derive: LISTED_DIMENSIONS })
  // The row without an agent keeps nothing else of its reader, so the agent may have been forgotten since.
  const known = { ...WHO, device: { desktop: 1, '': 1 } }
  for (const [name, values] of Object.entries(known))
    assert.deepEqual(await valuesOf(store, name as DimensionName, POST), values, name)
  assert.deepEqual(await totalOf(store), total)
  await assertVerified(store)
})

const WHO: Partial<Record<DimensionName, Record<string, number>>> = {
  hour: { 9: 1, 10: 1, 11: 1 },
  source: { Google: 1, '': 2 },
  channel: { search: 1, internal: 1, direct: 1 },
  country: { US: 1, '': 2 },
  device: { desktop: 1, '': 2 },
  bot: { Googlebot: 1 },
}

/** Views that an earlier consumer counted, and a row without its count. */
async function consumeAndAdopt(t: TestContext, old: OldConsumer, url: string): Promise<Store> {
  await old.consume({ timestamp: `${OLD} 09:00:00`, ip: '8.8.8.8', referer: 'https://www.google.com/' })
  await old.consume({ timestamp: `${OLD} 10:00:00`, user_agent: GOOGLEBOT, referer: 'https://blog.example/' })
  await old.consume({ timestamp: `${OLD} 11:00:00`, ip: null, user_agent: null })
  await old.keep({ timestamp: `${OLD} 12:00:00`, post_uuid: 'kept-only' })
  const store = await openStore(url, SETTINGS, { countries: openCountries() })
  t.after(() => store.close())
  await store.migrate(undefined, { ownHosts: ownHostsOf('blog.example'), goesBack: false })
  await store.checkSettings()
  return store
}

async function valuesOf(store: Store, name: DimensionName, post: string): Promise<Record<string, number>> {
  const { values } = await store.breakdown(name, post, OLD, OLD)
  return Object.fromEntries([...values].map(([value, { views }]) => [value, views]))
}

test('several processes that start at once adopt the tables once', async t => {
  const { old, database } = await oldTables(t)
  for (let hour = 10; hour < 20; hour++) await old.consume({ timestamp: `${RECENT} ${hour}:00:00` })
  const stores = await Promise.all([1, 2, 3].map(() => migratedStore(t, database.url)))
  const total = await totalOf(stores[0]!)
  assert.deepEqual([total?.views, total?.unique_views], [10, 1])
  await assertVerified(stores[2]!)
})
