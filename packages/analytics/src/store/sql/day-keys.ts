/** The keys that hash the readers of a day: random, one a day, destroyed when the day is closed. */

import { randomBytes } from 'node:crypto'
import type { Day } from '../calendar.ts'
import { UNKNOWN_VISITOR, visitorOf } from '../row.ts'
import { counted, rowsOfDay } from './recount.ts'
import { rawRows, secretOf } from './rows.ts'
import type { SqlClient, SqlEngine } from './sql.ts'

/** As SQL: the row's reader was told apart by an address that is not kept. */
export const WITHOUT_ADDRESS = `ip IS NULL AND visitor <> x'${UNKNOWN_VISITOR}'`

/** The day's key, made at its first asking. A closed day is opened again: somebody raised EVENT_MAX_AGE. */
export async function dayKey(engine: SqlEngine, day: Day): Promise<string> {
  const known = await secretOf(engine.reader, day)
  if (known !== null) return known
  return engine.exclusive(async (client, state) => {
    const made = await secretOf(client, day)
    if (made !== null) return made
    const secret = await makeKey(client, day)
    if (state.openFrom !== null && day < state.openFrom) await reopen(engine, client, day, secret)
    return secret
  })
}

export async function makeKey(client: SqlClient, day: Day): Promise<string> {
  const secret = randomBytes(32).toString('hex')
  await client.run('INSERT INTO post_view_day_keys (day, secret) VALUES (?, ?)', [day, secret])
  return secret
}

// Whoever was counted on the day before must not count as unique again, so the list is made anew from the rows; under
// the new key where every address is there, else as they are: then a reader who comes back counts once more.
async function reopen(engine: SqlEngine, client: SqlClient, day: Day, secret: string): Promise<void> {
  const { where, values } = rowsOfDay(engine, day)
  const lacking = await client.all(
    `SELECT id FROM post_views WHERE ${where} AND ${WITHOUT_ADDRESS} LIMIT 1`,
    values,
  )
  if (lacking.length === 0) {
    for await (const rows of rawRows(engine, client, { where, values })) {
      for (const { id, ip, userAgent } of rows) {
        const visitor = visitorOf(secret, engine.settings.uniqueBy, ip, userAgent)
        await client.run(
          `UPDATE post_views SET visitor = x'${visitor}', viewed_at = viewed_at WHERE id = ?`,
          [id],
        )
      }
    }
  }
  // Whatever retention had no time to remove.
  await client.run('DELETE FROM post_view_visitors WHERE day = ?', [day])
  await client.run(
    `INSERT INTO post_view_visitors (day, post_uuid, slice, visitor)
     SELECT DISTINCT day, post_uuid, slice, visitor FROM post_views WHERE ${where} AND ${counted(engine)} = 1`,
    values,
  )
}
