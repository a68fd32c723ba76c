/**
 * Writes a batch to PostgreSQL: ids, rows and counters in one transaction, with one statement for each table. Several batches
 * may insert their rows at the same time. Readers and counters are written by one batch after the other.
 */

import { settingsOn } from '../bots-before.ts'
import { BatchCounts, latestViewedAt } from '../counts.ts'
import type { Day } from '../days.ts'
import { AGREEMENT_REPLACED, StoreRefused } from '../failures.ts'
import { UNIQUE_NAMES } from '../figures.ts'
import { type ColumnType, KEPT, KEPT_COLUMNS, KEPT_NAMES, type KeptRow } from '../kept.ts'
import { BatchReaders, BOT, BOTH, NOT_NOTED, newlyUnique, PERSON, seenAs } from '../readers.ts'
import { eachIdOnce } from '../row.ts'
import { KEY_COLUMNS, listsReaders } from '../sql/batch-keys.ts'
import { addToPacks, BatchBreakdowns, duePosts, type NumberedRow, packRows, SEEN } from '../sql/breakdowns.ts'
import { DAY_COLUMNS, dayValues, TOTAL_COLUMNS, totalValues } from '../sql/figure-columns.ts'
import { rehearse } from '../sql/rehearsal.ts'
import { SELECT_STATE, type State, toState } from '../sql/sql.ts'
import type { Batch } from '../sql/sql-store.ts'
import { runOn } from '../sql/statements.ts'
import type { Recorded } from '../store.ts'
import type { PostgresClient, PostgresConnections } from './connection.ts'

export function recordViews(connections: PostgresConnections, batch: Batch): Promise<Recorded> {
  if (!batch.isRehearsal) return connections.transaction(client => recordOn(client, batch))
  return rehearse<PostgresClient>(
    work => connections.transaction(work),
    async client => {
      // A rehearsal uses day keys of its own. They must be stored, or its readers would not be listed.
      for (const [day, key] of batch.keys) await client.run(PUT_DAY_KEY, [day, key])
      await recordOn(client, batch)
    },
  )
}

const PUT_DAY_KEY = `
  INSERT INTO post_view_day_keys (day, secret) VALUES (?, ?)
  ON CONFLICT (day) DO UPDATE SET secret = excluded.secret, reopening = NULL`

async function recordOn(client: PostgresClient, { rows, keys, agreement, now }: Batch): Promise<Recorded> {
  // The lock keeps others from changing the settings until this batch is committed.
  const state = toState((await client.all(`${SELECT_STATE} FOR SHARE`))[0]!)
  if (state.agreement !== agreement) throw new StoreRefused(AGREEMENT_REPLACED)
  const inserted = await insertViews(client, eachIdOnce(rows))
  const counts = new BatchCounts(state)
  const readers = new BatchReaders()
  const breakdowns = new BatchBreakdowns(state)
  for (const { id, row } of inserted) {
    breakdowns.add(id, row)
    counts.add(row)
    readers.add(row, seenAs(row))
  }
  for (const day of await daysNotListed(client, counts, keys)) readers.deleteDay(day)
  // Locks the counters: every batch updates this one row first, and holds its lock until the transaction ends.
  await client.run(TAKE_TURN, [now, latestViewedAt(rows)])
  await listReaders(client, readers, counts, state)
  const due = await addCounts(client, counts)
  const unpacked = breakdowns.unpacked()
  await client.rows(NOTE_UNPACKED, [unpacked.map(({ row }) => row.postUuid), unpacked.map(({ id }) => id)])
  await runOn(client, addToPacks(state, breakdowns.packs()))
  await runOn(client, packRows(state, due))
  return { counted: counts.rows, duplicates: rows.length - counts.rows }
}

const ARRAYS: Record<ColumnType, string> = {
  text: 'text',
  digits: 'numeric',
  number: 'smallint',
  flag: 'smallint',
  time: 'bigint',
  day: 'text',
  uuid: 'text',
  hash: 'text',
}
const FROM_TEXT: Partial<Record<ColumnType, (column: string) => string>> = {
  uuid: column => `DECODE(REPLACE(${column}, '-', ''), 'hex')`,
  hash: column => `DECODE(${column}, 'hex')`,
}

