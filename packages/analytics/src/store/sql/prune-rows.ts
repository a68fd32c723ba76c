/**
 * Retention of raw rows. A row is removed when it was received long enough ago, wherever it is in the table: rows are numbered in
 * the order of their commits, but `received_at` is from the clock of a consumer, which may have been wrong. An event is never
 * accepted much before its own time. So a row that was received long ago was viewed long ago as well, and the index on the times
 * of views finds it.
 *
 * Marks are a second proof of when a row was received: each run of retention notes the last row of that moment. A row after a
 * mark was received after that mark was noted; a row up to a mark was received by then.
 *
 * - A row that claims to be old, but comes after a recent mark, stays: its clock was set back, and its id must be
 *   remembered for as long as any other.
 * - A row that claims to be of the future is removed, or loses what identifies its reader, once it comes before a mark
 *   that is old enough.
 */

import { addDays, type Day, latest } from '../days.ts'
import { PERSONAL_COLUMNS } from '../kept.ts'
import type { Progress, PruneOptions } from '../store.ts'
import { packRows } from './breakdowns.ts'
import { daysBeingReopened } from './reopen.ts'
import { type Place, placeOf, rowsByTime } from './rows-by-time.ts'
import {
  figure,
  placeholders,
  SELECT_STATE,
  type SqlClient,
  type SqlEngine,
  type SqlRow,
  type State,
  toState,
} from './sql.ts'
import { runOn } from './statements.ts'
import { groupsOf, Pace, type Step } from './steps.ts'

const DAY_SECONDS = 86_400
const ROWS_READ_AT_ONCE = 5_000
const IDS_AT_ONCE = 500
/** A view's own time counts up to this long after its receipt: CLOCK_MAY_BE_AHEAD_SECONDS of the client, and its second. */
const AHEAD_SECONDS = 301
/** No view is accepted with a time further ahead. A row that is further ahead has the time of a consumer's clock. */
const FUTURE_SECONDS = DAY_SECONDS
const MARKED_EVERY_SECONDS = 1_800

/** What the marks prove about rows, by their numbers. */
interface Known {
  /** Rows after this one were received within the time that rows are kept; null if no mark tells. */
  recentAfter: number | null
  /** Rows up to this one were received before that; null if no mark tells. */
  oldUpTo: number | null
}

/** Returns how many rows were removed. */
export async function pruneRows(
  engine: SqlEngine,
  step: Step,
  options: PruneOptions,
  progress: Progress,
): Promise<number> {
  const { now, rawRetentionDays, maxAgeSeconds } = options
  if (rawRetentionDays === 0) return 0
  // A row also remembers its id: it must stay at least a day longer than a redelivered view is accepted.
  const cutoff = now - Math.max(rawRetentionDays * DAY_SECONDS, maxAgeSeconds + DAY_SECONDS)
  const known = await step(async client => {
    const known = await readMarks(client, cutoff, now)
    await mark(client, cutoff, now)
    return known
  })
  const { adoptedAt } = toState((await engine.reader.all(SELECT_STATE))[0]!)
  const isOver = (row: SqlRow): boolean => {
    const id = Number(row['id'])
    const receivedAt = row['received_at'] === null ? (adoptedAt ?? 0) : engine.fromTime(row['received_at'])
    if (receivedAt > now) return known.oldUpTo !== null && id <= known.oldUpTo
    return receivedAt < cutoff && (known.recentAfter === null || id <= known.recentAfter)
  }

  const pace = new Pace()
  let removed = 0
  let read = 0
  // No row counts as received before the adoption. If that was recent, no row is old enough, unless its clock was wrong.
  const isTooEarly = adoptedAt !== null && adoptedAt >= cutoff && adoptedAt <= now
  if (!isTooEarly) {
    const old = { from: null, to: cutoff + AHEAD_SECONDS }
    for await (const rows of pagesOf(engine, old, 'received_at')) {
      const over = idsOf(rows.filter(isOver))
      for (let done = 0; done < over.length; ) {
        const from = done
        const some = await step(async (client, state, count) => {
          const ids = over.slice(from, from + count)
          await packBefore(client, state, ids)
          return { ids: ids.length, removed: await remove(client, ids) }
        }, pace)
        done += some.ids
        removed += some.removed
        progress('rows', removed, removed)
      }
      read += rows.length
      progress('rows', removed, Math.max(removed, read))
    }
  }
  await eraseFuture(engine, step, now + FUTURE_SECONDS, known.oldUpTo, progress)
  return removed
}

async function* pagesOf(
  engine: SqlEngine,
  span: { from: number | null; to: number | null },
  columns: string,
): AsyncGenerator<SqlRow[]> {
  let after: Place | null = null
  for (;;) {
    const rows: SqlRow[] = await rowsByTime(engine, engine.reader, span, {
      after,
      count: ROWS_READ_AT_ONCE,
      columns,
    })
    if (rows.length > 0) yield rows
    if (rows.length < ROWS_READ_AT_ONCE) return
    after = placeOf(engine, rows.at(-1)!)
  }
}

