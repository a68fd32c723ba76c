/** The contract, fourth part: what is counted is proven, and put right. */

import assert from 'node:assert/strict'
import type { View } from '@postviews/client/src/index.ts'
import { type Difference, type Store, StoreRefused } from '../packages/analytics/src/store/store.ts'
import { DAMAGES, DAY, ON_DAY, POST, SITE } from './store-contract-damages.ts'
import {
  assertVerified,
  type ContractEngine,
  differencesIn,
  type Promises,
  topOf,
} from './store-contract-database.ts'
import { inBatches, questionOf, randomOf, randomViews } from './store-contract-random.ts'
import { everythingIn, recount } from './store-contract-recount.ts'
import { record, unix, untilAvailable, view } from './support/views.ts'

const RANDOM = randomOf(5)
const VIEWS = [
  ...randomViews(RANDOM, 150),
  view(`${DAY}T12:00:00Z`, { postUuid: POST, userId: '7', referer: 'https://a.example/' }),
  view(`${DAY}T12:00:00Z`, { postUuid: 'tampered', userId: '7', referer: 'https://a.example/' }),
]
const QUESTION = questionOf(VIEWS)
const REBUILD = { adoptSettings: false } as const

const COUNTERS_OF_DAYS = [
  'post_view_aggregates',
  'post_view_referrers',
  'site_view_aggregates',
  'site_view_referrers',
]

