/** Writes a batch to SQLite: ids, rows and counters in one transaction. Runs in the thread of the connection. */

import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import { settingsOn } from '../bots-before.ts'
import { BatchCounts } from '../counts.ts'
import type { Day } from '../days.ts'
import { AGREEMENT_REPLACED, StoreRefused } from '../failures.ts'
import { KEPT, KEPT_NAMES } from '../kept.ts'
import { BOTH, NOT_NOTED, newlyUnique, seenAs } from '../readers.ts'
import { KEY_COLUMNS, listsReaders } from '../sql/batch-keys.ts'
import { addToPacks, BatchBreakdowns, isDue, packRows, SEEN } from '../sql/breakdowns.ts'
import { DAY_COLUMNS, dayValues, TOTAL_COLUMNS, totalValues } from '../sql/figure-columns.ts'
import { placeholders, SELECT_STATE, type SqlValue, type State, toState } from '../sql/sql.ts'
import { runNow } from '../sql/statements.ts'
import type { Recorded } from '../store.ts'
import { boundValues, type Columns, rowAt } from './columns.ts'
import { INSERT_TEXT, type KnownTexts, type Prepare, SELECT_NUMBER, TextNumbers } from './text-numbers.ts'
import { COUNT_CHANGE, numberOf, POST, ROWS, SQLITE_DIALECT, UNPACKED_ROWS, VISITOR_ROWS } from './texts.ts'

export interface RecordBatch {
  /** At least one row. */
  columns: Columns
  /** The key under which the readers of each day were hashed. */
  keys: ReadonlyMap<Day, string>
  /** The number of the agreement that this process read last. */
  agreement: number
  /** Unix seconds. */
  progress: { committedAt: number; viewedAt: number }
  /** A rehearsal is undone in the end, and accepts its keys as the recorded ones. */
  isRehearsal: boolean
}

