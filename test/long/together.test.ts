/**
 * Everything that works on a database at once, in an order of chance, beside consumers: retention by right and by wrong
 * clocks, days that are opened again, settled days, rebuild, verify, other settings, and each of these ended at any step. Ends
 * exact. `TOGETHER_ROUNDS=200 TOGETHER_SEED=7 npm test -- test/long/together.test.ts` runs longer, from another seed.
 */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { View } from '@postviews/client/src/index.ts'
import type { CountingSettings } from '../../packages/analytics/src/store/counting-settings.ts'
import { StoreRefused, StoreUnavailable } from '../../packages/analytics/src/store/failures.ts'
import { openStore } from '../../packages/analytics/src/store/open.ts'
import type { Progress, Store } from '../../packages/analytics/src/store/store.ts'
import { differencesIn } from '../store-contract-database.ts'
import { type Random, randomOf } from '../store-contract-random.ts'
import { everythingIn, recount } from '../store-contract-recount.ts'
import { atEnd } from '../support/at-end.ts'
import { ENGINES, type TestDatabase } from '../support/engines.ts'
import { FIREFOX, GOOGLEBOT, record, SAFARI, unix, view } from '../support/views.ts'

const ROUNDS = Number(process.env['TOGETHER_ROUNDS'] ?? 4)
const SEED = Number(process.env['TOGETHER_SEED'] ?? 1)

const DAY_SECONDS = 86_400
const BEGIN = unix('2026-05-01T00:00:00Z')
const DAYS = 3
/** More than one step of opening a day again takes. */
const FIRST_VIEWS = 2_500
/** From then on consumers are handed little: a longer run is to do more, not to count more. */
const MANY_VIEWS = 8_000
const QUESTION_DAYS = { from: '2026-04-29', to: '2026-05-05' }
const POSTS = Array.from({ length: 8 }, (_, number) => `post-${number}`)
const WAIT_MS = 50

const SETTINGS: CountingSettings[] = [
  { timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots: 'count' },
  { timeZone: 'Europe/Warsaw', windowHours: 24, uniqueBy: 'ip+user_agent', bots: 'count' },
  { timeZone: 'America/New_York', windowHours: 6, uniqueBy: 'network', bots: 'exclude' },
  { timeZone: 'UTC', windowHours: 12, uniqueBy: 'network+user_agent', bots: 'exclude' },
]

const ENDED = new Error('ended')

class World {
  readonly random: Random
  readonly views: View[] = []
  readonly #t: TestContext
  readonly #database: TestDatabase
  settings = SETTINGS[0]!
  /** Whether other settings are recorded and not yet applied, so that nothing can be compared. */
  isAdopting = false

  constructor(t: TestContext, database: TestDatabase, seed: number) {
    this.#t = t
    this.#database = database
    this.random = randomOf(seed)
  }

