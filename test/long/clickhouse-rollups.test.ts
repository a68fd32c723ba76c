/** Rollups on ClickHouse: numbers stay what they are, at every moment, and so does what may be done with them. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Store, StoreUnavailable } from '../../packages/analytics/src/store/store.ts'
import type { Clickhouse } from '../../tools/stack/clickhouse.ts'
import { assertVerified, differencesIn } from '../store-contract-database.ts'
import { inBatches, questionOf, randomOf, randomViews, shuffled } from '../store-contract-random.ts'
import { everythingIn, recount } from '../store-contract-recount.ts'
import { queryShard } from '../support/clickhouse.ts'
import { onceSaid, SETTINGS, twoShards } from '../support/two-shards.ts'
import { record, unix, untilAvailable } from '../support/views.ts'

const DAY_SECONDS = 86_400
/** A prune of the day after tomorrow: whatever is labelled until then was labelled on a day that is over. */
const later = () => ({
  now: Math.floor(Date.now() / 1_000) + 2 * DAY_SECONDS,
  rawRetentionDays: 0,
  maxAgeSeconds: 3_650 * DAY_SECONDS,
})

const { onTwoShards, throughProxy } = twoShards()

const ids = (count: number, seed: number) =>
  randomViews(randomOf(seed), count).map((view, n) => ({ ...view, eventId: view.eventId ?? idOf(seed, n) }))
const idOf = (seed: number, n: number) =>
  `00000000-0000-4000-8000-${(seed * 100_000 + n).toString(16).padStart(12, '0')}`

/** All of them, some thirty in a batch; received at one moment, so that each is one batch on each shard. */
async function recordInBatches(store: Store, views: ReturnType<typeof ids>, seed = 1): Promise<number> {
  const random = randomOf(seed)
  let counted = 0
  for (const batch of inBatches(random, shuffled(random, views))) {
    counted += (
      await untilAvailable(() => record(store, batch, { receivedAt: unix('2026-04-02T00:00:00Z') }))
    ).counted
  }
  return counted
}

async function isWithoutBatches(shard: Clickhouse, database: string): Promise<boolean> {
  const count = "SELECT count() AS batches FROM post_view_figures WHERE kind = 'batch'"
  return Number((await queryShard(shard, database, count))[0]!['batches']) === 0
}

