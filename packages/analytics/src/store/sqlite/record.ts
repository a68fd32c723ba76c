/** A batch on its way into SQLite: ids, rows and counters in one transaction. Runs in the thread of the connection. */

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { NOWHERE, REMAINDER } from '../bounds.ts'
import type { Day } from '../calendar.ts'
import { BatchCounts } from '../counts.ts'
import { AGREEMENT_REPLACED, StoreRefused } from '../failures.ts'
import { KEY_COLUMNS, listsReaders } from '../sql/batch-keys.ts'
import { isSettled, SELECT_STATE, type State, toState } from '../sql/sql.ts'
import type { Recorded } from '../store.ts'
import { type Columns, rowAt } from './columns.ts'

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
    return { counted: counts.rows, duplicates: columns.eventId.length - counts.rows }
  } catch (error) {
    // A failed COMMIT (disk full, say) has ended the transaction already.
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

const INSERT_VIEW = `
  INSERT INTO post_views
    (post_uuid, user_id, ip, user_agent, referer, viewed_at,
     event_id, received_at, day, slice, logged_in, bot, visitor, referer_host)
  VALUES (?, ?, ?, ?, ?, ?, unhex(?, '-'), ?, ?, ?, ?, ?, unhex(?), ?)
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
  for (let index = 0; index < columns.eventId.length; index++) {
    const row = rowAt(columns, index)
    const { changes } = prepare(INSERT_VIEW).run(
      row.postUuid,
      row.userId,
      row.ip,
      row.userAgent,
      row.referer,
      row.viewedAt,
      row.eventId,
      row.receivedAt,
      row.day,
      row.slice,
      Number(row.loggedIn),
      Number(row.bot),
      row.visitor,
      row.refererHost,
    )
    if (changes === 0) continue
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

const ADD_TO_POST_DAY = `
  INSERT INTO post_view_aggregates
    (post_uuid, date, view_count, unique_views, logged_in, bots, first_viewed_at, last_viewed_at)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (post_uuid, date) DO UPDATE SET
    view_count      = view_count + excluded.view_count,
    unique_views    = unique_views + excluded.unique_views,
    logged_in       = logged_in + excluded.logged_in,
    bots            = bots + excluded.bots,
    first_viewed_at = COALESCE(MIN(first_viewed_at, excluded.first_viewed_at), first_viewed_at, excluded.first_viewed_at),
    last_viewed_at  = COALESCE(MAX(last_viewed_at, excluded.last_viewed_at), last_viewed_at, excluded.last_viewed_at)`

const ADD_TO_POST = `
  INSERT INTO post_view_totals
    (post_uuid, views, detailed_views, unique_views, logged_in, bots, first_viewed_at, last_viewed_at)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (post_uuid) DO UPDATE SET
    views           = views + excluded.views,
    detailed_views  = detailed_views + excluded.detailed_views,
    unique_views    = unique_views + excluded.unique_views,
    logged_in       = logged_in + excluded.logged_in,
    bots            = bots + excluded.bots,
    first_viewed_at = COALESCE(MIN(first_viewed_at, excluded.first_viewed_at), first_viewed_at, excluded.first_viewed_at),
    last_viewed_at  = COALESCE(MAX(last_viewed_at, excluded.last_viewed_at), last_viewed_at, excluded.last_viewed_at)`

const ADD_TO_POST_REFERRER = `
  INSERT INTO post_view_referrers (post_uuid, date, host, view_count)
  VALUES (?, ?, ?, ?)
  ON CONFLICT (post_uuid, date, host) DO UPDATE SET view_count = view_count + excluded.view_count`

const SELECT_POST_REFERRER = 'SELECT 1 FROM post_view_referrers WHERE post_uuid = ? AND date = ? AND host = ?'

const ADD_TO_SITE_DAY = `
  INSERT INTO site_view_aggregates
    (date, view_count, unique_views, logged_in, bots, first_viewed_at, last_viewed_at)
  VALUES (?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (date) DO UPDATE SET
    view_count      = view_count + excluded.view_count,
    unique_views    = unique_views + excluded.unique_views,
    logged_in       = logged_in + excluded.logged_in,
    bots            = bots + excluded.bots,
    first_viewed_at = COALESCE(MIN(first_viewed_at, excluded.first_viewed_at), first_viewed_at, excluded.first_viewed_at),
    last_viewed_at  = COALESCE(MAX(last_viewed_at, excluded.last_viewed_at), last_viewed_at, excluded.last_viewed_at)`

const ADD_TO_SITE_REFERRER = `
  INSERT INTO site_view_referrers (date, host, view_count)
  VALUES (?, ?, ?)
  ON CONFLICT (date, host) DO UPDATE SET view_count = view_count + excluded.view_count`

const SELECT_SITE_REFERRER = 'SELECT 1 FROM site_view_referrers WHERE date = ? AND host = ?'

const ADD_TO_MINUTE = `
  INSERT INTO site_view_minutes (minute, view_count)
  VALUES (?, ?)
  ON CONFLICT (minute) DO UPDATE SET view_count = view_count + excluded.view_count`

const SAVE_PROGRESS = `
  INSERT INTO post_view_progress (id, last_committed_at, last_viewed_at)
  VALUES (1, ?, ?)
  ON CONFLICT (id) DO UPDATE SET
    last_committed_at = excluded.last_committed_at,
    last_viewed_at    = excluded.last_viewed_at`

function addCounts(prepare: Prepare, counts: BatchCounts, state: State): void {
  // A settled day gets no new hosts.
  const isAdded = (day: string, host: string, select: string, ...key: string[]) =>
    host === NOWHERE || !isSettled(state, day) || prepare(select).get(...key) !== undefined
  for (const { postUuid, day, views, unique, loggedIn, bots, first, last } of counts.postDays()) {
    prepare(ADD_TO_POST_DAY).run(postUuid, day, views, unique, loggedIn, bots, first, last)
  }
  for (const { postUuid, views, detailedViews, unique, loggedIn, bots, first, last } of counts.posts()) {
    prepare(ADD_TO_POST).run(postUuid, views, detailedViews, unique, loggedIn, bots, first, last)
  }
  for (const { postUuid, day, host, views } of counts.referrers()) {
    const added = isAdded(day, host, SELECT_POST_REFERRER, postUuid, day, host) ? host : REMAINDER
    prepare(ADD_TO_POST_REFERRER).run(postUuid, day, added, views)
  }
  for (const { day, views, unique, loggedIn, bots, first, last } of counts.siteDays()) {
    prepare(ADD_TO_SITE_DAY).run(day, views, unique, loggedIn, bots, first, last)
  }
  for (const { day, host, views } of counts.siteReferrers()) {
    const added = isAdded(day, host, SELECT_SITE_REFERRER, day, host) ? host : REMAINDER
    prepare(ADD_TO_SITE_REFERRER).run(day, added, views)
  }
  for (const { minute, views } of counts.minutes()) prepare(ADD_TO_MINUTE).run(minute, views)
}
