/** The contract, fourth part: days that are closed, and opened again. */

import assert from 'node:assert/strict'
import type { View } from '@postviews/client/src/index.ts'
import type { Store } from '../packages/analytics/src/store/store.ts'
import { assertVerified, type ContractEngine, type Promises } from './store-contract-database.ts'
import { outcomeOf, POST, record, unix, untilAvailable, view } from './support/views.ts'

const DAY = '2026-05-30'
const NOON = `${DAY}T12:00:00Z`
const OTHER_DAY = '2026-06-20'
/** None of the day's views is accepted any more. */
const CLOSING = {
  now: unix('2026-05-31T00:00:00Z') + 31 * 86_400,
  rawRetentionDays: 90,
  maxAgeSeconds: 30 * 86_400,
}

export function daysContract(promises: Promises, { countsByRows = false }: ContractEngine): void {
  promises(
    'counts on under another key where the one that a day had was destroyed, and tells of it',
    async ({ open }) => {
      const [consumer, late, other] = [await open(), await open(), await open()]
      const known = [view(NOON)]
      const others = [view(NOON), view(NOON, { ip: '192.0.2.8' })]
      await record(consumer, known)
      await record(late, known)
      await other.prune(CLOSING)
      // Only where duplicates are told at once is nothing hashed for them.
      const [first, second] = countsByRows
        ? [{ closedMeanwhile: [DAY] }, {}]
        : [{}, { closedMeanwhile: [DAY] }]
      assert.deepEqual(await record(consumer, known), { ...outcomeOf(consumer, 0, 1), ...first })
      const batch = [...others, view(`${OTHER_DAY}T12:00:00Z`)]
      assert.deepEqual(await record(consumer, batch), { ...outcomeOf(consumer, 3, 0), ...second })

      // By now the day has a key again: the one that this process knows holds no more than before.
      assert.deepEqual(await record(late, [view(NOON)]), { ...outcomeOf(late, 1, 0), closedMeanwhile: [DAY] })
      assert.deepEqual(await record(late, [view(NOON)]), outcomeOf(late, 1, 0))
      const [figures] = await consumer.siteDays(DAY, DAY)
      assert.deepEqual([figures?.views, figures?.unique_views], [5, 2])
      await assertVerified(consumer)
    },
  )

  promises('opens again a day that a clock far ahead has closed before it began', async ({ open }) => {
    const store = await open()
    await record(store, [view(NOON)])
    await store.prune({ ...CLOSING, now: CLOSING.now + 40 * 86_400 })
    await record(store, [view(NOON), view(`${OTHER_DAY}T12:00:00Z`)])
    const later = { ip: '192.0.2.8' }
    await record(store, [view(NOON, later), view(`${OTHER_DAY}T12:00:00Z`, later)])
    const { views, unique_views } = await store.siteTotals()
    assert.deepEqual({ views, unique_views }, { views: 5, unique_views: 4 })
    await assertVerified(store)
  })

  // Big enough that it is not opened at once.
  const VIEWS = 6_000
  const READERS = 4_000

  promises(
    'opens a big day again in steps that can be interrupted, and counts exactly meanwhile',
    async ({ open }) => {
      const stores = [await open({ bots: 'exclude' }), await open({ bots: 'exclude' })]
      const nameless = await open({ bots: 'exclude' }, { ipStorage: 'none' })
      const seen = new Set<string>()
      let views = 0
      const count = async (store: Store, made: readonly View[]) => {
        await untilAvailable(() => record(store, made))
        views += made.length
        for (const { postUuid, ip } of made) seen.add(`${postUuid} ${ip}`)
      }
      // Every third row lacks its address; its reader is known by others, or by none.
      const reader = (n: number) => ({
        ip: `10.0.${n >> 8}.${n & 255}`,
        postUuid: n % 7 === 0 ? 'another' : POST,
      })
      for (let from = 0; from < VIEWS; from += 3_000) {
        const isLost = (n: number) => n % 3 === 0 && n > READERS / 2
        const some = Array.from({ length: 3_000 }, (_, n) => from + n)
        const made = (numbers: readonly number[]) => numbers.map(n => view(NOON, reader(n % READERS)))
        await count(stores[0]!, made(some.filter(n => !isLost(n))))
        await count(nameless, made(some.filter(isLost)))
      }
      await stores[0]!.prune(CLOSING)

      await count(stores[0]!, [view(NOON, reader(5))])
      let isDone = false
      let next = 0
      for (let turn = 0; !isDone; turn++) {
        const store = stores[turn % 2]!
        // Readers of before and new ones, on the day and beside it.
        const some = Array.from({ length: 20 }, () =>
          view(NOON, reader(next++ % 2 === 0 ? next : READERS + next)),
        )
        await count(store, some)
        await untilAvailable(() => record(store, [view(`${OTHER_DAY}T10:00:00Z`)]))
        if (turn % 3 === 0) await assertVerified(store)
        let steps = 0
        const reopened = await store
          .reopenDays(() => {
            if (++steps > 1) throw new Error('interrupted')
          })
          .catch(error => {
            assert.equal(error.message, 'interrupted')
            return { isDone: false }
          })
        isDone = reopened.isDone
      }
      await count(stores[1]!, [view(NOON, reader(3)), view(NOON, reader(READERS + 100_000))])
      const [figures] = await stores[0]!.siteDays(DAY, DAY)
      assert.deepEqual([figures?.views, figures?.unique_views], [views, seen.size])
      await assertVerified(stores[0]!)
      assert.equal((await stores[1]!.rebuild({ adoptSettings: false })).fixed, 0)
    },
  )
}