describe('rollups on ClickHouse', () => {
  test('keep every number, and take what comes late', async t => {
    const { store, sql } = await onTwoShards(t)
    const [first, late] = [ids(250, 1), ids(80, 2)]
    const asked = questionOf([...first, ...late])
    const expected = (views: typeof first) => ({ ...recount(views, SETTINGS, asked), minutes: [] })
    const rowsOf = async (where: string) =>
      (await sql(`SELECT count() AS rows FROM ${where}`)).reduce((sum, { rows }) => sum + Number(rows), 0)

    await recordInBatches(store, first)
    const before = await rowsOf("post_view_sums WHERE kind = 'post'")
    await store.prune(later())
    assert.deepEqual(await everythingIn(store, asked), expected(first))
    await assertVerified(store)
    // One of each post and day on each shard, where there was one of each batch.
    const posts = await rowsOf("(SELECT DISTINCT post_uuid, day FROM post_view_sums WHERE kind = 'post')")
    assert.equal(await rowsOf("post_view_sums WHERE kind = 'post'"), posts)
    assert.ok(before > posts, `${before} rows, then ${posts}`)

    // Their day is rolled up already: they are counted, and in the numbers from the next time on.
    assert.equal(await recordInBatches(store, [...late, ...first.slice(0, 50)]), late.length)
    for (let times = 0; times < 2; times++) {
      await store.prune(later())
      assert.deepEqual(await everythingIn(store, asked), expected([...first, ...late]))
      await assertVerified(store)
    }
    // Each time all of it in one part, there or not; a batch is on one shard, so one shard may have had nothing late.
    const parts = await sql('SELECT uniqExact(_block_number) AS parts FROM post_view_figures WHERE is_rollup')
    assert.equal(Math.max(...parts.map(({ parts }) => Number(parts))), 2)

    // Nobody can be about to read the batches' own any more.
    assert.ok((await rowsOf('post_view_figures WHERE NOT is_rollup')) > 0)
    await sql('ALTER TABLE post_view_rolled_up UPDATE recorded_at = recorded_at - 3600 WHERE true')
    await store.prune(later())
    assert.equal(await rowsOf('post_view_figures WHERE NOT is_rollup'), 0)
    assert.deepEqual(await everythingIn(store, asked), expected([...first, ...late]))
    assert.equal(await recordInBatches(store, [...late, ...first]), 0)
    assert.equal((await store.rebuild({ adoptSettings: false })).fixed, 0)
    await assertVerified(store)
  })

  test('of a year are one part', async t => {
    const { store, sql } = await onTwoShards(t)
    const now = Date.now
    for (const daysAgo of [3, 2, 1]) {
      const clock = t.mock.method(Date, 'now', () => now() - daysAgo * DAY_SECONDS * 1_000)
      await recordInBatches(store, ids(100, 10 + daysAgo))
      clock.mock.restore()
    }
    await store.prune(later())
    const shards = await sql(
      `SELECT count() AS parts, uniqExact(partition) AS years FROM system.parts
       WHERE database = currentDatabase() AND table = 'post_view_figures' AND active AND partition LIKE '(true,%'`,
    )
    for (const { parts, years } of shards) assert.equal(parts, years)
  })

  test('change no number for anybody who reads meanwhile', async t => {
    const { store, open } = await onTwoShards(t)
    await recordInBatches(store, ids(200, 3))
    const reader = await open()
    const expected = await reader.siteTotals()
    let rollingUp = true
    let read = 0
    const reading = (async () => {
      while (rollingUp) {
        assert.deepEqual(await reader.siteTotals(), expected)
        read++
      }
    })()
    const pruning = store.prune(later()).finally(() => {
      rollingUp = false
    })
    await Promise.all([reading, pruning])
    assert.ok(read > 5)
  })

  for (const words of ['INSERT INTO post_view_figures', 'INSERT INTO post_view_rolled_up']) {
    test(`are made again after a prune that died at ${words}`, async t => {
      const { proxy, straight, store, sql, servers, database } = await throughProxy(t)
      const [first, late] = [ids(150, 4), ids(50, 5)]
      await recordInBatches(straight, first)
      // Which shard keeps a batch's figures is random: now and then all batches so far are on the other one.
      while (await isWithoutBatches(servers.shards[0]!, database)) {
        const more = ids(10, 100 + first.length)
        first.push(...more)
        await recordInBatches(straight, more)
      }
      const asked = questionOf([...first, ...late])
      onceSaid(proxy, words, 'reset')
      await assert.rejects(store.prune(later()), StoreUnavailable)
      // The other shard is not still at it.
      const [other] = await queryShard(
        servers.shards[1]!,
        database,
        `SELECT (SELECT uniqExact(labelled) FROM post_view_figures WHERE kind = 'batch') AS days,
                (SELECT count() FROM post_view_rolled_up) AS recorded`,
      )
      assert.equal(other!['recorded'], other!['days'])
      proxy.pass()
      const half = await everythingIn(straight, asked)
      assert.deepEqual({ ...half, minutes: [] }, { ...recount(first, SETTINGS, asked), minutes: [] })
      await assertVerified(straight)
      await recordInBatches(straight, late)
      // After the lease of the one that died.
      const options = later()
      await sql(
        `CREATE TABLE given_up ENGINE = Memory AS SELECT * FROM post_view_figures WHERE is_rollup AND kind != 'batch'`,
      )
      assert.equal((await straight.prune({ ...options, now: options.now + 300 })).ran, true)
      // As if the server had put it off until now.
      await sql('INSERT INTO post_view_figures SELECT * FROM given_up')
      assert.deepEqual(await everythingIn(straight, asked), {
        ...recount([...first, ...late], SETTINGS, asked),
        minutes: [],
      })
      await assertVerified(straight)
    })
  }

  test('are made beside consumers that are late, again and again', async t => {
    const { store, open } = await onTwoShards(t)
    const all = ids(700, 6)
    const consumers = [await open(), await open()]
    let consuming = true
    const recorded = Promise.all(
      consumers.map((consumer, nth) =>
        recordInBatches(consumer, nth === 0 ? all.slice(0, 400) : all.slice(300), nth),
      ),
    ).finally(() => {
      consuming = false
    })
    while (consuming) await store.prune(later())
    const [one, other] = await recorded
    assert.equal(one! + other!, all.length)
    await store.prune(later())
    const asked = questionOf(all)
    assert.deepEqual(await everythingIn(store, asked), { ...recount(all, SETTINGS, asked), minutes: [] })
    await assertVerified(store)
  })

  test('are all there is of days whose raw rows are gone, and prove their sums', async t => {
    const { store, sql } = await onTwoShards(t)
    // Of other posts: who read is forgotten together with the rows.
    const [first, late] = [
      ids(150, 9),
      ids(50, 10).map(view => ({ ...view, postUuid: `late-${view.postUuid}` })),
    ]
    const asked = questionOf([...first, ...late])
    const expected = (views: typeof first) => ({ ...recount(views, SETTINGS, asked), minutes: [] })
    const gone = () => ({ ...later(), rawRetentionDays: 1, maxAgeSeconds: DAY_SECONDS })
    const there: typeof first = []
    for (const coming of [first, late]) {
      await recordInBatches(store, coming)
      there.push(...coming)
      assert.equal((await store.prune(gone())).rows, coming.length)
      assert.deepEqual(await everythingIn(store, asked), expected(there))
      await assertVerified(store)
    }
    const damage = "UPDATE views = views + 1 WHERE is_rollup AND kind IN ('site', 'site_referrer')"
    await sql(`ALTER TABLE post_view_figures ${damage} SETTINGS mutations_sync = 2`)
    assert.notDeepEqual(await differencesIn(store), [])
    assert.notEqual((await store.rebuild({ adoptSettings: false })).fixed, 0)
    assert.deepEqual(await everythingIn(store, asked), expected([...first, ...late]))
    await assertVerified(store)
  })

  test('are verified, put right, and counted anew under other settings', async t => {
    const { store, open, url, sql } = await onTwoShards(t)
    const [first, late] = [ids(150, 7), ids(50, 8)]
    await recordInBatches(store, first)
    await store.prune(later())
    const asked = questionOf(first)
    const before = await everythingIn(store, asked)
    for (const damage of [
      "UPDATE views = views + 1, unique_views = 0 WHERE kind = 'post' AND post_uuid = 'post-1'",
      "DELETE WHERE kind IN ('site', 'site_referrer')",
    ]) {
      await sql(`ALTER TABLE post_view_figures ${damage} SETTINGS mutations_sync = 2`)
      assert.notDeepEqual(await differencesIn(store), [])
      assert.notEqual((await store.rebuild({ adoptSettings: false })).fixed, 0)
      assert.deepEqual(await everythingIn(store, asked), before)
      await assertVerified(store)
    }

    await recordInBatches(store, late)
    const settings = { ...SETTINGS, timeZone: 'Asia/Tokyo', windowHours: 6, bots: 'exclude' } as const
    const other = await open(url, settings)
    await other.rebuild({ adoptSettings: true })
    const all = [...first, ...late]
    const everything = questionOf(all)
    assert.deepEqual(await everythingIn(other, everything), {
      ...recount(all, settings, everything),
      minutes: [],
    })
    await assertVerified(other)
  })
})
