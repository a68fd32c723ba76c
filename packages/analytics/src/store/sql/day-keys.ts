/** The keys under which the readers of a day are hashed: random, one per day, destroyed when the day is closed. */

import { randomBytes } from 'node:crypto'
import type { Day } from '../days.ts'
import { RowRejected, StoreUnavailable } from '../failures.ts'
import { BOT, PERSON } from '../readers.ts'
import { UNKNOWN_VISITOR } from '../row.ts'
import { rowsOfDay } from './recount.ts'
import { beginReopening, reopenIfSmall } from './reopen.ts'
import { secretOf } from './rows.ts'
import type { SqlClient, SqlEngine, State } from './sql.ts'

/** As SQL: whether the row's visitor was hashed from an address that is not kept. */
export function withoutAddress({ dialect }: SqlClient): string {
  return `ip IS NULL AND visitor <> ${dialect.bytes(UNKNOWN_VISITOR)}`
}

/** The day's key, made when first asked for. A closed day is opened again: it was closed too early, or EVENT_MAX_AGE was raised. */
export async function dayKey(engine: SqlEngine, day: Day): Promise<string> {
  const known = await secretOf(engine.reader, day)
  if (known !== null) return known
  try {
    return await engine.exclusive((client, state) => newKey(engine, client, state, day))
  } catch (error) {
    // An older row that cannot be changed (because of a constraint of the users' own, for example) is not the fault of this
    // batch.
    if (!(error instanceof RowRejected)) throw error
    throw new StoreUnavailable(`${day} cannot be opened again`, { cause: error })
  }
}

async function newKey(engine: SqlEngine, client: SqlClient, state: State, day: Day): Promise<string> {
  const made = await secretOf(client, day)
  if (made !== null) return made
  const secret = await makeKey(client, day)
  if (state.openFrom !== null && day < state.openFrom) {
    await beginReopening(client, day)
    await reopenIfSmall(engine, client, state, day)
  }
  return secret
}

export async function makeKey(client: SqlClient, day: Day): Promise<string> {
  const secret = randomBytes(32).toString('hex')
  await client.run('INSERT INTO post_view_day_keys (day, secret) VALUES (?, ?)', [day, secret])
  return secret
}

/** Replaces the list of the day's visitors by a new one, made from its rows. */
export async function listVisitors(engine: SqlEngine, client: SqlClient, day: Day): Promise<void> {
  const { where, values } = rowsOfDay(engine, day)
  await client.run('DELETE FROM post_view_visitors WHERE day = ?', [day])
  await client.run(
    `INSERT INTO post_view_visitors (day, post_uuid, slice, visitor, seen)
     SELECT day, post_uuid, slice, visitor, MAX(1 - bot) * ${PERSON} + MAX(bot) * ${BOT}
     FROM post_views WHERE ${where} GROUP BY day, post_uuid, slice, visitor`,
    values,
  )
}
