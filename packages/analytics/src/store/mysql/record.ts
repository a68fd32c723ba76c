/** Writes a batch to MySQL: ids, rows and counters in one transaction, in a few long statements. */

import { settingsOn } from '../bots-before.ts'
import { BatchCounts, latestViewedAt, type PostCount } from '../counts.ts'
import type { Day } from '../days.ts'
import { AGREEMENT_REPLACED, StoreRefused } from '../failures.ts'
import { type ColumnType, KEPT, KEPT_COLUMNS, KEPT_NAMES, type KeptRow, type KeptValue } from '../kept.ts'
import { BatchReaders, BOTH, newlyUnique, type Reader, seenAs } from '../readers.ts'
import { eachIdOnce } from '../row.ts'
import { KEY_COLUMNS, listsReaders } from '../sql/batch-keys.ts'
import { addToPacks, BatchBreakdowns, duePosts, type NumberedRow, packRows, SEEN } from '../sql/breakdowns.ts'
import { rehearse } from '../sql/rehearsal.ts'
import { SELECT_STATE, type SqlRow, type State, toState } from '../sql/sql.ts'
import type { Batch } from '../sql/sql-store.ts'
import { runOn } from '../sql/statements.ts'
import type { Recorded } from '../store.ts'
import type { MysqlClient, MysqlConnections } from './connection.ts'
import { counterStatements, knownPostDays, printedCounters, takeTurn } from './counters.ts'
import { DuplicateKey, Overtaken } from './errors.ts'
import { bytes, type Part, partsOf, postDay, quoted, statement, time, uuidBytes } from './text.ts'

/** The error as long as the state is not written. */
export const BEING_ADOPTED = 'the adoption of the existing tables is not complete: run `postviews migrate`'

const VIEWS_AT_ONCE = 500
const READERS_AT_ONCE = 2_500
// Below 1,000: from that length on, MariaDB turns a list into a table that it joins.
const KEYS_AT_ONCE = 900
const TRIES = 5

/**
 * Several batches may insert their rows at the same time; readers and counters are written by one batch after the other. All
 * batches share popular posts and returning readers: without taking turns they would wait for each other as well, and then repeat
 * what another batch was quicker with.
 */
export function recordViews(connections: MysqlConnections, batch: Batch): Promise<Recorded> {
  if (!batch.isRehearsal) return connections.transaction(client => recordOn(client, batch))
  return rehearse<MysqlClient>(
    work => connections.transaction(work),
    // A rehearsal uses day keys of its own, which are stored first.
    client => recordOn(client, batch, putKeys),
  )
}

async function putKeys(client: MysqlClient, keys: ReadonlyMap<Day, string>): Promise<void> {
  for (const [day, key] of keys) {
    await client.write(
      `INSERT INTO post_view_day_keys (day, secret) VALUES ('${day}', ${quoted(key)})
       ON DUPLICATE KEY UPDATE secret = ${quoted(key)}, reopening = NULL`,
    )
  }
}

async function recordOn(
  client: MysqlClient,
  { rows, keys, agreement, now }: Batch,
  first: (client: MysqlClient, keys: ReadonlyMap<Day, string>) => Promise<void> = async () => {},
): Promise<Recorded> {
  const candidates = eachIdOnce(rows)
  const progress = { committedAt: now, viewedAt: latestViewedAt(rows) }
  const state = await shareState(client, agreement)
  await first(client, keys)
  const counts = new BatchCounts(state)
  const readers = new BatchReaders()
  const breakdowns = new BatchBreakdowns(state)
  let firstId = 0
  for await (const rows of insertViews(client, candidates)) {
    firstId ||= rows[0]?.id ?? 0
    for (const { id, row } of rows) {
      breakdowns.add(id, row)
      counts.add(row)
      readers.add(row, seenAs(row))
    }
  }
  for (const day of await daysNotListed(client, counts, keys)) readers.deleteDay(day)

  const known = await knownPostDays(client, counts.postDays())
  await client.write(takeTurn(progress))
  const changed: string[] = []
  for (const { before, ...reader } of await listed(client, firstId)) {
    const seen = readers.take(reader)
    const added = seen === null ? null : newlyUnique(before, seen, settingsOn(state, reader.day))
    if (added === null) continue
    counts.addUnique(reader.postUuid, reader.day, added)
    changed.push(readerText(reader, BOTH))
  }
  const fresh: string[] = []
  for (const { visitors, ...window } of readers.windows()) {
    for (const visitor of [...visitors.keys()].sort()) {
      const seen = visitors.get(visitor)!
      const added = newlyUnique(null, seen, settingsOn(state, window.day))!
      counts.addUnique(window.postUuid, window.day, added)
      fresh.push(readerText({ ...window, visitor }, seen))
    }
  }
  // Each statement is built while the server runs the one before.
  let running: Promise<unknown> = heard(listReaders(client, fresh, changed))
  for (const statement of counterStatements(client, counts, known)) {
    await running
    running = heard(client.write(statement))
  }
  await running
  const posts = counts.posts()
  const due = duePosts(posts, await totalsOf(client, posts))
  await noteUnpacked(client, breakdowns.unpacked())
  await runOn(client, addToPacks(state, breakdowns.packs()))
  await runOn(client, packRows(state, due))
  return { counted: counts.rows, duplicates: rows.length - counts.rows }
}

