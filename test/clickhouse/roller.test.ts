/**
 * Against chance: consumers who are late, redeliveries whole and in part, several who roll, merges, and servers that are
 * killed. Whatever happens in which order, what is counted in the end follows from the views alone.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { View } from '@postviews/client/src/index.ts'
import { addDays, type Day } from '../../packages/analytics/src/store/days.ts'
import { StoreUnavailable } from '../../packages/analytics/src/store/failures.ts'
import type { ReceivedView, Store } from '../../packages/analytics/src/store/store.ts'
import { assertVerified } from '../store-contract-database.ts'
import { type Random, randomOf, shuffled } from '../store-contract-random.ts'
import { everythingIn, recount } from '../store-contract-recount.ts'
import { atEnd } from '../support/at-end.ts'
import { queryShard } from '../support/clickhouse.ts'
import { twoReplicated } from '../support/replicas.ts'
import { SETTINGS, twoShards } from '../support/two-shards.ts'
import { until } from '../support/until.ts'
import { FIREFOX, POST, SAFARI, unix, untilAvailable, view } from '../support/views.ts'

const SEED = 8
const VIEWS = 2_000
const DAYS = 4
const LATEST_DAYS = 25
const POSTS = 100
const CONSUMERS = 4
const ROLLERS = 2
const KILLS = 7
/** Nobody is killed any more when so much of all is recorded: what a start has counted anew would hide what goes wrong before. */
const LAST_KILL = 0.5
const OPTIMIZE_EVERY_MS = 2_000
const ROLL_PAUSE_MS = 10

const FIRST_DAY: Day = '2026-03-01'
const LAST_DAY = addDays(FIRST_DAY, DAYS - 1)
const BEGIN = unix(`${FIRST_DAY}T00:00:00Z`)
const [HOUR, DAY] = [3_600, 86_400]
/** Of a day, next to its ends: so few that the servers are not busy with parts alone. */
const HOURS = [0, 23]

const HOURS_AHEAD = [1, 23, 24]

const settings = {
  ...SETTINGS,
  timeZone: 'Europe/Warsaw',
  windowHours: 6,
  uniqueBy: 'ip+user_agent',
} as const

const SERVERS = { 'two shards': twoShards().onTwoShards, 'two shards of two replicas': twoReplicated() }

/** What a publisher has sent, and when each of its deliveries was received. */
interface Published {
  sent: View
  receipts: number[]
}

function publishedAtRandom(random: Random): Published[] {
  const pick = <T>(...items: T[]): T => items[random(0, items.length - 1)]!
  return Array.from({ length: VIEWS }, () => {
    const hour = random(0, DAYS - 1) * 24 + pick(...HOURS)
    const time = BEGIN + hour * HOUR + random(0, HOUR - 1)
    const post = Math.min(random(0, POSTS - 1), random(0, POSTS - 1))
    const sent = view('2026-01-01T00:00:00Z', {
      postUuid: post === 0 ? POST : `post-${post}`,
      userId: random(1, 3) === 1 ? String(random(1, 9)) : null,
      ip: random(1, 10) === 1 ? null : `192.0.2.${random(1, 12)}`,
      userAgent: pick(FIREFOX, SAFARI, null),
      referer: pick(null, null, 'https://a.example/', 'https://b.example/x?y', 'https://c.example/'),
      viewedAt: time,
    })
    const kind = pick('late', 'late', 'without a time', 'ahead', ...Array<string>(6).fill('at once'))
    const first = time + (kind === 'late' ? random(1, LATEST_DAYS * DAY) : random(1, 60))
    const receipts = [first]
    for (let again = random(0, 2); again > 0; again--) receipts.push(first + random(0, 2 * DAY))
    if (kind === 'without a time') return { sent: { ...sent, ownTime: null }, receipts }
    // It has sent a time that was not yet.
    if (kind === 'ahead') return { sent: { ...sent, ownTime: first + pick(...HOURS_AHEAD) * HOUR }, receipts }
    return { sent, receipts }
  })
}

/** As the consumer reads it: who has sent no time, or one that is not yet, has the time of receipt. */
function receivedAt({ sent }: Published, receipt: number): ReceivedView {
  const viewedAt = sent.ownTime === null || sent.ownTime > receipt ? receipt : sent.ownTime
  return { view: { ...sent, viewedAt }, receivedAt: receipt }
}

