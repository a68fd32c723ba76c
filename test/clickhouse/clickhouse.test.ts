/** What is ClickHouse's own: nothing is in a transaction, figures are counted afterwards, and everything is exact all the same. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { View } from '@postviews/client/src/index.ts'
import { addDays, type Day } from '../../packages/analytics/src/store/days.ts'
import { StoreRefused, StoreUnavailable } from '../../packages/analytics/src/store/failures.ts'
import { openStore } from '../../packages/analytics/src/store/open.ts'
import type { Store } from '../../packages/analytics/src/store/store.ts'
import { CLICKHOUSE_MIRRORS, startClickhouseCluster } from '../../tools/stack/clickhouse.ts'
import { assertVerified } from '../store-contract-database.ts'
import { randomOf, shuffled } from '../store-contract-random.ts'
import { atEnd } from '../support/at-end.ts'
import { clickhouseUrl, queryShard } from '../support/clickhouse.ts'
import { referrersIn } from '../support/referrers.ts'
import { postviews } from '../support/service.ts'
import { startTlsFront } from '../support/tls-front.ts'
import { onceSaid, opened, SETTINGS, twoShards } from '../support/two-shards.ts'
import { until } from '../support/until.ts'
import { FIREFOX, GOOGLEBOT, received, record, SAFARI, unix, untilAvailable, view } from '../support/views.ts'

const TODAY: Day = '2026-03-10'
const NOON = `${TODAY}T12:00:00Z`
const [HOUR, DAY] = [3_600, 86_400]
const CERTIFICATE = join(import.meta.dirname, '../support/localhost.pem')
/** Longer than adopting other settings takes where there is next to nothing. */
const LATE_MS = 10_000
/** Longer than one insert takes. */
const HELD_MS = 3_000

const { cluster, onTwoShards, throughProxy } = twoShards()

function views(count: number, fields: Partial<View> = {}, time = NOON): View[] {
  return Array.from({ length: count }, (_, index) =>
    view(time, { postUuid: `post-${index % 7}`, ip: `192.0.2.${index % 50}`, ...fields }),
  )
}

/** Once all is counted. */
async function assertCounts(store: Store, count: number, uniques?: number): Promise<void> {
  await store.roll!()
  const { views, unique_views } = await store.siteTotals()
  assert.equal(views, count)
  if (uniques !== undefined) assert.equal(unique_views, uniques)
  await assertVerified(store)
}

const viewsOn = async (store: Store, day: Day) => (await store.siteDays(day, day))[0]?.views ?? 0

