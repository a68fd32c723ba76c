/** The keys that hash the readers of a day: random, one a day, destroyed when the day is closed. */

import { randomBytes } from 'node:crypto'
import type { Day } from '../calendar.ts'
import { UNKNOWN_VISITOR, visitorOf } from '../row.ts'
import { counted, type RowsOfDay, rowsOfDay } from './recount.ts'
import { rawRows, secretOf } from './rows.ts'
import type { SqlClient, SqlEngine, State } from './sql.ts'

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
    if (state.openFrom !== null && day < state.openFrom) await reopen(engine, client, state, day, secret)
    return secret
  })
}

export async function makeKey(client: SqlClient, day: Day): Promise<string> {
  const secret = randomBytes(32).toString('hex')
  await client.run('INSERT INTO post_view_day_keys (day, secret) VALUES (?, ?)', [day, secret])
  return secret
}

// Whoever was counted on the day before must not count as unique again, so the list is made anew from the rows.
async function reopen(
  engine: SqlEngine,
  client: SqlClient,
  { settingsSince }: State,
  day: Day,
  secret: string,
): Promise<void> {
  // What was counted under other settings stays as it is: then a reader who comes back counts once more.
  if (settingsSince === null || day >= settingsSince) {
    await hashAgain(engine, client, rowsOfDay(engine, day), secret)
  }
  await listVisitors(engine, client, day)
}

/** Makes the list of the day's visitors anew from its rows, whatever it held. */
export async function listVisitors(engine: SqlEngine, client: SqlClient, day: Day): Promise<void> {
  const { where, values } = rowsOfDay(engine, day)
  await client.run('DELETE FROM post_view_visitors WHERE day = ?', [day])
  await client.run(
    `INSERT INTO post_view_visitors (day, post_uuid, slice, visitor)
     SELECT DISTINCT day, post_uuid, slice, visitor FROM post_views WHERE ${where} AND ${counted(engine)} = 1`,
    values,
  )
}

// Under the new key each reader is another, but the same one in all of its rows: in those that lost their address too.
// A reader of whom no address is left stays as it is, and counts once more on coming back.
async function hashAgain(
  engine: SqlEngine,
  client: SqlClient,
  { where, values }: RowsOfDay,
  secret: string,
): Promise<void> {
  const visitorNow = new Map<string | null, string>()
  const addressed = `ip IS NOT NULL AND visitor <> x'${UNKNOWN_VISITOR}' AND ${where}`
  for await (const rows of rawRows(engine, client, { where: addressed, values })) {
    for (const { ip, userAgent, derived } of rows) {
      visitorNow.set(derived.visitor, visitorOf(secret, engine.settings.uniqueBy, ip, userAgent))
    }
  }
  for await (const rows of rawRows(engine, client, { where, values })) {
    for (const { id, derived } of rows) {
      const visitor = visitorNow.get(derived.visitor)
      if (visitor === undefined) continue
      await client.run(`UPDATE post_views SET visitor = x'${visitor}', viewed_at = viewed_at WHERE id = ?`, [
        id,
      ])
    }
  }
}
