/** Retention: raw rows, day keys and visitors go when their time is over; the counters stay for ever. */

import { randomUUID } from 'node:crypto'
import { addDays, type Day, latest } from '../calendar.ts'
import type { Progress, Pruned, PruneOptions } from '../store.ts'
import { rebuildReferrers } from './referrers.ts'
import { settleDays } from './settle.ts'
import { marks, type SqlClient, type SqlEngine, type State } from './sql.ts'

const ROWS_AT_ONCE = 2_000
const LEASE_SECONDS = 120
const DAY_SECONDS = 86_400
const MINUTES_KEPT_SECONDS = 2 * 3_600

export async function prune(
  engine: SqlEngine,
  options: PruneOptions,
  progress: Progress = () => {},
): Promise<Pruned> {
  const holder = randomUUID()
  const pruned: Pruned = { ran: false, rows: 0, days: 0 }
  if (!(await takeLease(engine, holder, options.now))) return pruned
  pruned.ran = true
  const started = Date.now()
  // Whatever runs long keeps its lease; the clock is the caller's, so that tests may choose it.
  let keptAt = started
  const keepLease = async () => {
    if (Date.now() - keptAt < (LEASE_SECONDS / 4) * 1_000) return
    keptAt = Date.now()
    await takeLease(engine, holder, options.now + Math.floor((keptAt - started) / 1_000))
  }
  try {
    for (;;) {
      await keepLease()
      const rows = await engine.exclusive((client, state) => pruneRows(engine, client, state, options))
      pruned.rows += rows
      progress('rows', pruned.rows, pruned.rows)
      if (rows < ROWS_AT_ONCE) break
    }
    for (;;) {
      const day = await engine.exclusive((client, state) => closeDay(engine, client, state, options))
      if (day === null) break
      pruned.days++
    }
    while (await engine.exclusive(dropVisitors)) {
      // So many at a time, that no batch waits long.
    }
    let steps = 0
    await settleDays(
      engine,
      options.now,
      day => rebuildReferrers(engine, day, () => progress('hosts', steps, steps)),
      async () => {
        await keepLease()
        progress('hosts', ++steps, steps)
      },
    )
    await engine.exclusive(client =>
      client.run('DELETE FROM site_view_minutes WHERE minute < ?', [options.now - MINUTES_KEPT_SECONDS]),
    )
  } finally {
    // Where this fails, what went wrong before is what tells, and the lease runs out.
    await engine
      .exclusive(client =>
        client.run("DELETE FROM post_view_leases WHERE name = 'prune' AND holder = ?", [holder]),
      )
      .catch(() => {})
  }
  return pruned
}

function takeLease(engine: SqlEngine, holder: string, now: number): Promise<boolean> {
  return engine.exclusive(async client => {
    const [lease] = await client.all("SELECT holder, expires_at FROM post_view_leases WHERE name = 'prune'")
    if (lease !== undefined && lease['holder'] !== holder && Number(lease['expires_at']) > now) return false
    await client.run("DELETE FROM post_view_leases WHERE name = 'prune'")
    await client.run("INSERT INTO post_view_leases (name, holder, expires_at) VALUES ('prune', ?, ?)", [
      holder,
      now + LEASE_SECONDS,
    ])
    return true
  })
}

// Rows are numbered about in the order of their receipt, so the oldest come first, and no index is needed.
async function pruneRows(
  engine: SqlEngine,
  client: SqlClient,
  state: State,
  options: PruneOptions,
): Promise<number> {
  if (options.rawRetentionDays === 0) return 0
  const received = `COALESCE(received_at, ?)`
  const adoptedAt = engine.toTime(state.adoptedAt ?? 0)
  // A row is also how its id is remembered: at least a day longer than a view that comes again is accepted.
  const keptSeconds = Math.max(options.rawRetentionDays * DAY_SECONDS, options.maxAgeSeconds + DAY_SECONDS)
  const cutoff = engine.toTime(options.now - keptSeconds)
  const rows = await client.all(
    `SELECT id, day
     FROM (SELECT id, day, ${received} AS received FROM post_views ORDER BY id LIMIT ${ROWS_AT_ONCE}) AS oldest
     WHERE received < ?`,
    [adoptedAt, cutoff],
  )
  if (rows.length === 0) return 0
  const ids = rows.map(row => Number(row['id']))
  await client.run(`DELETE FROM post_views WHERE id IN (${marks(ids.length)})`, ids)
  const lastDay = rows
    .map(row => row['day'] as Day | null)
    .reduce<Day>((last, day) => (day !== null && day > last ? day : last), '')
  if (lastDay !== '' && (state.rawFrom === null || lastDay >= state.rawFrom)) {
    await client.run('UPDATE post_view_state SET raw_from = ? WHERE id = 1', [addDays(lastDay, 1)])
  }
  return rows.length
}

/** Destroys the key of one day whose views are not accepted any more; null when there is none left. */
async function closeDay(
  { calendar }: SqlEngine,
  client: SqlClient,
  state: State,
  { now, maxAgeSeconds }: PruneOptions,
): Promise<Day | null> {
  const [oldest] = await client.all('SELECT MIN(day) AS day FROM post_view_day_keys')
  const day = oldest?.['day'] as Day | null
  // A day longer than views are accepted: a batch that waited for the store may still be on its way.
  if (day === null || calendar.bounds(day).end + maxAgeSeconds + DAY_SECONDS > now) return null
  await client.run('DELETE FROM post_view_day_keys WHERE day = ?', [day])
  await client.run('UPDATE post_view_state SET open_from = ? WHERE id = 1', [
    latest(state.openFrom, addDays(day, 1)),
  ])
  return day
}

/** Removes visitors of a closed day, also of one that an interrupted run has left; false when there are none. */
async function dropVisitors(client: SqlClient, { openFrom }: State): Promise<boolean> {
  if (openFrom === null) return false
  // A day with a key has been opened again.
  const [closed] = await client.all(
    `SELECT MIN(day) AS day FROM post_view_visitors
     WHERE day < ? AND day NOT IN (SELECT day FROM post_view_day_keys)`,
    [openFrom],
  )
  const day = closed?.['day'] as Day | null
  if (day === null) return false
  const [edge] = await client.all(
    `SELECT post_uuid FROM post_view_visitors WHERE day = ? ORDER BY post_uuid LIMIT 1 OFFSET ${ROWS_AT_ONCE}`,
    [day],
  )
  const upTo = edge === undefined ? '' : 'AND post_uuid <= ?'
  const values = edge === undefined ? [day] : [day, String(edge['post_uuid'])]
  await client.run(`DELETE FROM post_view_visitors WHERE day = ? ${upTo}`, values)
  return true
}