describe('ClickHouse on two shards', () => {
  test('counts a batch once whose answer was lost', async t => {
    const { proxy, straight, store } = await throughProxy(t)
    const rows = received(views(300))
    onceSaid(proxy, 'INSERT INTO post_view_rows', 'reset')
    await assert.rejects(store.recordViews(rows), StoreUnavailable)
    proxy.pass()
    await straight.recordViews(rows)
    // 7 posts, with 43 readers or 42 each.
    await assertCounts(straight, 300, 300)
  })

  test('counts each view of batches that overlap once, recorded by two processes at the same time', async t => {
    const { open, store } = await onTwoShards(t)
    const other = await open()
    const random = randomOf(3)
    let all = 0
    for (let round = 0; round < 10; round++) {
      const shared = views(20)
      const [a, b] = [views(10), views(10)]
      all += 40
      await Promise.all([
        untilAvailable(() => record(store, shuffled(random, [...shared, ...a]))),
        untilAvailable(() => record(other, shuffled(random, [...shared, ...b]))),
        store.roll!(),
        other.roll!(),
      ])
    }
    // 7 posts, 20 readers and all of them on one day.
    await assertCounts(store, all, 20)
  })

  test('counts a view once however far apart its deliveries are received, with or without a time of its own', async t => {
    const { store } = await onTwoShards(t)
    const batch = views(40)
    const noon = unix(NOON)
    // Those without a time of their own are of their first receipt, and those ahead as well.
    const untimed = views(40, { ownTime: null })
    const ahead = views(40, { ownTime: noon + 20 * HOUR })
    for (const receivedAt of [noon + 5 * DAY, noon + 60, noon + 2 * HOUR]) {
      const at = (list: View[]) =>
        list.map(each => ({ ...each, viewedAt: Math.min(receivedAt, noon + 20 * HOUR) }))
      await record(store, batch, { receivedAt })
      await record(
        store,
        untimed.map(each => ({ ...each, viewedAt: receivedAt })),
        { receivedAt },
      )
      await record(store, at(ahead), { receivedAt })
      await store.roll!()
    }
    assert.equal(await viewsOn(store, TODAY), 120)
    await assertCounts(store, 120)
  })

  test('counts a view without a time on the day of its earlier receipt alone, also where the later one is merged away', async t => {
    const { store, sql } = await onTwoShards(t)
    const untimed = view(NOON, { ownTime: null })
    const [before, after] = [unix('2026-03-10T23:59:59Z'), unix('2026-03-11T00:00:03Z')]
    for (const receivedAt of [after, before]) {
      await record(store, [{ ...untimed, viewedAt: receivedAt }], { receivedAt })
      await sql('OPTIMIZE TABLE post_view_rows FINAL')
      await store.roll!()
    }
    assert.equal(await viewsOn(store, TODAY), 1)
    assert.equal(await viewsOn(store, addDays(TODAY, 1)), 0)
    await assertCounts(store, 1, 1)
  })

  test('lists the hosts of an open day also where the clock of a publisher was ahead on one shard alone', async t => {
    for (const postUuid of ['post-0', 'post-1', 'post-2', 'post-3']) {
      const { store } = await onTwoShards(t)
      const late = unix(`${TODAY}T23:50:00Z`)
      await record(store, views(7, { referer: 'https://b.example/' }))
      await record(store, [
        {
          ...view(NOON, { postUuid, referer: 'https://a.example/' }),
          viewedAt: late,
          ownTime: late + 20 * 60,
        },
      ])
      await store.roll!()
      assert.deepEqual(await referrersIn(store, null, TODAY, TODAY, 10), {
        referrers: [
          { host: 'b.example', views: 7 },
          { host: 'a.example', views: 1 },
        ],
        other: { views: 0 },
      })
    }
  })

  test('keeps the views of a post whose id is the nil UUID apart from those of the site', async t => {
    const { store } = await onTwoShards(t)
    const postUuid = '00000000-0000-0000-0000-000000000000'
    await record(store, [
      ...views(5, { postUuid, referer: 'https://a.example/' }),
      ...views(7, { referer: 'https://b.example/' }),
    ])
    await store.roll!()
    const now = unix(NOON) + 40 * DAY
    assert.equal((await store.prune({ now, rawRetentionDays: 1, maxAgeSeconds: DAY })).rows, 12)
    await store.rebuild({ adoptSettings: false })
    const [totals] = await store.postTotals([postUuid])
    assert.equal(totals!.views, 5)
    assert.deepEqual((await referrersIn(store, postUuid, TODAY, TODAY, 10)).referrers, [
      { host: 'a.example', views: 5 },
    ])
    await assertCounts(store, 12)
  })

  test('counts nothing any more by settings that were replaced, also where no view comes', async t => {
    const { store, open, url } = await onTwoShards(t)
    await record(store, views(10))
    await store.roll!()
    const other = await open(url, { ...SETTINGS, timeZone: 'Asia/Tokyo' })
    await other.rebuild({ adoptSettings: true })
    await assert.rejects(store.roll!(), StoreRefused)
    await other.roll!()
    await assertVerified(other)
  })

  test('counts a view once that is there several times, merged or not', async t => {
    const { store, sql } = await onTwoShards(t)
    const batch = views(40, { referer: 'https://a.example/' })
    await sql('SYSTEM STOP MERGES post_view_rows')
    try {
      for (let time = 0; time < 3; time++) await record(store, batch)
      await assertCounts(store, 40, 40)
      const { referrers } = await referrersIn(store, null, TODAY, TODAY, 10)
      assert.deepEqual(referrers, [{ host: 'a.example', views: 40 }])
      assert.equal((await store.minutes(unix(NOON)))[0]?.views, 40)
    } finally {
      await sql('SYSTEM START MERGES post_view_rows')
    }
    await sql('OPTIMIZE TABLE post_view_rows FINAL')
    // An insert that was given up, and is committed after all.
    await sql('INSERT INTO post_view_rows SELECT * FROM post_view_rows')
    await assertCounts(store, 40, 40)
    assert.equal((await store.rebuild({ adoptSettings: false })).fixed, 0)
  })

  test('counts a view in the next roll that was committed while this one had read its day', async t => {
    const { proxy, straight, store } = await throughProxy(t)
    await record(straight, views(70))
    await straight.roll!()
    await record(straight, views(70))
    let isRead = false
    proxy.intercept(({ direction, bytes }) => {
      const isTotals = direction === 'to-server' && bytes.toString('latin1').includes('post_view_post_totals')
      isRead ||= isTotals
      proxy.delay(isTotals ? HELD_MS : 0)
      return 'pass'
    })
    let isRolled = false
    const rolling = store.roll!().finally(() => {
      isRolled = true
    })
    await until('the days are read', () => isRead)
    await record(straight, views(70))
    assert.equal(isRolled, false, 'it was recorded in time')
    await rolling
    proxy.pass()
    await straight.roll!()
    assert.equal((await straight.siteTotals()).views, 210)
    assert.equal(await viewsOn(straight, TODAY), 210)
    await assertVerified(straight)
  })

  test('counts a view of a day in one roll that was counted and settled long ago', async t => {
    const { store } = await onTwoShards(t)
    const [first, late] = [views(70), views(70, { ip: '198.51.100.7', referer: 'https://late.example/' })]
    await record(store, first)
    await record(store, views(70, {}, '2026-03-20T12:00:00Z'))
    await store.roll!()
    await store.prune({ now: unix('2026-03-22T12:00:00Z'), rawRetentionDays: 0, maxAgeSeconds: 30 * DAY })
    assert.equal(await viewsOn(store, TODAY), 70)
    await record(store, late, { receivedAt: unix('2026-03-22T12:00:00Z') })
    assert.equal(await viewsOn(store, TODAY), 70)
    assert.equal(await store.roll!(), true)
    assert.equal(await viewsOn(store, TODAY), 140)
    assert.equal((await store.siteTotals()).views, 210)
    const { referrers } = await referrersIn(store, null, TODAY, TODAY, 10)
    assert.deepEqual(referrers, [
      { host: null, views: 70 },
      { host: 'late.example', views: 70 },
    ])
    assert.equal(await store.roll!(), false)
    await assertVerified(store)
  })

  test('tells how old its answers are, by what nobody has counted yet', async t => {
    const { open, store } = await onTwoShards(t)
    // Each store keeps its answer for a second.
    const age = async () => {
      const now = Date.now()
      return now - (await (await open()).asOf(now))
    }
    await record(store, views(70))
    await store.roll!()
    await sleep(2_000)
    const counted = await age()
    await record(store, views(70))
    const [first] = [await age(), await sleep(4_000)]
    assert.ok(first >= 1_000, `${first} ms`)
    const grown = await age()
    assert.ok(grown - first >= 3_500, `${first}, then ${grown} ms`)
    await store.roll!()
    const rolled = await age()
    // Of what is counted, the answer is as old as asking takes, which on a busy machine is long.
    for (const recent of [counted, rolled]) assert.ok(recent < grown / 2, `${recent} ms of ${grown}`)
  })

  test('answers no batch while one of them is down, and counts it once when it is back', async t => {
    const { servers, store } = await onTwoShards(t)
    const [first, second] = [views(70), views(70)]
    await record(store, first)
    const down = servers.shards[1]!
    await down.kill()
    try {
      await assert.rejects(record(store, second), StoreUnavailable)
      await assert.rejects(store.ping(), StoreUnavailable)
      await assert.rejects(store.roll!(), StoreUnavailable)
    } finally {
      await down.restart()
    }
    await untilAvailable(() => store.ping())
    await untilAvailable(() => record(store, second))
    await assertCounts(store, 140)
  })

  test('counts what comes after servers were started again, whatever numbers they give', async t => {
    const { servers, database, store } = await onTwoShards(t)
    for (let times = 0; times < 5; times++) await record(store, views(70))
    await store.roll!()
    const now = unix(NOON) + 100 * DAY
    assert.equal((await store.prune({ now, rawRetentionDays: 1, maxAgeSeconds: DAY })).rows, 350)
    const count =
      "SELECT count() AS parts FROM system.parts WHERE database = currentDatabase() AND table = 'post_view_rows' AND active"
    for (const shard of servers.shards) {
      assert.equal((await queryShard(shard, database, count))[0]!['parts'], 0)
      await shard.restart()
      // With no part left they begin with 1 again.
      await until('its tables are there', async () => (await queryShard(shard, database, count)).length === 1)
    }
    await untilAvailable(() => store.roll!())
    assert.equal((await store.siteTotals()).views, 350)
    await record(store, views(70, {}, '2026-06-18T12:00:00Z'))
    assert.equal(await store.roll!(), true)
    assert.equal(await viewsOn(store, '2026-06-18'), 70)
    await assertCounts(store, 420)
    for (const shard of servers.shards) await shard.restart()
    await untilAvailable(() => store.roll!())
    await record(store, views(70, {}, '2026-06-18T12:00:00Z'))
    await assertCounts(store, 490)
  })

  test('take a backlog of 90 days', async t => {
    const { store } = await onTwoShards(t)
    const first = unix(`${TODAY}T00:00:00Z`)
    const count = 20_000
    const all = Array.from({ length: count }, (_, nth) =>
      view(NOON, {
        postUuid: `post-${nth % 101}`,
        ip: `192.0.${nth % 7}.${nth % 250}`,
        // Every eighth hour: more would keep the servers busy for minutes.
        ...timed(first + Math.floor((nth * 270) / count) * 8 * HOUR + (nth % HOUR)),
      }),
    )
    const receivedAt = first + 90 * DAY
    for (let from = 0; from < count; from += 1_000)
      await record(store, all.slice(from, from + 1_000), { receivedAt })
    await store.roll!()
    const days = await store.siteDays(TODAY, addDays(TODAY, 89))
    assert.equal(days.length, 90)
    for (const { date, views } of days) {
      const [start, end] = [unix(`${date}T00:00:00Z`), unix(`${addDays(date, 1)}T00:00:00Z`)]
      assert.equal(views, all.filter(({ viewedAt }) => viewedAt >= start && viewedAt < end).length, date)
    }
    assert.equal((await store.siteTotals()).views, count)
  })

  test('drop the hours that retention is over for, and keep what they counted', async t => {
    const { store, sql } = await onTwoShards(t)
    await record(store, views(70))
    await record(store, views(70, {}, '2026-04-20T12:00:00Z'))
    await record(store, views(35, { ownTime: null }))
    await store.roll!()
    const pruned = await store.prune({
      now: unix('2026-04-21T12:00:00Z'),
      rawRetentionDays: 10,
      maxAgeSeconds: DAY,
    })
    assert.equal(pruned.rows, 105)
    const partitions = await sql(
      "SELECT DISTINCT partition FROM system.parts WHERE database = currentDatabase() AND table = 'post_view_rows' AND active AND rows > 0",
    )
    const hour = String(Math.floor(unix('2026-04-20T12:00:00Z') / HOUR))
    assert.deepEqual([...new Set(partitions.map(({ partition }) => partition))], [hour])
    assert.equal(await viewsOn(store, TODAY), 105)
    await assertCounts(store, 175)
  })

  test('forget a reader who goes on reading, and no view', async t => {
    const { store, open, sql } = await onTwoShards(t)
    const other = await open()
    const ofReader = (count: number) => views(count, { userId: '7' })
    await record(store, ofReader(200))
    let [all, isForgotten] = [200, false]
    const reading = (async () => {
      for (; !isForgotten; all += 10) await record(store, ofReader(10))
    })()
    for (let time = 1; time <= 5; time++) await other.forget({ userId: '7' })
    isForgotten = true
    await reading
    await other.forget({ userId: '7' })
    const left = await sql('SELECT count() AS views FROM post_view_rows WHERE user_id = 7')
    assert.deepEqual(
      left.map(row => Number(row['views'])),
      [0, 0],
    )
    assert.ok(all > 200)
    await assertCounts(store, all)
  })

  test('forget a reader for good, also where an event of theirs comes again', async t => {
    const { store, sql } = await onTwoShards(t)
    const theirs = views(40, { userId: '7', ip: '198.51.100.7' })
    await record(store, [...theirs, ...views(30)])
    await store.roll!()
    assert.equal(await store.forget({ userId: '7' }), 40)
    const known = "SELECT count() AS rows FROM post_view_rows WHERE user_id = 7 OR ip = '198.51.100.7'"
    assert.deepEqual(await sql(known), [{ rows: 0 }, { rows: 0 }])
    await record(store, theirs)
    await assertCounts(store, 70)
    await sql('OPTIMIZE TABLE post_view_rows FINAL')
    assert.deepEqual(await sql(known), [{ rows: 0 }, { rows: 0 }])
    await assertCounts(store, 70)
  })

  test('refuse a batch of other settings than hold when it arrives', async t => {
    const { servers, database, proxy, url, straight, store } = await throughProxy(t)
    // Two readers by address, four by address and browser, of a post on the first shard.
    const batch = [FIREFOX, SAFARI].flatMap(userAgent =>
      Array.from({ length: 10 }, (_, n) => view(NOON, { userAgent, ip: `192.0.2.${n % 2}` })),
    )
    const rows = received(batch)
    // It begins under the settings of before.
    await store.rehearse(rows)
    await straight.recordViews(received(views(1)))
    const rowsThere = async () => {
      const count = 'SELECT count() AS rows FROM post_view_rows FINAL'
      const lists = await Promise.all(servers.shards.map(shard => queryShard(shard, database, count)))
      return lists.flat().reduce((sum, { rows }) => sum + Number(rows), 0)
    }
    let isSaid = false
    proxy.intercept(({ direction, bytes }) => {
      const isInsert = bytes.toString('latin1').includes('post_view_rows')
      isSaid ||= isInsert
      proxy.delay(direction === 'to-server' && isInsert ? LATE_MS : 0)
      return 'pass'
    })
    const refused = assert.rejects(store.recordViews(rows), StoreRefused)
    await Promise.race([refused, until('it is on its way', () => isSaid)])
    const now = await opened(t, url, { ...SETTINGS, uniqueBy: 'ip+user_agent' })
    await now.rebuild({ adoptSettings: true })
    await refused
    proxy.pass()
    assert.equal(await rowsThere(), 1)
    await record(now, batch)
    await assertCounts(now, 21, 5)
  })

  test('commit a batch as one part of each hour, however big it is', async t => {
    const { store, sql } = await onTwoShards(t)
    const [userAgent, referer] = ['ы'.repeat(2_000), `https://a.example/${'ы'.repeat(480)}`]
    const big = Array.from({ length: 8_000 }, (_, n) =>
      view(NOON, { postUuid: `p-${n}`, userAgent, referer }),
    )
    await record(store, big)
    const parts = await sql(`SELECT max_block_number AS block FROM system.parts
      WHERE database = currentDatabase() AND table = 'post_view_rows' AND active`)
    assert.deepEqual(parts, [{ block: 1 }, { block: 1 }])
  })

  test('keeps what newer lists say of a view that comes again as older ones said', async t => {
    const { store, sql } = await onTwoShards(t, { ...SETTINGS, bots: 'exclude' })
    await record(store, [...views(60), ...views(30, { userAgent: GOOGLEBOT })])
    const told = async () => {
      await store.roll!()
      const { views, unique_views, bots } = await store.siteTotals()
      const browsers = await store.breakdown('browser', null, TODAY, TODAY)
      return { views, unique_views, bots, values: browsers.values, days: browsers.days }
    }
    // What is settled keeps its values, and they follow.
    await store.prune({ now: unix(NOON) + 3 * DAY, rawRetentionDays: 0, maxAgeSeconds: 30 * DAY })
    const right = await told()
    await sql(
      `ALTER TABLE post_view_rows UPDATE bot = 0, agent = '0\\tdesktop\\tChrome\\tWindows\\t\\t' WHERE true`,
    )
    await store.rebuild({ adoptSettings: false })
    await sql('CREATE TABLE as_it_was ENGINE = Memory AS SELECT * FROM post_view_rows FINAL')
    assert.deepEqual(await told(), {
      ...right,
      views: 90,
      bots: 0,
      values: new Map([['Chrome', { views: 90, bots: 0 }]]),
      days: [{ date: TODAY, all: { views: 90, bots: 0 }, known: { views: 90, bots: 0 } }],
    })

    const derive = { adoptSettings: false, derive: ['bot'] } as const
    assert.equal((await store.rebuild(derive)).derived, 90)
    await sql('INSERT INTO post_view_rows SELECT * FROM as_it_was')
    assert.deepEqual(await told(), right)
    await assertVerified(store)
    assert.equal((await store.rebuild(derive)).derived, 0)

    assert.ok((await store.forget({ ip: '192.0.2.7' })) > 0)
    await sql('INSERT INTO post_view_rows SELECT * FROM as_it_was')
    assert.deepEqual(await told(), right)
    assert.equal((await store.rebuild(derive)).derived, 0)
  })

  test('tells readers of a closed day apart under one secret, in how many runs ever settings are applied', async t => {
    const { open, store, sql, url } = await onTwoShards(t)
    // Of more hours than are gone through together, the last two of which are the first of a day in Warsaw.
    const hours = Array.from({ length: 5 * 24 }, (_, hour) => unix(`${TODAY}T00:00:00Z`) + hour * HOUR)
    await record(
      store,
      hours.map(at => view(new Date(at * 1_000).toISOString(), { postUuid: 'post-0' })),
    )
    const [last, next] = ['2026-03-13T23:30:00Z', '2026-03-14T00:30:00Z']
    await record(store, [view(last, { postUuid: 'post-1' }), view(next, { postUuid: 'post-1' })])
    await store.roll!()
    await store.prune({ now: unix('2026-04-01T00:00:00Z'), rawRetentionDays: 0, maxAgeSeconds: DAY })
    const warsaw = await open(url, { ...SETTINGS, timeZone: 'Europe/Warsaw' })
    const interrupted = (step: string, done: number) => {
      if (step === 'settings' && done === 1) throw new Error('interrupted')
    }
    await assert.rejects(warsaw.rebuild({ adoptSettings: true }, interrupted), /^Error: interrupted$/)
    await warsaw.rebuild({ adoptSettings: true })
    const days = await warsaw.postDays(['post-1'], '2026-03-14', '2026-03-14')
    assert.deepEqual(
      days.get('post-1')!.map(({ views, unique_views }) => [views, unique_views]),
      [[2, 1]],
    )
    assert.deepEqual(
      await sql("SELECT value FROM post_view_agreed WHERE name = 'secret of settings' AND value != ''"),
      [],
    )
    await assertVerified(warsaw)
  })

  test('leaves a view of a day that settings could not reach as it is, also when it comes again', async t => {
    const { open, url } = await onTwoShards(t)
    const keepsNone = async (timeZone: string) => {
      const store = await openStore(url, { ...SETTINGS, timeZone }, { ipStorage: 'none' })
      atEnd(t, () => store.close())
      return store
    }
    const late = [view(`${TODAY}T23:30:00Z`, { postUuid: 'post-1' })]
    await record(await keepsNone('UTC'), late)
    const warsaw = await keepsNone('Europe/Warsaw')
    await warsaw.rebuild({ adoptSettings: true })
    await record(warsaw, late, { receivedAt: unix(`${TODAY}T23:31:00Z`) })
    assert.equal(await viewsOn(await open(url, { ...SETTINGS, timeZone: 'Europe/Warsaw' }), TODAY), 1)
    await assertCounts(warsaw, 1, 1)
    assert.equal(await viewsOn(warsaw, TODAY), 1)
  })

  test('makes the tables on a server that has none of them yet', async t => {
    const { servers, database, store, sql } = await onTwoShards(t)
    for (const table of ['post_view_migrations', 'post_view_names'])
      await queryShard(servers.shards[1]!, database, `DROP TABLE ${table} SYNC`)
    await store.migrate()
    const tables = await sql(
      "SELECT name FROM system.tables WHERE database = currentDatabase() AND name = 'post_view_names'",
    )
    assert.equal(tables.length, 2)
    await record(store, views(20))
    await assertCounts(store, 20)
  })

  test('refuses another number of shards', async t => {
    const { url, open } = await onTwoShards(t)
    const one = url.replace(/,127\.0\.0\.1:\d+/, '')
    const half = { constructor: StoreRefused, message: /names no host of shard 2/ }
    await assert.rejects((await open(one)).siteTotals(), half)
    const lone = await open(one.replace(/\?.*/, ''))
    await assert.rejects(lone.checkSettings(), {
      constructor: StoreRefused,
      message: /has 2 shards.*knows 1/,
    })
  })

  test('refuses a cluster that has replicas where the tables have none', async t => {
    const { url, open } = await onTwoShards(t)
    const mirrors = await open(url.replace(/\bcluster=\w+/, `cluster=${CLICKHOUSE_MIRRORS}`))
    await assert.rejects(mirrors.checkSettings(), {
      constructor: StoreRefused,
      message: /shard 1 has replicas, but its tables are not replicated/,
    })
  })

  test('are reached through TLS where the URL says so, if Node knows the authority', async t => {
    const servers = await cluster()
    let databaseUrl = clickhouseUrl(servers, await servers.database()).replace('clickhouse:', 'clickhouses:')
    for (const { port } of servers.shards) {
      const front = await startTlsFront(port)
      atEnd(t, () => front.close())
      databaseUrl = databaseUrl.replace(`:${port}`, `:${front.port}`)
    }
    const surroundings = { amqpUrl: 'amqp://127.0.0.1:9', databaseUrl }
    const unknown = await postviews(surroundings, 'migrate')
    assert.equal(unknown.code, 1)
    assert.match(unknown.output, /SELF_SIGNED_CERT/)
    const trusting = { ...surroundings, settings: { NODE_EXTRA_CA_CERTS: CERTIFICATE } }
    for (const command of ['migrate', 'verify']) {
      const { code, output } = await postviews(trusting, command)
      assert.equal(code, 0, output)
    }
  })

  test('names the server, and says nothing of passwords', async t => {
    const store = await opened(t, 'clickhouse://reader:hunter2@127.0.0.1:9/views')
    await assert.rejects(store.siteTotals(), error => {
      assert.ok(error instanceof StoreUnavailable)
      assert.match(error.message, /^ClickHouse at 127\.0\.0\.1:9: /)
      assert.doesNotMatch(`${error.stack} ${error.cause ?? ''}`, /hunter2/)
      return true
    })
    await assert.rejects(openStore('clickhouse://reader:hunter2@/views', SETTINGS), error => {
      assert.doesNotMatch(String(error), /hunter2/)
      return error instanceof StoreRefused
    })
  })
})