/** SQL that turns one array parameter for each column into rows. */
function rowsOf(columns: readonly string[], types: readonly string[]): string {
  return `unnest(${types.map(type => `?::${type}[]`).join(', ')}) AS r(${columns.join(', ')})`
}

const INSERT_VIEWS = `
  INSERT INTO post_views (${KEPT_COLUMNS.join(', ')})
  SELECT ${KEPT_NAMES.map(name => FROM_TEXT[KEPT[name].type]?.(KEPT[name].column) ?? KEPT[name].column).join(', ')}
  FROM ${rowsOf(
    KEPT_COLUMNS,
    KEPT_NAMES.map(name => ARRAYS[KEPT[name].type]),
  )}
  ON CONFLICT (event_id) DO NOTHING
  RETURNING id, ENCODE(event_id, 'hex') AS event_id`

/** Inserts the rows and returns those that were new. `rows` is sorted by id, so that two batches cannot deadlock. */
async function insertViews(
  client: PostgresClient,
  rows: readonly KeptRow[],
): Promise<NumberedRow<KeptRow>[]> {
  const columns = KEPT_NAMES.map(name =>
    rows.map(row => {
      const value = row[name]
      return typeof value === 'boolean' ? Number(value) : value
    }),
  )
  const inserted = await client.rows(INSERT_VIEWS, columns)
  const idOf = new Map(inserted.map(({ id, event_id }) => [event_id, Number(id)]))
  // Rows whose events have no id are all new. PostgreSQL answers rows in the order in which it inserts them.
  const withoutId = inserted.filter(({ event_id }) => event_id === null).values()
  return rows.flatMap(row => {
    if (row.eventId === null) return { id: Number(withoutId.next().value!['id']), row }
    const id = idOf.get(row.eventId.replaceAll('-', ''))
    return id === undefined ? [] : { id, row }
  })
}

/** @throws {KeyReplaced} where a day was closed since its readers were hashed */
async function daysNotListed(
  client: PostgresClient,
  counts: BatchCounts,
  keys: ReadonlyMap<Day, string>,
): Promise<Day[]> {
  const days = counts.siteDays().map(({ day }) => day)
  const rows = await client.rows(
    `SELECT day, ${KEY_COLUMNS} FROM post_view_day_keys WHERE day = ANY(?::text[])`,
    [days],
  )
  const recorded = new Map(rows.map(row => [row['day'], row]))
  return days.filter(day => !listsReaders(recorded.get(day), day, keys.get(day)))
}

const NOTE_UNPACKED = `
  INSERT INTO post_view_unpacked (post_uuid, id) SELECT * FROM ${rowsOf(['post_uuid', 'id'], ['text', 'bigint'])}`

const TAKE_TURN = `
  INSERT INTO post_view_progress (id, last_committed_at, last_viewed_at) VALUES (1, ?, ?)
  ON CONFLICT (id) DO UPDATE SET
    last_committed_at = excluded.last_committed_at, last_viewed_at = excluded.last_viewed_at`

// Counted by PostgreSQL: most readers of a batch are new, and a row for each would have to be answered and read.
const LIST_READERS = `
  WITH added AS (
    INSERT INTO post_view_visitors AS listed (day, post_uuid, slice, visitor, seen)
    SELECT day, post_uuid, slice, DECODE(visitor, 'hex'), ?::smallint
    FROM ${rowsOf(['day', 'post_uuid', 'slice', 'visitor'], ['text', 'text', 'smallint', 'text'])}
    ON CONFLICT (day, post_uuid, slice, visitor) DO UPDATE SET seen = ${BOTH}
      WHERE listed.seen <> ${NOT_NOTED} AND listed.seen & excluded.seen = 0
    RETURNING day, post_uuid, seen
  )
  SELECT day, post_uuid, seen, COUNT(*) AS readers FROM added GROUP BY day, post_uuid, seen`