export function verifyContract(promises: Promises, { keepsTotals = true }: ContractEngine): void {
  for (const [sentence, damage, named] of DAMAGES) {
    if (!keepsTotals && damage.includes('post_view_totals')) continue
    promises(`names ${sentence}, and puts it right`, async ({ open, sql }) => {
      const store = await open()
      await record(store, VIEWS)
      const before = await everythingIn(store, QUESTION)
      await sql(damage)

      const differences = await differencesIn(store)
      assert.match(linesOf(differences), named)
      // What follows from a damaged row differs as well; one damaged counter is named once.
      if (!damage.startsWith('UPDATE post_views ')) assert.equal(differences.length, 1)
      assert.doesNotMatch(JSON.stringify(differences), /192\.0\.2|Mozilla/)

      const { fixed, firstDay } = await store.rebuild(REBUILD)
      assert.ok(fixed > 0)
      assert.equal(firstDay, null)
      await assertVerified(store)
      assert.deepEqual(await everythingIn(store, QUESTION), before)
      assert.equal((await store.rebuild(REBUILD)).fixed, 0)
    })
  }

  promises('counts a day again of which nothing but the raw rows is left', async ({ open, sql }) => {
    const store = await open()
    await record(store, VIEWS)
    const before = await everythingIn(store, QUESTION)
    for (const table of COUNTERS_OF_DAYS) await sql(`DELETE FROM ${table} WHERE ${SITE}`)
    await sql(`DELETE FROM post_view_visitors WHERE day = '${DAY}'`)
    assert.match(linesOf(await differencesIn(store)), /^aggregate post post-1 on 2026-03-28 exists$/m)
    await store.rebuild(REBUILD)
    await assertVerified(store)
    assert.deepEqual(await everythingIn(store, QUESTION), before)
  })

  promises(
    'names what a raw row that was deleted leaves behind, and counts without it',
    async ({ open, sql }) => {
      const store = await open()
      await record(store, VIEWS)
      await sql(`DELETE FROM post_views WHERE post_uuid = 'tampered'`)
      const lines = linesOf(await differencesIn(store))
      for (const kind of ['aggregate post', 'referrer post', 'visitor visitor']) {
        assert.match(lines, new RegExp(`^${kind} .*tampered.* exists$`, 'm'))
      }
      await store.rebuild(REBUILD)
      await assertVerified(store)
      await assertCounts(store, VIEWS.slice(0, -1))
    },
  )

  promises('names a raw row that nobody counted, and counts it', async ({ open, sql }) => {
    const store = await open()
    await record(store, VIEWS)
    // As the article's own consumer, left running beside this service, would insert it.
    await sql(`INSERT INTO post_views (post_uuid, user_id, ip, user_agent, referer, viewed_at)
               SELECT post_uuid, user_id, '192.0.2.200', user_agent, referer, viewed_at
               FROM post_views WHERE post_uuid = 'tampered'`)
    assert.match(linesOf(await differencesIn(store)), /^row row [\w-]+ (day|batch)$/m)
    await store.rebuild(REBUILD)
    await assertVerified(store)
    await assertCounts(store, [...VIEWS, { ...VIEWS.at(-1)!, ip: '192.0.2.200' }])

    // Its reader is known from now on.
    const again = { ...VIEWS.at(-1)!, ip: '192.0.2.200', eventId: null }
    await record(store, [again])
    await assertCounts(store, [...VIEWS, again, again])
    await assertVerified(store)
  })

  promises(
    'counts a raw row that nobody counted, on a day that nobody was counted on',
    async ({ open, sql }) => {
      const store = await open()
      const time = '2026-03-20T12:00:00Z'
      await record(store, [view(time, { postUuid: 'tampered' })])
      await sql(`INSERT INTO post_views (post_uuid, user_id, ip, user_agent, referer, viewed_at)
               SELECT post_uuid, user_id, ip, user_agent, referer, viewed_at FROM post_views`)
      await sql('DELETE FROM post_views WHERE day IS NOT NULL')
      await sql('DELETE FROM post_view_day_keys')
      await store.rebuild(REBUILD)
      await assertVerified(store)
      await record(store, [view(time, { postUuid: 'tampered' })])
      const { views, unique_views } = await store.siteTotals()
      assert.deepEqual({ views, unique_views }, { views: 2, unique_views: 1 })
      await assertVerified(store)
    },
  )

  promises(
    'counts a raw row that nobody counted, on a closed day, as of an unknown reader',
    async ({ open, sql }) => {
      const store = await open()
      const time = '2026-03-20T12:00:00Z'
      await record(store, [
        view(time, { postUuid: 'tampered' }),
        view(time, { postUuid: 'tampered', ip: null }),
      ])
      await store.prune({
        now: unix('2026-06-01T00:00:00Z'),
        rawRetentionDays: 0,
        maxAgeSeconds: 30 * 86_400,
      })
      await sql(`INSERT INTO post_views (post_uuid, user_id, ip, user_agent, referer, viewed_at)
               SELECT post_uuid, user_id, '192.0.2.200', user_agent, referer, viewed_at FROM post_views`)
      await store.rebuild(REBUILD)
      await assertVerified(store)
      const { views, unique_views } = await store.siteTotals()
      assert.deepEqual({ views, unique_views }, { views: 4, unique_views: 2 })
    },
  )

  promises('looks at the days there is something of, not at all those between', async ({ open }) => {
    const store = await open()
    await record(store, [...VIEWS, view('1971-01-01T00:00:00Z')])
    const days = new Set<number>()
    await store.verify(
      () => {},
      (step, _, total) => step === 'days' && days.add(total),
    )
    assert.deepEqual([...days], [6])
  })

  promises('changes nothing while it verifies', async ({ open, sql }) => {
    const store = await open()
    await record(store, VIEWS)
    await sql('UPDATE post_view_aggregates SET view_count = view_count + 1')
    const before = await everythingIn(store, QUESTION)
    const differences = await differencesIn(store)
    assert.deepEqual(await differencesIn(store), differences)
    assert.deepEqual(await everythingIn(store, QUESTION), before)
  })

  promises('finds nothing wrong while another process records', async ({ open }) => {
    const [store, consumer] = [await open(), await open()]
    await record(store, VIEWS)
    const consuming = recording(consumer, 11)
    for (let count = 0; count < 5; count++) await assertVerified(store)
    await consuming.stop()
    await assertVerified(store)
  })

  promises('puts right what is wrong while another process records', async ({ open, sql }) => {
    const [store, consumer] = [await open(), await open()]
    await record(store, VIEWS)
    await sql('UPDATE post_view_aggregates SET view_count = view_count + 1, unique_views = 0')
    await sql('UPDATE post_view_totals SET views = views + 1')
    await sql('UPDATE post_view_referrers SET view_count = 0')
    await sql(`DELETE FROM post_view_visitors WHERE day > '${DAY}'`)
    await sql('DELETE FROM site_view_aggregates')
    await sql('DELETE FROM site_view_referrers')
    const consuming = recording(consumer, 12)
    for (let count = 0; count < 3; count++) await untilAvailable(() => store.rebuild(REBUILD))
    const recorded = await consuming.stop()
    await assertVerified(store)
    await assertCounts(store, [...VIEWS, ...recorded])
  })

  promises('leaves days and totals that add up wherever it is interrupted', async ({ open, sql }) => {
    const store = await open()
    await record(store, VIEWS)
    await sql(`UPDATE post_view_aggregates SET view_count = view_count + 1 WHERE ${ON_DAY}`)
    await sql(`UPDATE post_view_totals SET views = views + 1 WHERE post_uuid = '${POST}'`)
    const interrupt = (step: string, done: number, total: number) => {
      if (step === 'days' && done === total) throw new Error('interrupted')
    }
    await assert.rejects(store.rebuild(REBUILD, interrupt), /interrupted/)
    await assertVerified(store)
    await assertCounts(store, VIEWS)
  })

  promises('puts right the days it is asked to', async ({ open, sql }) => {
    const store = await open()
    await record(store, VIEWS)
    await sql('UPDATE post_view_aggregates SET bots = bots + 1')
    await store.rebuild({ ...REBUILD, from: DAY, to: '2026-03-29' })
    const aggregates = (await differencesIn(store)).filter(({ kind }) => kind === 'aggregate')
    const wrong = aggregates.map(({ name }) => name.split(' on ')[1])
    assert.deepEqual([...new Set(wrong)].toSorted(), ['2026-03-27', '2026-03-30', '2026-03-31'])
    await store.rebuild({ ...REBUILD, to: DAY })
    await store.rebuild({ ...REBUILD, from: '2026-03-30' })
    await assertVerified(store)
  })

  promises('shows at once what was put right, also to who has read it wrong', async ({ open, sql }) => {
    const store = await open()
    await record(store, VIEWS)
    const period = { from: DAY, to: DAY }
    const right = await topOf(store, period, 10, 0)
    await sql(`UPDATE post_view_aggregates SET view_count = view_count + 5 WHERE ${ON_DAY}`)
    const reader = await open()
    assert.notDeepEqual(await topOf(reader, period, 10, 0), right)
    await store.rebuild(REBUILD)
    assert.deepEqual(await topOf(reader, period, 10, 0), right)
  })

  promises('proves and puts right the sums of days whose raw rows are gone', async ({ open, sql }) => {
    const store = await open()
    await record(store, VIEWS)
    const before = { ...(await everythingIn(store, QUESTION)), minutes: [] }
    await store.prune(goneUntil('2026-03-30'))
    await assertVerified(store)
    await sql(`UPDATE site_view_aggregates SET view_count = view_count + 1 WHERE ${SITE}`)
    await sql(`UPDATE post_view_totals SET views = views + 1 WHERE post_uuid = '${POST}'`)
    const wrong = [
      `site_aggregate site on ${DAY} view_count`,
      ...(keepsTotals ? [`total post ${POST} views`] : []),
    ]
    assert.deepEqual(linesOf(await differencesIn(store)).split('\n'), wrong)
    const { fixed, firstDay } = await store.rebuild(REBUILD)
    assert.deepEqual([fixed, firstDay], [wrong.length, '2026-03-30'])
    await assertVerified(store)
    assert.deepEqual(await everythingIn(store, QUESTION), before)
  })

  promises('refuses to count days again whose raw rows are gone', async ({ open }) => {
    const store = await open()
    await record(store, VIEWS)
    const before = { ...(await everythingIn(store, QUESTION)), minutes: [] }
    await store.prune(goneUntil('2026-03-30'))
    for (const days of [{ from: DAY }, { to: DAY }, { from: DAY, to: '2026-03-31' }]) {
      await assert.rejects(store.rebuild({ ...REBUILD, ...days }), {
        constructor: StoreRefused,
        message: /2026-03-30/,
      })
    }
    await store.rebuild({ ...REBUILD, from: '2026-03-30' })
    assert.deepEqual(await everythingIn(store, QUESTION), before)
  })

  promises('tells how far verify and rebuild are', async ({ open }) => {
    const store = await open()
    await record(store, VIEWS)
    for (const work of [
      (progress: (step: string, done: number, total: number) => void) => store.verify(() => {}, progress),
      (progress: (step: string, done: number, total: number) => void) => store.rebuild(REBUILD, progress),
    ]) {
      const last = new Map<string, [number, number]>()
      await work((step, done, total) => last.set(step, [done, total]))
      assert.deepEqual([...last.keys()], ['rows', 'days', 'posts'])
      for (const [done, total] of last.values()) assert.equal(done, total)
    }
  })
}

