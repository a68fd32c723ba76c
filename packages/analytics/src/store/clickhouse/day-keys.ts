/** The keys that hash the readers of a day: random, one a day, destroyed when the day is closed. */

import { randomBytes } from 'node:crypto'
import type { Day } from '../calendar.ts'
import { UNKNOWN_VISITOR, visitorOf } from '../row.ts'
import { StoreUnavailable } from '../store.ts'
import { listReaders, snapshotOf } from './recount.ts'
import { deriveRows, rowsWhere } from './rederive.ts'
import { type Engine, keyOf, makeKey, readState, type State, underLease } from './state.ts'

/** As SQL: the row's reader was told apart by an address that is not kept. */
export const WITHOUT_ADDRESS = `ip IS NULL AND visitor != '${UNKNOWN_VISITOR}'`

/** The day's key, made at its first asking. A closed day is opened again: somebody raised EVENT_MAX_AGE. */
export async function dayKey(engine: Engine, day: Day): Promise<string> {
  const first = await engine.cluster.first()
  const known = await keyOf(first, day)
  if (known !== null) return known
  const state = await readState(engine.cluster)
  if (state.openFrom === null || day >= state.openFrom) return makeKey(first, day)

  const now = Math.floor(Date.now() / 1_000)
  const key = await underLease(
    first,
    'reopen',
    now,
    async () => (await keyOf(first, day)) ?? reopen(engine, state, day),
  )
  if (key === null) throw new StoreUnavailable(`${day} is being opened again by another process`)
  return key
}

// Whoever was counted on the day before must not count as unique again, so the list is made anew from the rows. The key is
// there once that is done: until then nobody hashes readers of the day.
async function reopen(engine: Engine, state: State, day: Day): Promise<string> {
  const secret = randomBytes(32).toString('hex')
  // What was counted under other settings stays as it is: then a reader who comes back counts once more.
  if (state.settingsSince === null || day >= state.settingsSince) await hashAgain(engine, day, secret)
  const shards = await engine.cluster.shards()
  for (const shard of shards) await shard.run(`ALTER TABLE post_view_visitors DROP PARTITION '${day}'`)
  const snapshot = await snapshotOf(engine, state, [day])
  await listReaders(engine, { ...snapshot, complete: [day], open: [day] })
  return makeKey(shards[0]!, day, secret)
}

// Under the new key each reader is another, but the same one in all of its rows: in those that lost their address too.
// A reader of whom no address is left stays as it is, and counts once more on coming back.
async function hashAgain({ cluster, settings }: Engine, day: Day, secret: string): Promise<void> {
  const shards = await cluster.shards()
  const visitorNow = new Map<string | null, string>()
  const addressed = `day = '${day}' AND ip IS NOT NULL AND visitor != '${UNKNOWN_VISITOR}'`
  for (const shard of shards) {
    for await (const rows of rowsWhere(shard, addressed, { areFew: true })) {
      for (const { derived, from } of rows) {
        visitorNow.set(derived.visitor, visitorOf(secret, settings.uniqueBy, from.ip, from.userAgent))
      }
    }
  }
  for (const shard of shards) {
    await deriveRows(shard, rowsWhere(shard, `day = '${day}'`, { areFew: true }), row => {
      const visitor = visitorNow.get(row.derived.visitor)
      return visitor === undefined ? null : { ...row, derived: { ...row.derived, visitor } }
    })
  }
}
