/** A database of its own for each test of the contract; what a test left behind is kept when it failed. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AskedSettings, StoreOptions } from '../packages/analytics/src/store/counting-settings.ts'
import type { Day } from '../packages/analytics/src/store/days.ts'
import { StoreRefused, StoreUnavailable } from '../packages/analytics/src/store/failures.ts'
import { openStore } from '../packages/analytics/src/store/open.ts'
import type {
  Difference,
  Reads,
  ReceivedView,
  Store,
  TopPosts,
  TopQuestion,
} from '../packages/analytics/src/store/store.ts'
import type { Damage, Kept } from './support/damage.ts'

/** What the suite needs to know of an engine. */
export interface ContractEngine {
  /** A new, empty database; `url` is its `DATABASE_URL`. */
  create(): Promise<{ url: string; remove(): Promise<void> }>
  /** Damages what a store keeps, behind its back. */
  damage(url: string, damage: Damage): Promise<void>
  kept(url: string): Kept
  /** What makes a view one that this engine cannot keep. */
  unkeepable: Partial<ReceivedView>
  /** The tables that a batch is written to, but for its rows: without any one of them no batch is recorded. */
  counters: readonly string[]
  /**
   * Where figures are counted from the rows that there are, whoever inserted them (ClickHouse): it lists no readers, a later count
   * puts right what is wrong, and settled days choose their hosts anew.
   */
  countsByRows?: boolean
}

export interface TestDatabase {
  url: string
  /** A store of the test's own settings and options, migrated; closed after the test. */
  open(settings?: Partial<AskedSettings>, options?: StoreOptions): Promise<Store>
  /** The same, with whatever is or is not in the database. */
  openAsIs(settings?: Partial<AskedSettings>, options?: StoreOptions): Promise<Store>
  /** Damages what is kept, one after the other. */
  damage(...damages: Damage[]): Promise<void>
  kept: Kept
  /** Another, empty one. */
  another(): Promise<TestDatabase>
}

const SETTINGS: AskedSettings = { timeZone: 'UTC', windowHours: 24, uniqueBy: 'ip', bots: 'count' }

export type Promises = (sentence: string, body: (database: TestDatabase) => Promise<void>) => void

/** Makes the `promises('counts a view once', async ({ open }) => …)` of an engine. */
export function promisesOf(engine: ContractEngine): Promises {
  return (sentence, body) => {
    test(sentence, async t => {
      const cleanups: (() => Promise<void>)[] = []
      const databases: { url: string; remove(): Promise<void> }[] = []

      async function create(): Promise<TestDatabase> {
        const database = await engine.create()
        databases.push(database)
        const { url } = database
        const changes = { recorded: 0, counted: 0 }
        const kept = engine.kept(url)
        let counted: Store | undefined
        const openAsIs: TestDatabase['openAsIs'] = async (settings, options) => {
          const opened = await openStore(url, { ...SETTINGS, ...settings }, options)
          const store = countingBeforeReads(opened, changes)
          cleanups.push(() => store.close())
          // What is kept is looked at behind the store's back, once all is counted.
          if (store.roll !== undefined) counted = store
          return store
        }
        return {
          url,
          openAsIs,
          async open(settings, options) {
            const store = await openAsIs(settings, options)
            await store.migrate()
            return store
          },
          async damage(...damages) {
            await counted?.siteTotals()
            for (const damage of damages) await engine.damage(url, damage)
            changes.recorded++
          },
          kept: {
            ...kept,
            async hosts(day) {
              await counted?.siteTotals()
              return kept.hosts(day)
            },
          },
          another: create,
        }
      }

      try {
        await body(await create())
      } catch (error) {
        for (const { url } of databases) t.diagnostic(`the database is kept: ${url}`)
        databases.length = 0
        throw error
      } finally {
        await Promise.all(cleanups.map(close => close()))
      }
      for (const { remove } of databases) await remove()
    })
  }
}

/** On ClickHouse, views are counted some time after their batch. This store counts them before each answer. */
function countingBeforeReads(store: Store, changes: { recorded: number; counted: number }): Store {
  if (store.roll === undefined) return store
  const count = async () => {
    const { recorded } = changes
    if (changes.counted === recorded) return
    try {
      await store.roll!()
      changes.counted = Math.max(changes.counted, recorded)
    } catch (error) {
      // The answer itself tells what is wrong.
      if (!(error instanceof StoreUnavailable) && !(error instanceof StoreRefused)) throw error
    }
  }
  const reads = Object.fromEntries(
    READS.map(name => [
      name,
      async (...args: never[]) => {
        await count()
        return (store[name] as (...args: never[]) => unknown)(...args)
      },
    ]),
  )
  const recordViews: Store['recordViews'] = views =>
    store.recordViews(views).finally(() => {
      changes.recorded++
    })
  return { ...store, ...reads, recordViews }
}

const READS = [
  'postTotals',
  'postDays',
  'siteTotals',
  'siteDays',
  'topPosts',
  'risingPosts',
  'breakdown',
  'breakdownDays',
  'breakdownDaysOfPosts',
  'progress',
] as const satisfies (keyof Reads)[]

/** A page of the posts with most views, whenever it was read. */
export async function topOf(
  store: Reads,
  period: { from: Day; to: Day } | null,
  limit: number,
  offset: number,
): Promise<Omit<TopPosts, 'ageMs'>> {
  return listOf(store, { period, limit, offset })
}

/** The same for any list. */
export async function listOf(store: Reads, question: TopQuestion): Promise<Omit<TopPosts, 'ageMs'>> {
  const { ageMs: _, ...page } = await store.topPosts(question)
  return page
}

/** Everything that `verify` finds. */
export async function differencesIn(store: Store): Promise<Difference[]> {
  const differences: Difference[] = []
  await store.verify(difference => differences.push(difference))
  return differences
}

export async function assertVerified(store: Store): Promise<void> {
  assert.deepEqual(await differencesIn(store), [])
}
