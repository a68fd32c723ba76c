/** Corrects the columns of raw rows that were derived when they were counted. */

import type { Who } from '../../derive/who.ts'
import type { Day } from '../days.ts'
import { deriveAgain, type RawRow } from '../derive-again.ts'
import { differences } from '../differences.ts'
import type { Progress } from '../store.ts'
import { firstTexts } from '../who-again.ts'
import { makeKey } from './day-keys.ts'
import { dayKeys, isOpen, rawRows, rowsAbout, writeDerived } from './rows.ts'
import { placeholders, SELECT_STATE, type SqlClient, type SqlEngine, type State, toState } from './sql.ts'
import { groupsOf } from './steps.ts'
import { raiseRebuilds } from './turn.ts'

export const WRONG_AT_ONCE = 200

/** Returns how many were wrong. */
export async function rebuildRows(engine: SqlEngine, who: Who, progress: Progress): Promise<number> {
  const total = await rowsAbout(engine.reader)
  let fixed = 0
  let done = 0
  const step = () => progress('rows', done, Math.max(done, total))
  for await (const rows of rawRows(engine, engine.reader)) {
    const keys = await dayKeys(engine.reader)
    const state = toState((await engine.reader.all(SELECT_STATE))[0]!)
    const wrong = wrongAmong(rows, engine, state, keys, who)
    for (const some of groupsOf(wrong, WRONG_AT_ONCE)) {
      fixed += await engine.exclusive((client, now) => fixRows(engine, client, now, some, { who }))
      step()
    }
    done += rows.length
    step()
  }
  progress('rows', done, done)
  return fixed
}

/** The rows whose derived columns are wrong. */
export function wrongAmong(
  rows: readonly RawRow[],
  engine: SqlEngine,
  state: State,
  keys: ReadonlyMap<Day, string>,
  who: Who,
): RawRow[] {
  return rows.filter(row => {
    const expected = deriveAgain(row, engine, state, keys, agent => who.agentOf(agent).isBot)
    return differences('row', '', expected, row.derived).length > 0
  })
}

/**
 * Derives these rows again, in one step. It reads them again: since they were found wrong, they may have been pruned, or what
 * identified a reader erased.
 *
 * @param ownKeys keys for days that have none; they are not stored
 */
export async function fixRows(
  engine: SqlEngine,
  client: SqlClient,
  state: State,
  wrong: readonly Pick<RawRow, 'id'>[],
  { who, ownKeys = new Map() }: { who: Who; ownKeys?: ReadonlyMap<Day, string> },
): Promise<number> {
  const keys = new Map([...ownKeys, ...(await dayKeys(client))])
  const isBot = (agent: string | null) => who.agentOf(agent).isBot
  let fixed = 0
  const ids = wrong.map(({ id }) => id)
  for await (const rows of rawRows(engine, client, {
    where: `id IN (${placeholders(ids.length)})`,
    values: ids,
  })) {
    for (const row of rows) {
      const { day } = deriveAgain(row, engine, state, keys, isBot)
      // The first row of a day on which nothing else was counted, written by a program that knows of no keys.
      if (day !== null && !keys.has(day) && (await isOpen(client, state.openFrom, day))) {
        keys.set(day, await makeKey(client, day))
      }
      const derived = deriveAgain(row, engine, state, keys, isBot)
      const texts = row.derived.day === null ? firstTexts(row, who) : null
      fixed += await writeDerived(engine, client, row, derived, texts)
    }
  }
  // If another process is about to correct the same days, what it found is void now.
  if (fixed > 0) await raiseRebuilds(client)
  return fixed
}
