/** The contract, against chance: views in any order, any number of times, to two stores at once. */

import assert from 'node:assert/strict'
import type { View } from '@postviews/client/src/index.ts'
import type { CountingSettings } from '../packages/analytics/src/store/counting-settings.ts'
import { addDays } from '../packages/analytics/src/store/days.ts'
import type { Store } from '../packages/analytics/src/store/store.ts'
import { assertVerified, type Promises } from './store-contract-database.ts'
import { everythingIn, type Question, recount } from './store-contract-recount.ts'
import { FIREFOX, GOOGLEBOT, POST, record, SAFARI, unix, untilAvailable, view } from './support/views.ts'

const VIEWS = 250
const FIRST_DAY = '2026-03-27'
const DAYS = 5
/** In UTC: those in which days begin and end in the zones of the tests, so that few hours have all there is to get wrong. */
const HOURS = [0, 1, 7, 10, 18, 22, 23]

const COMBINATIONS: (CountingSettings & { seed: number })[] = [
  { seed: 1, timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots: 'count' },
  { seed: 2, timeZone: 'Europe/Warsaw', windowHours: 6, uniqueBy: 'ip+user_agent', bots: 'exclude' },
  { seed: 3, timeZone: 'Asia/Beirut', windowHours: 1, uniqueBy: 'ip', bots: 'exclude' },
  { seed: 4, timeZone: 'Asia/Kathmandu', windowHours: 12, uniqueBy: 'ip+user_agent', bots: 'count' },
]

export function randomContract(promises: Promises): void {
  for (const { seed, ...settings } of COMBINATIONS) {
    const described = `${Object.values(settings).join(', ')}; seed ${seed}`
    promises(`answers what a plain recount does (${described})`, async ({ open }) => {
      const random = randomOf(seed)
      const views = randomViews(random, VIEWS)
      const deliveries = views.flatMap(view =>
        Array.from({ length: view.eventId === null ? 1 : random(1, 5) }, () => view),
      )
      const batches = inBatches(random, shuffled(random, deliveries))
      const stores = [await open(settings), await open(settings)]
      const counted = await Promise.all(
        stores.map((store, nth) =>
          deliver(
            store,
            batches.filter((_, index) => index % 2 === nth),
          ),
        ),
      )
      // Where duplicates are not told at once, all are.
      assert.equal(counted[0]! + counted[1]!, stores[0]!.roll === undefined ? VIEWS : deliveries.length)
      const question = questionOf(views)
      assert.deepEqual(await everythingIn(stores[0]!, question), recount(views, settings, question))
      await assertVerified(stores[1]!)
    })
  }
}

async function deliver(store: Store, batches: readonly View[][]): Promise<number> {
  let counted = 0
  for (const batch of batches) counted += (await untilAvailable(() => record(store, batch))).counted
  return counted
}

/** A whole number from `min` to `max`, both included; the same ones for the same seed. */
export type Random = (min: number, max: number) => number

export function randomOf(seed: number): Random {
  let state = seed
  return (min, max) => {
    // Mulberry32, which is in the public domain.
    state = (state + 0x6d2b79f5) | 0
    let bits = Math.imul(state ^ (state >>> 15), 1 | state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return min + (((bits ^ (bits >>> 14)) >>> 0) % (max - min + 1))
  }
}

/** Views of a few days, one of which is short in many zones; few posts and readers, so that they meet often. */
export function randomViews(random: Random, count: number): View[] {
  const pick = <T>(...items: T[]): T => items[random(0, items.length - 1)]!
  const begin = unix(`${FIRST_DAY}T00:00:00Z`)
  return Array.from({ length: count }, () => {
    const known = view('2026-01-01T00:00:00Z')
    const post = Math.min(random(0, 9), random(0, 9))
    const drawn = {
      ...known,
      eventId: random(1, 20) === 1 ? null : known.eventId,
      postUuid: post === 0 ? POST : `post-${post}`,
      userId: random(1, 3) === 1 ? String(random(1, 9)) : null,
      ip: random(1, 10) === 1 ? null : `192.0.2.${random(1, 12)}`,
      userAgent: pick(FIREFOX, FIREFOX, SAFARI, null, GOOGLEBOT),
      referer: pick(null, null, 'https://a.example/', 'https://b.example/x?y', 'https://c.example/'),
      viewedAt: begin + random(0, DAYS - 1) * 86_400 + pick(...HOURS) * 3_600 + random(0, 3_599),
    }
    // Some are logged in without an id that could be kept.
    return { ...drawn, ownTime: drawn.viewedAt, loggedIn: drawn.userId !== null || drawn.viewedAt % 4 === 0 }
  })
}

/** A question that covers all of them, and posts never viewed. */
export function questionOf(views: readonly View[]): Question {
  const posts = [...new Set(views.map(({ postUuid }) => postUuid)), 'never-viewed'].toSorted()
  return { posts, from: addDays(FIRST_DAY, -1), to: addDays(FIRST_DAY, DAYS) }
}

export function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const result = [...items]
  for (let last = result.length - 1; last > 0; last--) {
    const other = random(0, last)
    const moved = result[last]!
    result[last] = result[other]!
    result[other] = moved
  }
  return result
}

/** Cut into pieces of 1 to 60. */
export function inBatches<T>(random: Random, items: readonly T[]): T[][] {
  const batches: T[][] = []
  for (let from = 0; from < items.length; ) {
    const size = random(1, 60)
    batches.push(items.slice(from, from + size))
    from += size
  }
  return batches
}