/** Prevents an unhandled rejection if the promise fails before it is awaited; the `await` still throws. */
function heard<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}

/** The lock keeps others from changing the settings until this batch is committed. */
async function shareState(client: MysqlClient, agreement: number): Promise<State> {
  const [row] = await client.all(`${SELECT_STATE} LOCK IN SHARE MODE`)
  if (row === undefined) throw new StoreRefused(BEING_ADOPTED)
  const state = toState(row)
  if (state.agreement !== agreement) throw new StoreRefused(AGREEMENT_REPLACED)
  return state
}

const INSERT_VIEWS = `INSERT INTO post_views (${KEPT_COLUMNS.join(', ')}) VALUES `

/** Inserts the rows with new ids, and yields those: some at a time, and the next ones are inserted while the caller works. */
async function* insertViews(
  client: MysqlClient,
  rows: readonly KeptRow[],
): AsyncGenerator<NumberedRow<KeptRow>[]> {
  let running: Promise<NumberedRow<KeptRow>[]> | undefined
  for (const part of partsOf(rows, VIEWS_AT_ONCE, viewText)) {
    const done = await running
    running = heard(insertNewViews(client, part))
    if (done !== undefined) yield done
  }
  if (running !== undefined) yield await running
}

async function insertNewViews(
  client: MysqlClient,
  { items, texts }: Part<KeptRow>,
): Promise<NumberedRow<KeptRow>[]> {
  for (let tries = 1; items.length > 0; tries++) {
    try {
      const { firstId } = await client.write(statement(INSERT_VIEWS, texts))
      // One INSERT takes the ids of all its rows at once, one after the other.
      return items.map((row, index) => ({ id: firstId + index * client.idStep, row }))
    } catch (error) {
      // Some ids existed before, or another consumer was quicker, and has committed by now.
      if (!(error instanceof DuplicateKey) || error.key !== 'uq_event_id') throw error
      if (tries === TRIES) throw new Overtaken('MySQL: other transactions kept inserting the same ids')
    }
    const known = await knownIds(client, items)
    const isNew = items.map(({ eventId }) => eventId === null || !known.has(eventId))
    items = items.filter((_, index) => isNew[index])
    texts = texts.filter((_, index) => isNew[index])
  }
  return []
}

async function knownIds(client: MysqlClient, rows: readonly KeptRow[]): Promise<Set<string>> {
  const known = new Set<string>()
  const withId = rows.filter(({ eventId }) => eventId !== null)
  for (const { items, texts } of partsOf(withId, KEYS_AT_ONCE, ({ eventId }) => uuidBytes(eventId))) {
    const uuidOf = new Map(items.map(({ eventId }) => [eventId!.replaceAll('-', '').toUpperCase(), eventId!]))
    const found = await client.all(
      `SELECT HEX(event_id) AS event_id FROM post_views WHERE event_id IN (${texts.join()})`,
    )
    for (const { event_id } of found) known.add(uuidOf.get(String(event_id))!)
  }
  return known
}

const WRITE_VALUE: Record<ColumnType, (value: KeptValue) => string> = {
  text: value => quoted(textOf(value)),
  digits: value => quoted(textOf(value)),
  number: String,
  flag: value => String(Number(value)),
  time: value => time(Number(value)),
  day: value => `'${value}'`,
  uuid: value => uuidBytes(textOf(value)),
  hash: value => bytes(String(value)),
}
const WRITERS = KEPT_NAMES.map(name => ({ name, write: WRITE_VALUE[KEPT[name].type] }))

function viewText(row: KeptRow): string {
  return `(${WRITERS.map(({ name, write }) => write(row[name])).join()})`
}