/** `kind name field`, a line for each. */
function linesOf(differences: readonly Difference[]): string {
  return differences.map(({ kind, name, field }) => `${kind} ${name} ${field}`).join('\n')
}

async function assertCounts(store: Store, views: readonly View[]): Promise<void> {
  const expected = recount(views, store.settings, QUESTION)
  // Minutes are a glance at the last hours, and not rebuilt.
  assert.deepEqual({ ...(await everythingIn(store, QUESTION)), minutes: [] }, { ...expected, minutes: [] })
}

/** Retention at a moment when the rows of the days before that one are gone, and no others. */
function goneUntil(day: string) {
  const retention = { rawRetentionDays: 90, maxAgeSeconds: 30 * 86_400 }
  return { now: unix(`${day}T00:00:00Z`) + 90 * 86_400, ...retention }
}

/** Records views until it is stopped; tells then which. */
function recording(store: Store, seed: number): { stop(): Promise<View[]> } {
  const random = randomOf(seed)
  const recorded: View[] = []
  let stopped = false
  const done = (async () => {
    while (!stopped) {
      for (const batch of inBatches(random, randomViews(random, 50))) {
        await untilAvailable(() => record(store, batch))
        recorded.push(...batch)
      }
    }
  })()
  return {
    async stop() {
      stopped = true
      await done
      return recorded
    },
  }
}