  async open(settings = this.settings): Promise<Store> {
    const store = await openStore(this.#database.url, settings)
    atEnd(this.#t, () => store.close())
    return store
  }

  newViews(count: number): View[] {
    const { random } = this
    return Array.from({ length: count }, () => {
      const host = random(1, 3) === 1 ? null : `https://h${Math.min(random(0, 60), random(0, 60))}.example/`
      return view('2026-05-01T00:00:00Z', {
        postUuid: POSTS[Math.min(random(0, POSTS.length - 1), random(0, POSTS.length - 1))]!,
        ip: random(1, 30) === 1 ? null : `10.0.${random(0, 3)}.${random(0, 99)}`,
        userAgent: [FIREFOX, FIREFOX, SAFARI, GOOGLEBOT][random(0, 3)]!,
        viewedAt: BEGIN + random(0, DAYS * DAY_SECONDS - 1),
        referer: host,
      })
    })
  }

  /** Ends work at a step of chance, or never. */
  ending(): Progress {
    let left = this.random(1, 3) === 1 ? this.random(1, 12) : Number.POSITIVE_INFINITY
    return () => {
      if (--left === 0) throw ENDED
    }
  }
}

/** As a consumer does it; once refused, it starts again with what is recorded by then. */
async function consume(world: World, isOver: () => boolean): Promise<void> {
  const { random } = world
  let store = await world.open()
  while (!isOver()) {
    const again = Array.from({ length: random(0, 5) }, () => world.views[random(0, world.views.length - 1)]!)
    const count = random(1, world.views.length < MANY_VIEWS ? 40 : 2)
    const batch = [...world.newViews(count), ...again]
    for (;;) {
      try {
        await record(store, batch)
        break
      } catch (error) {
        if (error instanceof StoreRefused) {
          await store.close()
          store = await world.open()
        } else if (!(error instanceof StoreUnavailable)) throw error
        await sleep(WAIT_MS)
      }
    }
    world.views.push(...batch.slice(0, batch.length - again.length))
    await sleep(random(20, 100))
  }
}

type Work = (world: World, store: Store) => Promise<void>

const prunedAt =
  (days: number): Work =>
  async (world, store) => {
    const now = BEGIN + days * DAY_SECONDS
    await store.prune({ now, rawRetentionDays: 0, maxAgeSeconds: 30 * DAY_SECONDS }, world.ending())
  }

const WORKS: Record<string, Work> = {
  'prunes by the right clock': prunedAt(DAYS + 1),
  'prunes by a clock a day behind': prunedAt(DAYS),
  'prunes by a clock that is ahead': prunedAt(DAYS + 40),
  async 'opens days again'(world, store) {
    await store.reopenDays(world.ending())
  },
  async rebuilds(world, store) {
    await store.rebuild({ adoptSettings: false }, world.ending())
  },
  async verifies(world, store) {
    const differences = await differencesIn(store)
    if (!world.isAdopting) assert.deepEqual(differences, [])
  },
}

/** Does one thing after the other, each to its end or until it is ended. */
async function work(world: World): Promise<void> {
  const works = Object.values(WORKS)
  for (let round = 0; round < ROUNDS; round++) {
    const store = await world.open()
    try {
      await store.checkSettings()
      await works[world.random(0, works.length - 1)]!(world, store)
    } catch (error) {
      if (error !== ENDED && !(error instanceof StoreUnavailable || error instanceof StoreRefused))
        throw error
    } finally {
      await store.close()
    }
    await sleep(world.random(0, WAIT_MS))
  }
}

async function adopt(world: World): Promise<void> {
  world.settings = SETTINGS[world.random(0, SETTINGS.length - 1)]!
  world.isAdopting = true
  for (;;) {
    const store = await world.open()
    try {
      await store.rebuild({ adoptSettings: true }, world.ending())
      return
    } catch (error) {
      if (error !== ENDED && !(error instanceof StoreUnavailable)) throw error
    } finally {
      await store.close()
    }
  }
}

async function assertExact(world: World, store: Store): Promise<void> {
  assert.deepEqual(await differencesIn(store), [])
  const { settings, views } = world
  const uniqueBy = settings.uniqueBy.endsWith('user_agent') ? 'ip+user_agent' : 'ip'
  const question = { posts: POSTS, ...QUESTION_DAYS }
  const { minutes: _, ...expected } = recount(views, { ...settings, uniqueBy }, question)
  const { minutes: __, ...found } = await everythingIn(store, question)
  const total = (lists: unknown) => (lists as { views: number }[]).reduce((sum, { views }) => sum + views, 0)
  assert.ok(total(found.siteReferrers) <= total(expected.siteReferrers))
  // What came late to a settled day is in its remainder; a rebuild has room for all of it.
  await store.rebuild({ adoptSettings: false })
  assert.deepEqual({ ...found, ...(await referrersIn(store, question)) }, expected)
  assert.deepEqual(await differencesIn(store), [])
}

async function referrersIn(store: Store, question: Parameters<typeof everythingIn>[1]) {
  const { postReferrers, siteReferrers } = await everythingIn(store, question)
  return { postReferrers, siteReferrers }
}

for (const engine of ENGINES) {
  describe(`on ${engine.name}`, () => {
    for (const adopts of [false, true]) {
      test(`all at once ends exact${adopts ? ', with other settings' : ''}`, async t => {
        const world = new World(t, await engine.create(t), SEED + Number(adopts))
        const store = await world.open()
        await store.migrate()
        world.views.push(...world.newViews(FIRST_VIEWS))
        for (let from = 0; from < FIRST_VIEWS; from += 500) {
          await record(store, world.views.slice(from, from + 500))
        }
        await store.prune({
          now: BEGIN + (DAYS + 40) * DAY_SECONDS,
          rawRetentionDays: 0,
          maxAgeSeconds: 30 * DAY_SECONDS,
        })
        let isOver = false
        const consumers = [1, 2].map(() => consume(world, () => isOver))
        try {
          const workers = [work(world), work(world)]
          if (adopts) {
            for (let round = 0; round < ROUNDS / 4; round++) {
              await sleep(world.random(0, 500))
              await adopt(world)
            }
          }
          await Promise.all(workers)
        } finally {
          isOver = true
          await Promise.all(consumers)
        }
        const last = await world.open()
        while (!(await last.reopenDays()).isDone) await sleep(WAIT_MS)
        await assertExact(world, last)
      })
    }
  })
}
