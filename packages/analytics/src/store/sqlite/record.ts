/** A batch on its way into SQLite: ids, rows and counters in one transaction. Runs in the thread of the connection. */

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { NOWHERE, REMAINDER } from '../bounds.ts'
import type { Day } from '../calendar.ts'
import { BatchCounts } from '../counts.ts'
import { AGREEMENT_REPLACED, StoreRefused } from '../failures.ts'
import { type ColumnType, KEPT, KEPT_COLUMNS, KEPT_NAMES } from '../row.ts'
import { KEY_COLUMNS, listsReaders } from '../sql/batch-keys.ts'
import { DAY_COLUMNS, dayValues, TOTAL_COLUMNS, totalValues } from '../sql/figure-columns.ts'
import { isSettled, placeholders, SELECT_STATE, type State, toState } from '../sql/sql.ts'
import type { Recorded } from '../store.ts'
import { type Columns, rowAt, rowsIn } from './columns.ts'

export interface RecordBatch {
  /** At least one row. */
  columns: Columns
  /** What the readers of each day were hashed under. */
  keys: ReadonlyMap<Day, string>
  /** What the process has learned that it counts by. */
  agreement: number
  /** Unix seconds. */
  progress: { committedAt: number; viewedAt: number }
  /** All of it is undone in the end; the keys are then taken for the recorded ones. */
  isRehearsal: boolean
}

type Prepare = (sql: string) => StatementSync