/** All deliveries in batches, in the order of their receipt but for what a batch holds of others: one, whole or in part. */
function batchesOf(random: Random, published: readonly Published[]): ReceivedView[][] {
  const deliveries = published
    .flatMap(each => each.receipts.map(receipt => receivedAt(each, receipt)))
    .sort((a, b) => a.receivedAt - b.receivedAt)
  const batches: ReceivedView[][] = []
  for (let from = 0; from < deliveries.length; ) {
    const size = random(1, 100)
    const others = batches.length > 0 && random(1, 3) === 1 ? batches[random(0, batches.length - 1)]! : []
    const some = random(1, 2) === 1 ? others : others.slice(0, random(0, others.length))
    batches.push(shuffled(random, [...deliveries.slice(from, from + size), ...some]))
    from += size
  }
  return batches
}

/** How many of the expected items of all lists are not found. */
function differing(found: readonly unknown[], expected: readonly unknown[][]): number {
  const known = new Set(
    found.flatMap((list, nth) => (list as unknown[]).map(item => `${nth} ${JSON.stringify(item)}`)),
  )
  return expected.flatMap((list, nth) => list.filter(item => !known.has(`${nth} ${JSON.stringify(item)}`)))
    .length
}

for (const [name, create] of Object.entries(SERVERS)) {
  test(`counting on ${name} is exact whoever rolls, whatever comes late and again, and however often servers are killed`, async t => {
    const { open, servers, database, url } = await create(t, settings)
    const random = randomOf(SEED)
    const published = publishedAtRandom(random)
    const batches = batchesOf(random, published)
    const atBeginning = performance.now()
    const progress = { recorded: 0, rolls: 0, unavailable: 0, optimized: 0 }
    const done = () => progress.recorded / batches.length
    let hasFailed = false
    const isOver = () => hasFailed || progress.recorded === batches.length
    atEnd(t, () => {
      hasFailed = true
    })

    const next = batches.values()
    async function consume(store: Store): Promise<void> {
      for (const batch of next) {
        await untilAvailable(() => counting(() => store.recordViews(batch)))
        progress.recorded++
      }
    }
    async function counting<T>(work: () => Promise<T>): Promise<T> {
      try {
        return await work()
      } catch (error) {
        if (error instanceof StoreUnavailable) progress.unavailable++
        throw error
      }
    }
    async function roll(store: Store): Promise<void> {
      while (!isOver()) {
        try {
          await counting(() => store.roll!())
          progress.rolls++
        } catch (error) {
          if (!(error instanceof StoreUnavailable)) throw error
        }
        // A server that is away refuses at once.
        await sleep(ROLL_PAUSE_MS)
      }
    }
    async function optimize(): Promise<void> {
      let nextAt = 0
      while (!isOver()) {
        await until('it is time to merge', () => isOver() || performance.now() > nextAt)
        nextAt = performance.now() + OPTIMIZE_EVERY_MS
        for (const shard of servers.shards) {
          try {
            const partitions = await queryShard(
              shard,
              database,
              `SELECT partition FROM system.parts WHERE database = currentDatabase() AND table = 'post_view_rows' AND active
               GROUP BY partition HAVING count() > 1 ORDER BY rand() LIMIT 5`,
            )
            for (const { partition } of partitions) {
              await queryShard(shard, database, `OPTIMIZE TABLE post_view_rows PARTITION ${partition} FINAL`)
              progress.optimized++
            }
          } catch {
            // It was killed meanwhile.
          }
        }
      }
    }
    async function kill(): Promise<void> {
      for (let nth = 0; nth < KILLS; nth++) {
        await until('some batches more', () => done() >= (LAST_KILL * (nth + 1)) / KILLS, 120_000)
        const shard = servers.shards[nth % servers.shards.length]!
        const before = progress.unavailable
        await shard.kill()
        await until('somebody has noticed', () => progress.unavailable > before)
        await shard.restart()
      }
    }

    const stores = await Promise.all(Array.from({ length: CONSUMERS + ROLLERS }, () => open(url, settings)))
    await Promise.all([
      ...stores.slice(0, CONSUMERS).map(consume),
      ...stores.slice(CONSUMERS).map(roll),
      optimize(),
      kill(),
    ])
    const [store] = stores
    await untilAvailable(() => store!.roll!())
    t.diagnostic(
      JSON.stringify({
        batches: batches.length,
        ...progress,
        ms: Math.round(performance.now() - atBeginning),
      }),
    )

    // Of a view that came several times the earliest receipt holds.
    const views = published.map(each => receivedAt(each, Math.min(...each.receipts)).view)
    const posts = [...new Set(views.map(({ postUuid }) => postUuid))].sort()
    const question = { posts, from: addDays(FIRST_DAY, -1), to: addDays(LAST_DAY, 3) }
    const expected = recount(views, settings, question)
    const found = await everythingIn(store!, question)
    t.diagnostic(
      `wrong: ${differing(found.postDays, expected.postDays as unknown[][])} of ${expected.postDays.flat().length} days of posts`,
    )
    assert.deepEqual(found, expected)
    await assertVerified(store!)
  })
}