export function recordViews(
  database: DatabaseSync,
  prepare: Prepare,
  known: KnownTexts,
  { columns, keys, agreement, progress, isRehearsal }: RecordBatch,
): Recorded {
  // Takes the write lock at the start: a transaction that began as a reader cannot wait for it.
  database.exec('BEGIN IMMEDIATE')
  try {
    const state = toState(prepare(SELECT_STATE).get()!)
    if (state.agreement !== agreement) throw new StoreRefused(AGREEMENT_REPLACED)
    if (isRehearsal) for (const [day, key] of keys) prepare(PUT_DAY_KEY).run(day, key)
    const numbers = new TextNumbers(prepare, known, columns.texts)
    const { counts, breakdowns } = insertRows(prepare, columns, numbers, keys, state)
    // A duplicate may have added a text that no row uses, such as a user agent that `forget` has erased.
    if (numbers.added && counts.rows < columns.rows) prepare(COUNT_CHANGE).run()
    addBreakdowns(prepare, state, breakdowns, numbers, addCounts(prepare, counts))
    prepare(SAVE_PROGRESS).run(progress.committedAt, progress.viewedAt)
    database.exec(isRehearsal ? 'ROLLBACK' : 'COMMIT')
    if (isRehearsal) known.clear()
    return { counted: counts.rows, duplicates: columns.rows - counts.rows }
  } catch (error) {
    // The texts that this batch added are not there.
    known.clear()
    // A failed COMMIT (disk full, say) has ended the transaction already.
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

const COLUMNS = KEPT_NAMES.map(name =>
  KEPT[name].isRepeated ? numberOf(KEPT[name].column) : KEPT[name].column,
)

const INSERT_VIEW = `
  INSERT INTO ${ROWS} (${COLUMNS.join(', ')})
  VALUES (${placeholders(COLUMNS.length)})
  ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO NOTHING`

const PUT_DAY_KEY = `
  INSERT INTO post_view_day_keys (day, secret)
  VALUES (?, ?)
  ON CONFLICT (day) DO UPDATE SET secret = excluded.secret, reopening = NULL`

/** Where these are among the values of a row. */
const POST_NUMBER = KEPT_NAMES.indexOf('postUuid')
const VISITOR = KEPT_NAMES.indexOf('visitor')

const SELECT_DAY_KEY = `SELECT ${KEY_COLUMNS} FROM post_view_day_keys WHERE day = ?`

/** Answers as what the reader is listed now; nothing, if that is not new. */
const LIST_READER = `
  INSERT INTO ${VISITOR_ROWS} (day, ${POST}, slice, visitor, seen)
  VALUES (?, ?, ?, ?, ?)
  ON CONFLICT DO UPDATE SET seen = ${BOTH} WHERE seen <> ${NOT_NOTED} AND seen & excluded.seen = 0
  RETURNING seen`

function insertRows(
  prepare: Prepare,
  columns: Columns,
  numbers: TextNumbers,
  keys: ReadonlyMap<Day, string>,
  state: State,
): { counts: BatchCounts; breakdowns: BatchBreakdowns } {
  const counts = new BatchCounts(state)
  const breakdowns = new BatchBreakdowns(state)
  const lists = new Map<Day, boolean>()
  const bound = boundValues(columns, place => numbers.at(place))
  const values = bound.map((): SQLInputValue => null)
  for (let index = 0; index < columns.rows; index++) {
    for (let at = 0; at < bound.length; at++) values[at] = bound[at]!(index)
    const { changes, lastInsertRowid } = prepare(INSERT_VIEW).run(...values)
    if (changes === 0) continue
    const row = rowAt(columns, index)
    breakdowns.add(Number(lastInsertRowid), row)
    let isListed = lists.get(row.day)
    if (isListed === undefined) {
      isListed = listsReaders(prepare(SELECT_DAY_KEY).get(row.day), row.day, keys.get(row.day))
      lists.set(row.day, isListed)
    }
    counts.add(row)
    if (!isListed) continue
    const seen = seenAs(row)
    const listed = prepare(LIST_READER).get(row.day, values[POST_NUMBER]!, row.slice, values[VISITOR]!, seen)
    if (listed === undefined) continue
    const before = listed['seen'] === seen ? null : BOTH - seen
    counts.addUnique(row.postUuid, row.day, newlyUnique(before, seen, settingsOn(state, row.day))!)
  }
  return { counts, breakdowns }
}

/** SQL that inserts a row, or adds its numbers to the row with the same key. An unknown number, null, stays unknown. */
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
const ADD_TO_POST = `${upsert('post_view_totals', ['post_uuid'], TOTAL_COLUMNS)} RETURNING ${SEEN} AS seen`
const ADD_TO_SITE_DAY = upsert('site_view_aggregates', ['date'], DAY_COLUMNS)
const ADD_TO_MINUTE = upsert('site_view_minutes', ['minute'], ['view_count'])

const NOTE_UNPACKED = `INSERT INTO ${UNPACKED_ROWS} (${POST}, id) VALUES (?, ?)`

const SAVE_PROGRESS = `
  INSERT INTO post_view_progress (id, last_committed_at, last_viewed_at)
  VALUES (1, ?, ?)
  ON CONFLICT (id) DO UPDATE SET
    last_committed_at = excluded.last_committed_at,
    last_viewed_at    = excluded.last_viewed_at`

/** The statements of a batch, which `postviews schema` prints. */
export const STATEMENTS = [
  INSERT_VIEW,
  SELECT_NUMBER,
  INSERT_TEXT,
  LIST_READER,
  ADD_TO_POST_DAY,
  ADD_TO_POST,
  ADD_TO_SITE_DAY,
  ADD_TO_MINUTE,
  NOTE_UNPACKED,
  SAVE_PROGRESS,
]

/** Returns the posts whose rows are due to be packed. */
function addCounts(prepare: Prepare, counts: BatchCounts): string[] {
  for (const count of counts.postDays()) {
    prepare(ADD_TO_POST_DAY).run(count.postUuid, count.day, ...dayValues(count))
  }
  const due: string[] = []
  for (const count of counts.posts()) {
    const { seen } = prepare(ADD_TO_POST).get(count.postUuid, ...totalValues(count))!
    if (isDue(count, Number(seen))) due.push(count.postUuid)
  }
  for (const count of counts.siteDays()) prepare(ADD_TO_SITE_DAY).run(count.day, ...dayValues(count))
  for (const { minute, views } of counts.minutes()) prepare(ADD_TO_MINUTE).run(minute, views)
  return due
}

function addBreakdowns(
  prepare: Prepare,
  state: State,
  breakdowns: BatchBreakdowns,
  numbers: TextNumbers,
  due: readonly string[],
): void {
  for (const { id, row } of breakdowns.unpacked()) prepare(NOTE_UNPACKED).run(numbers.of(row.postUuid), id)
  const rowsOf = (sql: string, values: readonly SqlValue[]) => prepare(sql).all(...values)
  runNow(rowsOf, SQLITE_DIALECT, addToPacks(state, breakdowns.packs()))
  runNow(rowsOf, SQLITE_DIALECT, packRows(state, due))
}