function textOf(value: KeptValue): string | null {
  return value === null ? null : String(value)
}

/**
 * Those days of the new rows for which batches do not list readers now.
 *
 * @throws {KeyReplaced} if a day was closed since its readers were hashed
 */
async function daysNotListed(
  client: MysqlClient,
  counts: BatchCounts,
  keys: ReadonlyMap<Day, string>,
): Promise<Day[]> {
  const days = counts.siteDays().map(({ day }) => day)
  if (days.length === 0) return []
  const rows = await client.all(
    `SELECT day, ${KEY_COLUMNS} FROM post_view_day_keys WHERE day IN (${days.map(day => `'${day}'`).join()})`,
  )
  const recorded = new Map(rows.map(row => [String(row['day']), row]))
  return days.filter(day => !listsReaders(recorded.get(day), day, keys.get(day)))
}

async function totalsOf(client: MysqlClient, posts: readonly PostCount[]): Promise<SqlRow[]> {
  const found: SqlRow[] = []
  for (const { texts } of partsOf(posts, KEYS_AT_ONCE, ({ postUuid }) => quoted(postUuid))) {
    found.push(
      ...(await client.all(
        `SELECT post_uuid, ${SEEN} AS seen FROM post_view_totals WHERE post_uuid IN (${texts.join()})`,
      )),
    )
  }
  return found
}

const INSERT_READERS = 'INSERT INTO post_view_visitors (post_uuid, day, slice, visitor, seen) VALUES '
/** Of readers who are listed: each of them was seen as both. */
const CHANGE_READERS = ` ON DUPLICATE KEY UPDATE seen = ${BOTH}`

// The readers who were listed before, among the readers of all rows from our first one on. A few of these rows may be other
// batches'.
const SELECT_LISTED = `
  SELECT listed.day, listed.post_uuid, listed.slice, LOWER(HEX(listed.visitor)) AS visitor, listed.seen AS seen
  FROM post_views AS own
  STRAIGHT_JOIN post_view_visitors AS listed
    ON listed.day = own.day AND listed.post_uuid = own.post_uuid
    AND listed.slice = own.slice AND listed.visitor = own.visitor
  WHERE own.id >= ?`

/** The readers who were listed before, and as what. */
async function listed(client: MysqlClient, firstId: number): Promise<(Reader & { before: number })[]> {
  // No row was new.
  if (firstId === 0) return []
  const found = await client.all(SELECT_LISTED, [firstId])
  return found.map(({ day, post_uuid, slice, visitor, seen }) => ({
    day: String(day),
    postUuid: String(post_uuid),
    slice: Number(slice),
    visitor: String(visitor),
    before: Number(seen),
  }))
}

const NOTE_UNPACKED = 'INSERT INTO post_view_unpacked (post_uuid, id) VALUES '

async function noteUnpacked(client: MysqlClient, rows: readonly NumberedRow[]): Promise<void> {
  const textOf = ({ id, row }: NumberedRow) => `(${quoted(row.postUuid)},${id})`
  for (const { texts } of partsOf(rows, READERS_AT_ONCE, textOf)) {
    await client.write(statement(NOTE_UNPACKED, texts))
  }
}

/** The statements of a batch, which `postviews schema` prints, in MariaDB's spelling; `…` stands for rows. */
export const STATEMENTS = [
  `${INSERT_VIEWS}…`,
  `${INSERT_READERS}…`,
  `${INSERT_READERS}…${CHANGE_READERS}`,
  `${NOTE_UNPACKED}…`,
  ...printedCounters({ isMysql: false }),
  takeTurn({ committedAt: 0, viewedAt: 0 }),
]

function readerText({ visitor, ...window }: Reader, seen: number): string {
  return `(${postDay(window)},${window.slice},${bytes(visitor)},${seen})`
}

/** @param fresh in the order in which they are kept */
async function listReaders(
  client: MysqlClient,
  fresh: readonly string[],
  changed: readonly string[],
): Promise<void> {
  try {
    for (const { texts } of partsOf(fresh, READERS_AT_ONCE, reader => reader)) {
      await client.write(statement(INSERT_READERS, texts))
    }
    for (const { texts } of partsOf(changed, READERS_AT_ONCE, reader => reader)) {
      await client.write(statement(INSERT_READERS, texts, CHANGE_READERS))
    }
  } catch (error) {
    // They were listed by a consumer of an earlier version, which takes no turns.
    throw error instanceof DuplicateKey
      ? new Overtaken('MySQL: another transaction inserted the same readers')
      : error
  }
}
