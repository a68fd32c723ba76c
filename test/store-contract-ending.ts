/** The contract, on how long work ends: at whichever step its `progress` throws, and the next run goes on. */

import assert from 'node:assert/strict'
import type { Progress } from '../packages/analytics/src/store/store.ts'
import { assertVerified, type Promises } from './store-contract-database.ts'
import { everythingIn } from './store-contract-recount.ts'
import { POST, record, unix, view } from './support/views.ts'

const NOW = unix('2026-06-30T12:00:00Z')
const OPTIONS = { now: NOW, rawRetentionDays: 90, maxAgeSeconds: 30 * 86_400 }
const ALL = { posts: [POST], from: '2026-01-01', to: '2026-12-31' }
/** More steps than any work here has. */
const MOST_STEPS = 200

export function endingContract(promises: Promises): void {
  promises(
    'is migrated by runs that are interrupted, each a step later than the one before',
    async database => {
      const store = await database.openAsIs()
      await interruptedAtEachStep(progress => store.migrate(progress))
      await store.checkSettings()
      await record(store, [view('2026-06-29T12:00:00Z')])
      await assertVerified(store)
    },
  )

  promises(
    'verify, rebuild and forget may be interrupted at each step, and change no number',
    async ({ open }) => {
      const store = await open()
      for (const day of ['2026-06-27', '2026-06-28', '2026-06-29'])
        await record(store, [view(`${day}T12:00:00Z`), view(`${day}T13:00:00Z`, { ip: '192.0.2.9' })])
      const before = await everythingIn(store, ALL)
      const works: ((progress: Progress) => Promise<unknown>)[] = [
        progress => store.verify(() => assert.fail('a difference'), progress),
        progress => store.rebuild({ adoptSettings: false }, progress),
        progress => store.forget({ ip: '192.0.2.9' }, progress),
      ]
      for (const work of works) {
        await interruptedAtEachStep(work)
        assert.deepEqual(await everythingIn(store, ALL), before)
      }
      await assertVerified(store)
      assert.equal(await store.forget({ ip: '192.0.2.9' }), 0)
    },
  )

  promises(
    'retention may be interrupted at each step, and the next run need not wait',
    async ({ open, kept }) => {
      const store = await open()
      const old = ['2026-03-01', '2026-03-02'].flatMap(day =>
        Array.from({ length: 2_200 }, () => view(`${day}T12:00:00Z`)),
      )
      await record(store, [...old, view('2026-06-29T12:00:00Z')])
      const before = await everythingIn(store, ALL)
      const { ran } = await interruptedAtEachStep(progress => store.prune(OPTIONS, progress))
      assert.equal(ran, true)
      assert.equal((await kept.rows()).length, 1)
      assert.deepEqual(await everythingIn(store, ALL), { ...before, minutes: [] })
      await assertVerified(store)
    },
  )
}

/** Interrupts the work at its first step, another run at its second, and so on, until one comes to its end. */
export async function interruptedAtEachStep<T>(work: (progress: Progress) => Promise<T>): Promise<T> {
  for (let last = 1; last < MOST_STEPS; last++) {
    const interrupted = new Error(`interrupted at step ${last}`)
    let steps = 0
    try {
      const result = await work(() => {
        if (++steps === last) throw interrupted
      })
      assert.ok(last > 1, 'it told of no step')
      return result
    } catch (error) {
      if (error !== interrupted) throw error
    }
  }
  throw new Error(`it did not end in ${MOST_STEPS} runs`)
}