function idsOf(rows: readonly SqlRow[]): number[] {
  return rows.map(row => Number(row['id']))
}

async function readMarks(client: SqlClient, cutoff: number, now: number): Promise<Known> {
  const [recent] = await client.all(
    'SELECT MIN(last_id) AS id FROM post_view_id_marks WHERE noted_at >= ? AND noted_at <= ?',
    [cutoff, now],
  )
  const [old] = await client.all('SELECT MAX(last_id) AS id FROM post_view_id_marks WHERE noted_at < ?', [
    cutoff,
  ])
  return { recentAfter: figure(recent!['id']), oldUpTo: figure(old!['id']) }
}

/** Notes the last row of this moment. Removes marks from the future, which a wrong clock noted, and all old marks but the last. */
async function mark(client: SqlClient, cutoff: number, now: number): Promise<void> {
  await client.run('DELETE FROM post_view_id_marks WHERE noted_at > ?', [now])
  const [noted] = await client.all(
    `SELECT MAX(noted_at) AS last, MAX(CASE WHEN noted_at < ? THEN noted_at END) AS last_old
     FROM post_view_id_marks`,
    [cutoff],
  )
  const last = figure(noted!['last'])
  const lastOld = figure(noted!['last_old'])
  if (lastOld !== null) await client.run('DELETE FROM post_view_id_marks WHERE noted_at < ?', [lastOld])
  if (last !== null && last > now - MARKED_EVERY_SECONDS) return
  const [row] = await client.all('SELECT MAX(id) AS last FROM post_views')
  await client.run('INSERT INTO post_view_id_marks (noted_at, last_id) VALUES (?, ?)', [
    now,
    figure(row!['last']) ?? 0,
  ])
}

/** Packs what breakdowns still read from these rows, before they are removed. */
async function packBefore(client: SqlClient, state: State, ids: readonly number[]): Promise<void> {
  const posts = new Set<string>()
  for (const some of groupsOf(ids, IDS_AT_ONCE)) {
    const rows = await client.all(
      `SELECT DISTINCT post_views.post_uuid AS post_uuid
       FROM post_views
       JOIN post_view_unpacked AS unpacked
         ON unpacked.${client.dialect.post} = post_views.${client.dialect.post} AND unpacked.id = post_views.id
       WHERE post_views.id IN (${placeholders(some.length)})`,
      some,
    )
    for (const { post_uuid } of rows) posts.add(String(post_uuid))
  }
  await runOn(client, packRows(state, [...posts]))
}

async function remove(client: SqlClient, ids: readonly number[]): Promise<number> {
  let removed = 0
  let lastDay: Day | null = null
  for (const some of groupsOf(ids, IDS_AT_ONCE)) {
    const those = `id IN (${placeholders(some.length)})`
    const [row] = await client.all(`SELECT MAX(day) AS day FROM post_views WHERE ${those}`, some)
    lastDay = latest(lastDay, row!['day'] as Day | null)
    removed += await client.run(`DELETE FROM post_views WHERE ${those}`, some)
  }
  if (lastDay !== null) {
    const rawFrom = addDays(lastDay, 1)
    await client.run(
      'UPDATE post_view_state SET raw_from = ? WHERE id = 1 AND (raw_from IS NULL OR raw_from < ?)',
      [rawFrom, rawFrom],
    )
  }
  return removed
}

/**
 * Views that got their time from a consumer's clock far ahead are on future days. Without their rows, those days could never be
 * verified, and every day before them would count as incomplete. So the rows stay, without what identifies their readers.
 */
async function eraseFuture(
  engine: SqlEngine,
  step: Step,
  from: number,
  oldUpTo: number | null,
  progress: Progress,
): Promise<void> {
  if (oldUpTo === null) return
  const isErased = PERSONAL_COLUMNS.map(name => `${name} IS NULL`).join(' AND ')
  const columns = `day, CASE WHEN ${isErased} THEN 1 ELSE 0 END AS erased`
  let erased = 0
  for await (const rows of pagesOf(engine, { from, to: null }, columns)) {
    const due = rows.filter(row => Number(row['id']) <= oldUpTo && Number(row['erased']) === 0)
    for (const ids of groupsOf(idsOf(due), IDS_AT_ONCE)) {
      erased += await step(async client => {
        // Their addresses are needed until their day is open again.
        const days = await daysBeingReopened(client)
        const others =
          days.length === 0 ? '' : `AND (day IS NULL OR day NOT IN (${placeholders(days.length)}))`
        return client.run(
          `UPDATE post_views
           SET ${PERSONAL_COLUMNS.map(name => `${name} = NULL`).join(', ')}, viewed_at = viewed_at
           WHERE id IN (${placeholders(ids.length)}) ${others}`,
          [...ids, ...days],
        )
      })
      progress('rows from the future', erased, erased)
    }
  }
}
