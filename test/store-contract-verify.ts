/** The contract, fourth part: what is counted is proven, and put right. */

import assert from 'node:assert/strict'
import type { View } from '@postviews/client/src/index.ts'
import { StoreRefused } from '../packages/analytics/src/store/failures.ts'
import type { Difference, Store } from '../packages/analytics/src/store/store.ts'
import { DAMAGES, DAY, POST } from './store-contract-damages.ts'
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

const FIGURES_OF_DAYS = ['aggregate', 'referrer', 'site_aggregate', 'site_referrer'] as const

export function verifyContract(promises: Promises, { countsByRows = false }: ContractEngine): void {
  /** Where a day's hosts are kept once it is settled. */
  async function settleWhereNeeded(store: Store): Promise<void> {
    const now = unix('2026-04-10T00:00:00Z')
    if (countsByRows) await store.prune({ now, rawRetentionDays: 0, maxAgeSeconds: 30 * 86_400 })
  }

  const damages = countsByRows ? DAMAGES.filter(([, { kind }]) => !kind.startsWith('reader')) : DAMAGES
  for (const [sentence, wrong, named] of damages) {
    promises(`names ${sentence}, and puts it right`, async ({ open, damage }) => {
      const store = await open()
      await record(store, VIEWS)
      if ('of' in wrong && wrong.of.endsWith('referrer')) await settleWhereNeeded(store)
      const before = await everythingIn(store, QUESTION)
      await damage(wrong)

      const differences = await differencesIn(store)
      assert.match(linesOf(differences), named)
      // What follows from a damaged row differs as well; one damaged counter is named once.
      if (wrong.kind !== 'rows tampered') assert.equal(differences.length, 1)
      assert.doesNotMatch(JSON.stringify(differences), /192\.0\.2|Mozilla/)

      const { fixed, firstDay } = await store.rebuild(REBUILD)
      assert.ok(fixed > 0)
      assert.equal(firstDay, null)
      await assertVerified(store)
      assert.deepEqual(await everythingIn(store, QUESTION), before)
      assert.equal((await store.rebuild(REBUILD)).fixed, 0)
    })
  }

  promises('counts a day again of which nothing but the raw rows is left', async ({ open, damage }) => {
    const store = await open()
    await record(store, VIEWS)
    await settleWhereNeeded(store)
    const before = await everythingIn(store, QUESTION)
    for (const figures of FIGURES_OF_DAYS) await damage({ kind: 'missing', of: figures, day: DAY })
    if (!countsByRows) await damage({ kind: 'readers missing', day: DAY })
    assert.match(linesOf(await differencesIn(store)), /^aggregate post post-1 on 2026-03-28 exists$/m)
    await store.rebuild(REBUILD)
    await assertVerified(store)
    assert.deepEqual(await everythingIn(store, QUESTION), before)
  })

  promises(
    'names what a raw row that was deleted leaves behind, and counts without it',
    async ({ open, damage }) => {
      const store = await open()
      // So many that their breakdowns are written.
      const many = Array.from({ length: 40 }, () => ({ ...VIEWS.at(-1)!, eventId: null }))
      await record(store, [...VIEWS, ...many])
      await settleWhereNeeded(store)
      await damage({ kind: 'rows missing', post: 'tampered' })
      const lines = linesOf(await differencesIn(store))
      const left = ['aggregate post', 'referrer post', ...(countsByRows ? [] : ['visitor visitor'])]
      for (const kind of left) {
        assert.match(lines, new RegExp(`^${kind} .*tampered.* exists$`, 'm'))
      }
      await store.rebuild(REBUILD)
      await assertVerified(store)
      await assertCounts(store, VIEWS.slice(0, -1))
    },
  )

  const whereCountedOnce = countsByRows ? () => {} : promises
  whereCountedOnce('names a raw row that nobody counted, and counts it', async ({ open, damage }) => {
    const store = await open()
    await record(store, VIEWS)
    await damage({ kind: 'rows uncounted', post: 'tampered', ip: '192.0.2.200' })
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

  whereCountedOnce(
    'counts a raw row that nobody counted, on a day that nobody was counted on',
    async ({ open, damage }) => {
      const store = await open()
      const time = '2026-03-20T12:00:00Z'
      await record(store, [view(time, { postUuid: 'tampered' })])
      await damage({ kind: 'rows uncounted', instead: true }, { kind: 'day keys missing' })
      assert.match(linesOf(await differencesIn(store)), /^row /m)
      await store.rebuild(REBUILD)
      await assertVerified(store)
      // The key was taken away behind the back of those that knew it.
      await record(await open(), [view(time, { postUuid: 'tampered' })])
      const { views, unique_views } = await store.siteTotals()
      assert.deepEqual({ views, unique_views }, { views: 2, unique_views: 1 })
      await assertVerified(store)
    },
  )

  promises(
    'counts a raw row that nobody counted, on a closed day, as of an unknown reader',
    async ({ open, damage }) => {
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
      await damage({ kind: 'rows uncounted', ip: '192.0.2.200' })
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

  promises('changes nothing while it verifies', async ({ open, damage }) => {
    const store = await open()
    await record(store, VIEWS)
    await damage({ kind: 'too high', figure: 'views', of: 'aggregate' })
    const before = await everythingIn(store, QUESTION)
    const differences = await differencesIn(store)
    assert.notDeepEqual(differences, [])
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

  promises('puts right what is wrong while another process records', async ({ open, damage }) => {
    const [store, consumer] = [await open(), await open()]
    await record(store, VIEWS)
    await settleWhereNeeded(store)
    await damage(
      { kind: 'too high', figure: 'views', of: 'aggregate' },
      { kind: 'emptied', figure: 'unique_views', of: 'aggregate' },
      { kind: 'emptied', figure: 'views', of: 'referrer' },
      { kind: 'missing', of: 'site_aggregate' },
      { kind: 'missing', of: 'site_referrer' },
    )
    await damage({ kind: 'too high', figure: 'views', of: 'total' })
    for (const day of countsByRows ? [] : ['2026-03-29', '2026-03-30', '2026-03-31']) {
      await damage({ kind: 'readers missing', day })
    }
    assert.notDeepEqual(await differencesIn(store), [])
    const consuming = recording(consumer, 12)
    for (let count = 0; count < 3; count++) await untilAvailable(() => store.rebuild(REBUILD))
    const recorded = await consuming.stop()
    await assertVerified(store)
    await assertCounts(store, [...VIEWS, ...recorded])
  })

  promises('leaves days and totals that add up wherever it is interrupted', async ({ open, damage }) => {
    const store = await open()
    await record(store, VIEWS)
    await damage({ kind: 'too high', figure: 'views', of: 'aggregate', post: POST, day: DAY })
    await damage({ kind: 'too high', figure: 'views', of: 'total', post: POST })
    assert.notDeepEqual(await differencesIn(store), [])
    const interrupt = (step: string, done: number, total: number) => {
      if (step === 'days' && done === total) throw new Error('interrupted')
    }
    await assert.rejects(store.rebuild(REBUILD, interrupt), /interrupted/)
    await assertVerified(store)
    await assertCounts(store, VIEWS)
  })

  promises('puts right the days it is asked to', async ({ open, damage }) => {
    const store = await open()
    await record(store, VIEWS)
    await damage({ kind: 'too high', figure: 'bots', of: 'aggregate' })
    await store.rebuild({ ...REBUILD, from: DAY, to: '2026-03-29' })
    const aggregates = (await differencesIn(store)).filter(({ kind }) => kind === 'aggregate')
    const wrong = aggregates.map(({ name }) => name.split(' on ')[1])
    assert.deepEqual([...new Set(wrong)].toSorted(), ['2026-03-27', '2026-03-30', '2026-03-31'])
    await store.rebuild({ ...REBUILD, to: DAY })
    await store.rebuild({ ...REBUILD, from: '2026-03-30' })
    await assertVerified(store)
  })

  promises('shows at once what was put right, also to who has read it wrong', async ({ open, damage }) => {
    const store = await open()
    await record(store, VIEWS)
    const period = { from: DAY, to: DAY }
    const right = await topOf(store, period, 10, 0)
    await damage({ kind: 'too high', by: 5, figure: 'views', of: 'aggregate', post: POST, day: DAY })
    const reader = await open()
    assert.notDeepEqual(await topOf(reader, period, 10, 0), right)
    await store.rebuild(REBUILD)
    assert.deepEqual(await topOf(reader, period, 10, 0), right)
  })

  promises('proves and puts right the sums of days whose raw rows are gone', async ({ open, damage }) => {
    const store = await open()
    await record(store, VIEWS)
    const before = { ...(await everythingIn(store, QUESTION)), minutes: [] }
    await store.prune(goneUntil('2026-03-30'))
    await assertVerified(store)
    await damage({ kind: 'too high', figure: 'views', of: 'site_aggregate', day: DAY })
    await damage({ kind: 'too high', figure: 'views', of: 'total', post: POST })
    const wrong = [`site_aggregate site on ${DAY} view_count`, `total post ${POST} views`]
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
