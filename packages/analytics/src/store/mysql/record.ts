/** A batch on its way into MySQL: ids, rows and counters in one transaction, in a few long statements. */

import type { Day } from '../calendar.ts'
import { BatchCounts, latestViewedAt } from '../counts.ts'
import { AGREEMENT_REPLACED, StoreRefused } from '../failures.ts'
import { BatchReaders, type Reader, type WindowReaders } from '../readers.ts'
import {
  type ColumnType,
  eachIdOnce,
  KEPT,
  KEPT_COLUMNS,
  KEPT_NAMES,
  type KeptRow,
  type KeptValue,
} from '../row.ts'
import { KEY_COLUMNS, listsReaders } from '../sql/batch-keys.ts'
import { type HostSearch, keptHosts } from '../sql/kept-hosts.ts'
import { rehearse } from '../sql/rehearsal.ts'
import { SELECT_STATE, type SqlRow, type State, toState } from '../sql/sql.ts'
import type { Batch } from '../sql/sql-store.ts'
import type { Recorded } from '../store.ts'
import type { MysqlClient, MysqlConnections } from './connection.ts'
import { counterStatements, knownPostDays, printedCounters, takeTurn } from './counters.ts'
import { DuplicateKey, Overtaken } from './errors.ts'
import { bytes, type Part, partsOf, postDay, quoted, statement, time, uuidBytes } from './text.ts'

/** What is said as long as the state is not written. */
export const BEING_ADOPTED = 'the tables are not adopted to the end: run `postviews migrate`'

const VIEWS_AT_ONCE = 500
const READERS_AT_ONCE = 2_500
// Below 1,000, from which on MariaDB turns a list into a table that it joins.
const KEYS_AT_ONCE = 900
const TRIES = 5

/**
 * Rows are inserted beside those of other batches; readers and counters are written one batch at a time. All batches
 * have hot posts and returning readers in common: without taking turns they wait for each other all the same, and then
 * do again what another was quicker with.
 */
export function recordViews(connections: MysqlConnections, batch: Batch): Promise<Recorded> {
  if (!batch.isRehearsal) return connections.transaction(client => recordOn(client, batch))
  return rehearse<MysqlClient>(
    work => connections.transaction(work),
    // Its keys are taken for the recorded ones.
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
  const counts = new BatchCounts(state.settings.bots)
  const readers = new BatchReaders()
  let firstId = 0
  for await (const inserted of insertViews(client, candidates)) {
    firstId ||= inserted.firstId
    for (const row of inserted.rows) {
      counts.add(row, false)
      if (counts.counts(row)) readers.add(row)
    }
  }
  for (const day of await daysNotListed(client, counts, keys)) readers.deleteDay(day)

  const known = await knownPostDays(client, counts.postDays())
  const kept = await keptHosts(state, counts, hostSearch(client))
  await client.write(takeTurn(progress))
  await removeListed(client, readers, firstId)
  const fresh: string[] = []
  for (const window of readers.windows()) {
    counts.addUnique(window.postUuid, window.day, window.visitors.size)
    fresh.push(...readerTexts(window))
  }
  // Each statement is made while the server works on the one before.
  let running: Promise<unknown> = heard(listReaders(client, fresh))
  for (const statement of counterStatements(client, counts, known, kept)) {
    await running
    running = heard(client.write(statement))
  }
  await running
  return { counted: counts.rows, duplicates: rows.length - counts.rows }
}

/** What fails before it is awaited fails there, and not as a rejection that nobody heard of. */
function heard<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}

/** As long as the batch lasts, nobody changes what is counted, and as what. */
async function shareState(client: MysqlClient, agreement: number): Promise<State> {
  const [row] = await client.all(`${SELECT_STATE} LOCK IN SHARE MODE`)
  if (row === undefined) throw new StoreRefused(BEING_ADOPTED)
  const state = toState(row)
  if (state.agreement !== agreement) throw new StoreRefused(AGREEMENT_REPLACED)
  return state
}

interface Inserted {
  rows: readonly KeptRow[]
  /** The number of the first; 0 when all were there before. */
  firstId: number
}

const INSERT_VIEWS = `INSERT INTO post_views (${KEPT_COLUMNS.join(', ')}) VALUES `