export function recordViews(
  database: DatabaseSync,
  prepare: Prepare,
  { columns, keys, agreement, progress, isRehearsal }: RecordBatch,
): Recorded {
  // The one writer's lock from the start: a transaction that began as a reader cannot wait for it.
  database.exec('BEGIN IMMEDIATE')
  try {
    const state = toState(prepare(SELECT_STATE).get()!)
    if (state.agreement !== agreement) throw new StoreRefused(AGREEMENT_REPLACED)
    if (isRehearsal) for (const [day, key] of keys) prepare(PUT_DAY_KEY).run(day, key)
    const counts = insertRows(prepare, columns, keys, state)
    addCounts(prepare, counts, state)
    prepare(SAVE_PROGRESS).run(progress.committedAt, progress.viewedAt)
    database.exec(isRehearsal ? 'ROLLBACK' : 'COMMIT')
    return { counted: counts.rows, duplicates: rowsIn(columns) - counts.rows }
  } catch (error) {
    // A failed COMMIT (disk full, say) has ended the transaction already.
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

const BOUND: Partial<Record<ColumnType, string>> = { uuid: "unhex(?, '-')", hash: 'unhex(?)' }

const INSERT_VIEW = `
  INSERT INTO post_views (${KEPT_COLUMNS.join(', ')})
  VALUES (${KEPT_NAMES.map(name => BOUND[KEPT[name].type] ?? '?').join(', ')})
  ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO NOTHING`

const PUT_DAY_KEY = `
  INSERT INTO post_view_day_keys (day, secret)
  VALUES (?, ?)
  ON CONFLICT (day) DO UPDATE SET secret = excluded.secret, reopening = NULL`

const SELECT_DAY_KEY = `SELECT ${KEY_COLUMNS} FROM post_view_day_keys WHERE day = ?`

const INSERT_VISITOR = `
  INSERT INTO post_view_visitors (day, post_uuid, slice, visitor)
  VALUES (?, ?, ?, unhex(?))
  ON CONFLICT DO NOTHING`

function insertRows(
  prepare: Prepare,
  columns: Columns,
  keys: ReadonlyMap<Day, string>,
  { settings }: State,
): BatchCounts {
  const counts = new BatchCounts(settings.bots)
  const lists = new Map<Day, boolean>()
  for (let index = 0; index < rowsIn(columns); index++) {
    const values = columns.map(column => {
      const value = column[index]!
      return typeof value === 'boolean' ? Number(value) : value
    })
    if (prepare(INSERT_VIEW).run(...values).changes === 0) continue
    const row = rowAt(columns, index)
    let isListed = lists.get(row.day)
    if (isListed === undefined) {
      isListed = listsReaders(prepare(SELECT_DAY_KEY).get(row.day), row.day, keys.get(row.day))
      lists.set(row.day, isListed)
    }
    const unique =
      isListed &&
      counts.counts(row) &&
      prepare(INSERT_VISITOR).run(row.day, row.postUuid, row.slice, row.visitor).changes === 1
    counts.add(row, unique)
  }
  return counts
}

/** Adds a row to the one of the same key, if there is one. Null, where adopted rows leave a number unknown, stays null. */
function upsert(table: string, key: readonly string[], columns: readonly string[]): string {
  const all = [...key, ...columns]
  return `
    INSERT INTO ${table} (${all.join(', ')})
    VALUES (${placeholders(all.length)})
    ON CONFLICT (${key.join(', ')}) DO UPDATE SET ${columns.map(added).join(', ')}`
}

function added(column: string): string {
  const extreme = (of: 'MIN' | 'MAX') =>
    `${column} = COALESCE(${of}(${column}, excluded.${column}), ${column}, excluded.${column})`
  if (column === 'first_viewed_at') return extreme('MIN')
  if (column === 'last_viewed_at') return extreme('MAX')
  return `${column} = ${column} + excluded.${column}`
}

const ADD_TO_POST_DAY = upsert('post_view_aggregates', ['post_uuid', 'date'], DAY_COLUMNS)
const ADD_TO_POST = upsert('post_view_totals', ['post_uuid'], TOTAL_COLUMNS)
const ADD_TO_POST_REFERRER = upsert('post_view_referrers', ['post_uuid', 'date', 'host'], ['view_count'])
const ADD_TO_SITE_DAY = upsert('site_view_aggregates', ['date'], DAY_COLUMNS)
const ADD_TO_SITE_REFERRER = upsert('site_view_referrers', ['date', 'host'], ['view_count'])
const ADD_TO_MINUTE = upsert('site_view_minutes', ['minute'], ['view_count'])

const SELECT_POST_REFERRER = 'SELECT 1 FROM post_view_referrers WHERE post_uuid = ? AND date = ? AND host = ?'
const SELECT_SITE_REFERRER = 'SELECT 1 FROM site_view_referrers WHERE date = ? AND host = ?'

const SAVE_PROGRESS = `
  INSERT INTO post_view_progress (id, last_committed_at, last_viewed_at)
  VALUES (1, ?, ?)
  ON CONFLICT (id) DO UPDATE SET
    last_committed_at = excluded.last_committed_at,
    last_viewed_at    = excluded.last_viewed_at`

/** All of a batch, for `postviews schema`. */
export const STATEMENTS = [
  INSERT_VIEW,
  INSERT_VISITOR,
  ADD_TO_POST_DAY,
  ADD_TO_POST,
  ADD_TO_POST_REFERRER,
  ADD_TO_SITE_DAY,
  ADD_TO_SITE_REFERRER,
  ADD_TO_MINUTE,
  SAVE_PROGRESS,
]

function addCounts(prepare: Prepare, counts: BatchCounts, state: State): void {
  // A settled day gets no new hosts.
  const isAdded = (day: string, host: string, select: string, ...key: string[]) =>
    host === NOWHERE || !isSettled(state, day) || prepare(select).get(...key) !== undefined
  for (const count of counts.postDays()) {
    prepare(ADD_TO_POST_DAY).run(count.postUuid, count.day, ...dayValues(count))
  }
  for (const count of counts.posts()) prepare(ADD_TO_POST).run(count.postUuid, ...totalValues(count))
  for (const { postUuid, day, host, views } of counts.referrers()) {
    const added = isAdded(day, host, SELECT_POST_REFERRER, postUuid, day, host) ? host : REMAINDER
    prepare(ADD_TO_POST_REFERRER).run(postUuid, day, added, views)
  }
  for (const count of counts.siteDays()) prepare(ADD_TO_SITE_DAY).run(count.day, ...dayValues(count))
  for (const { day, host, views } of counts.siteReferrers()) {
    const added = isAdded(day, host, SELECT_SITE_REFERRER, day, host) ? host : REMAINDER
    prepare(ADD_TO_SITE_REFERRER).run(day, added, views)
  }
  for (const { minute, views } of counts.minutes()) prepare(ADD_TO_MINUTE).run(minute, views)
}