describe("ClickHouse's own backups", () => {
  test('taken while events arrive are restored to what is verified, and counts on', async t => {
    const folder = await mkdtemp(join(tmpdir(), 'postviews-backups-'))
    atEnd(t, () => rm(folder, { recursive: true, force: true }))
    const servers = await startClickhouseCluster({
      config: [`<backups><allowed_path>${folder}</allowed_path></backups>`],
    })
    atEnd(t, () => servers.stop())
    const database = await servers.database()
    const url = clickhouseUrl(servers, database)
    const store = await opened(t, url)
    await store.migrate()
    await record(store, views(700))
    await store.roll!()

    const batches: View[][] = []
    let isTaken = false
    const arriving = (async () => {
      while (!isTaken) {
        const batch = views(20)
        await record(store, batch)
        batches.push(batch)
        await store.roll!()
      }
    })()
    await until('events arrive', () => batches.length > 2)
    const each = (sql: (nth: number) => string) =>
      Promise.all(servers.shards.map((shard, nth) => queryShard(shard, 'default', sql(nth))))
    await each(nth => `BACKUP DATABASE ${database} TO File('${folder}/${nth}')`)
    isTaken = true
    await arriving
    await store.close()

    await each(() => `DROP DATABASE ${database} SYNC`)
    await each(nth => `RESTORE DATABASE ${database} FROM File('${folder}/${nth}')`)
    const restored = await opened(t, url)
    await restored.checkSettings()
    await assertVerified(restored)
    // As the broker has them still: what was acknowledged since the backup is gone with it.
    for (const batch of batches) await record(restored, batch)
    await assertCounts(restored, 700 + 20 * batches.length)
    await record(restored, views(70))
    assert.equal(await restored.roll!(), true)
    await assertCounts(restored, 770 + 20 * batches.length)
  })
})

function timed(seconds: number): Pick<View, 'viewedAt' | 'ownTime'> {
  return { viewedAt: seconds, ownTime: seconds }
}