/** Keeps the rows whose ids are new, and tells which: some at a time, the next being written while one is worked on. */
async function* insertViews(client: MysqlClient, rows: readonly KeptRow[]): AsyncGenerator<Inserted> {
  let running: Promise<Inserted> | undefined
  for (const part of partsOf(rows, VIEWS_AT_ONCE, viewText)) {
    const done = await running
    running = heard(insertNewViews(client, part))
    if (done !== undefined) yield done
  }
  if (running !== undefined) yield await running
}

async function insertNewViews(client: MysqlClient, { items, texts }: Part<KeptRow>): Promise<Inserted> {
  for (let tries = 1; items.length > 0; tries++) {
    try {
      const { firstId } = await client.write(statement(INSERT_VIEWS, texts))
      return { rows: items, firstId }
    } catch (error) {
      // Some ids were there before, or another consumer was quicker: then it has committed by now.
      if (!(error instanceof DuplicateKey) || error.key !== 'uq_event_id') throw error
      if (tries === TRIES) throw new Overtaken('MySQL: ids kept coming in between')
    }
    const known = await knownIds(client, items)
    const isNew = items.map(({ eventId }) => eventId === null || !known.has(eventId))
    items = items.filter((_, index) => isNew[index])
    texts = texts.filter((_, index) => isNew[index])
  }
  return { rows: [], firstId: 0 }
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
 * The days of the new rows whose readers no batch lists for now.
 *
 * @throws {KeyReplaced} where a day was closed since its readers were hashed
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

function hostSearch(client: MysqlClient): HostSearch {
  const find = async (columns: string, table: string, keys: readonly string[]) => {
    const found: SqlRow[] = []
    for (const { texts } of partsOf(keys, KEYS_AT_ONCE, key => key)) {
      found.push(
        ...(await client.all(`SELECT ${columns} FROM ${table} WHERE (${columns}) IN (${texts.join()})`)),
      )
    }
    return found
  }
  return {
    posts: hosts =>
      find(
        'post_uuid, date, host',
        'post_view_referrers',
        hosts.map(count => `(${postDay(count)},${quoted(count.host)})`),
      ),
    site: hosts =>
      find(
        'date, host',
        'site_view_referrers',
        hosts.map(({ day, host }) => `('${day}',${quoted(host)})`),
      ),
  }
}

const INSERT_READERS = 'INSERT INTO post_view_visitors (post_uuid, day, slice, visitor) VALUES '

// The readers of the rows from ours on, a few of other batches' among them, that were listed before.
const SELECT_LISTED = `
  SELECT listed.day, listed.post_uuid, listed.slice, LOWER(HEX(listed.visitor)) AS visitor
  FROM post_views AS own
  STRAIGHT_JOIN post_view_visitors AS listed
    ON listed.day = own.day AND listed.post_uuid = own.post_uuid
    AND listed.slice = own.slice AND listed.visitor = own.visitor
  WHERE own.id >= ?`

/** Leaves those readers of the batch who were not listed before. */
async function removeListed(client: MysqlClient, readers: BatchReaders, firstId: number): Promise<void> {
  // No row was new.
  if (firstId === 0) return
  for (const { day, post_uuid, slice, visitor } of await client.all(SELECT_LISTED, [firstId])) {
    readers.delete({ day, postUuid: post_uuid, slice, visitor } as Reader)
  }
}

/** All of a batch, for `postviews schema`, as MariaDB spells it; `…` stands for rows. */
export const STATEMENTS = [
  `${INSERT_VIEWS}…`,
  `${INSERT_READERS}…`,
  ...printedCounters({ isMysql: false }),
  takeTurn({ committedAt: 0, viewedAt: 0 }),
]

/** In the order in which they are kept. */
function readerTexts({ day, postUuid, slice, visitors }: WindowReaders): string[] {
  const window = `${postDay({ postUuid, day })},${slice}`
  return [...visitors].sort().map(visitor => `(${window},${bytes(visitor)})`)
}

async function listReaders(client: MysqlClient, readers: readonly string[]): Promise<void> {
  try {
    for (const { texts } of partsOf(readers, READERS_AT_ONCE, reader => reader)) {
      await client.write(statement(INSERT_READERS, texts))
    }
  } catch (error) {
    // By a consumer of an earlier version, which takes no turns.
    throw error instanceof DuplicateKey ? new Overtaken('MySQL: readers were listed meanwhile') : error
  }
}