/** Adds the readers of the batch to the list, first those who were people, and counts what is new of each. */
async function listReaders(
  client: PostgresClient,
  readers: BatchReaders,
  counts: BatchCounts,
  state: State,
): Promise<void> {
  for (const kind of [PERSON, BOT]) {
    const listed: [Day[], string[], number[], string[]] = [[], [], [], []]
    for (const { day, postUuid, slice, visitors } of readers.windows()) {
      for (const [visitor, seen] of visitors) {
        if ((seen & kind) === 0) continue
        listed[0].push(day)
        listed[1].push(postUuid)
        listed[2].push(slice)
        listed[3].push(visitor)
      }
    }
    if (listed[0].length === 0) continue
    for (const { day, post_uuid, seen, readers } of await client.rows(LIST_READERS, [kind, ...listed])) {
      const before = Number(seen) === kind ? null : BOTH - kind
      const added = newlyUnique(before, kind, settingsOn(state, String(day)))!
      for (const name of UNIQUE_NAMES) added[name] *= Number(readers)
      counts.addUnique(String(post_uuid), String(day), added)
    }
  }
}

/** SQL that inserts a row, or adds its numbers to the row with the same key. An unknown number, null, stays unknown. */
function upsert(table: string, key: readonly string[], columns: readonly string[]): string {
  const all = [...key, ...columns]
  const added = (column: string) => {
    // In PostgreSQL, LEAST and GREATEST ignore nulls.
    if (column === 'first_viewed_at') return `LEAST(${table}.${column}, excluded.${column})`
    if (column === 'last_viewed_at') return `GREATEST(${table}.${column}, excluded.${column})`
    return `${table}.${column} + excluded.${column}`
  }
  const types = all.map(column => (key.includes(column) && column !== 'minute' ? 'text' : 'bigint'))
  return `
    INSERT INTO ${table} (${all.join(', ')})
    SELECT * FROM ${rowsOf(all, types)}
    ON CONFLICT (${key.join(', ')}) DO UPDATE SET ${columns.map(column => `${column} = ${added(column)}`).join(', ')}`
}

const ADD_TO_POST_DAYS = upsert('post_view_aggregates', ['post_uuid', 'date'], DAY_COLUMNS)
const ADD_TO_POSTS = `${upsert('post_view_totals', ['post_uuid'], TOTAL_COLUMNS)}
    RETURNING post_uuid, ${SEEN} AS seen`
const ADD_TO_MINUTES = upsert('site_view_minutes', ['minute'], ['view_count'])
const ADD_TO_SITE_DAYS = upsert('site_view_aggregates', ['date'], DAY_COLUMNS)

type Cell = string | number | null

/** Returns the posts whose rows are due to be packed. */
async function addCounts(client: PostgresClient, counts: BatchCounts): Promise<string[]> {
  const add = async (statement: string, rows: readonly (readonly Cell[])[]) =>
    rows.length === 0
      ? []
      : client.rows(
          statement,
          rows[0]!.map((_, column) => rows.map(row => row[column]!)),
        )
  await add(
    ADD_TO_POST_DAYS,
    counts.postDays().map(count => [count.postUuid, count.day, ...dayValues(count)]),
  )
  const posts = counts.posts()
  const totals = await add(
    ADD_TO_POSTS,
    posts.map(count => [count.postUuid, ...totalValues(count)]),
  )
  await add(
    ADD_TO_MINUTES,
    counts.minutes().map(({ minute, views }) => [minute, views]),
  )
  await add(
    ADD_TO_SITE_DAYS,
    counts.siteDays().map(count => [count.day, ...dayValues(count)]),
  )
  return duePosts(posts, totals)
}

/** The statements of a batch, which `postviews schema` prints. */
export const STATEMENTS = [
  INSERT_VIEWS,
  LIST_READERS,
  ADD_TO_POST_DAYS,
  ADD_TO_POSTS,
  ADD_TO_SITE_DAYS,
  ADD_TO_MINUTES,
  NOTE_UNPACKED,
  TAKE_TURN,
]
