/**
 * The part that no way of counting can avoid: inserts prepared raw rows into the raw table with its indexes, and nothing else. No
 * broker, no counters, no check whether an id was there before. Prints `BareInserted` as JSON.
 */

import { DatabaseSync } from 'node:sqlite'
import { createConnection, escape as literal } from 'mysql2/promise'
import pg from 'pg'
import type { KeptRow } from '../../packages/analytics/src/store/kept.ts'
import { BARE_TABLE } from '../databases.ts'
import { type EventsOptions, generateEvents } from '../events.ts'
import { cpuSeconds } from '../measure.ts'
import { rowMaker } from './rows.ts'

/** The only argument, as JSON. */
export interface BareInsertOptions {
  databaseUrl: string
  /** The database server; absent when there is none. */
  databasePid?: number
  rowsPerTransaction: number
  events: EventsOptions
}

export interface BareInserted {
  rows: number
  /** Measured after the first twentieth, as for every contender. */
  eventsPerSecond: number
  cpuMsPer1000: Record<string, number>
}

/** One transaction. Fulfilled when the rows are durable. */
type Insert = (rows: readonly KeptRow[]) => Promise<void>

const insertInto = (table: string) => `
  INSERT INTO ${table}
    (post_uuid, user_id, ip, user_agent, referer, viewed_at,
     event_id, received_at, day, slice, logged_in, bot, visitor, referer_host)
  VALUES `
/** The table of the articles, with what exact counting needs beside its columns: every text in every row. */
const CREATE_TEXTS = `
  CREATE TABLE ${BARE_TABLE} (
    id INTEGER PRIMARY KEY AUTOINCREMENT, post_uuid TEXT NOT NULL, user_id TEXT, ip TEXT, user_agent TEXT, referer TEXT,
    viewed_at INTEGER NOT NULL, event_id BLOB, received_at INTEGER, day TEXT, slice INTEGER, logged_in INTEGER, bot INTEGER,
    visitor BLOB, referer_host TEXT
  ) STRICT;
  CREATE INDEX bare_viewed_at ON ${BARE_TABLE} (viewed_at);
  CREATE UNIQUE INDEX bare_event_id ON ${BARE_TABLE} (event_id) WHERE event_id IS NOT NULL`
/**
 * The columns, partitions, order and fsync settings of `post_view_rows`. But duplicates are not merged, and no row keeps the
 * number of its block.
 */
const CREATE_PLAIN = `
  CREATE TABLE ${BARE_TABLE} AS post_view_rows
  ENGINE = MergeTree
  PARTITION BY hour
  ORDER BY (hour, post, id)
  SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1,
           min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1`
const INSERT_PLAIN = `
  INSERT INTO ${BARE_TABLE}
    (hour, post, id, version, has_id, post_name, user_id, ip, user_agent, referer, viewed_at, received_at, committed_at, day, slice,
     logged_in, bot, counts, visitor, referer_host)
  FORMAT JSONCompactEachRow`

/** The same number of rows per statement as the service uses. */
const ROWS_PER_STATEMENT = 500

// Adjacent events often share their second. The map has no more entries than the events have seconds.
const times = new Map<number, string>()

const options = JSON.parse(process.argv[2]!) as BareInsertOptions
const rows = [...generateEvents(options.events)].flatMap(rowMaker(() => '5a'.repeat(32)))
const { insert, close } = await engineOf(options.databaseUrl)
const inserted = await insertAll(insert)
await close()
console.log(JSON.stringify(inserted))

async function insertAll(insert: Insert): Promise<BareInserted> {
  const { rowsPerTransaction, databasePid } = options
  const cpu = () => ({
    ...(databasePid !== undefined && { database: cpuSeconds(databasePid) }),
    service: cpuSeconds(process.pid),
  })
  const warmRows = rows.length / 20
  let start: { row: number; atMs: number; cpu: Record<string, number> } | undefined
  for (let row = 0; row < rows.length; row += rowsPerTransaction) {
    if (start === undefined && row >= warmRows) start = { row, atMs: performance.now(), cpu: cpu() }
    await insert(rows.slice(row, row + rowsPerTransaction))
  }
  if (start === undefined) throw new Error('too few rows for transactions of this size')
  const seconds = (performance.now() - start.atMs) / 1_000
  const measured = rows.length - start.row
  const spent = Object.entries(cpu()).map(
    ([name, after]) => [name, ((after - start.cpu[name]!) * 1e6) / measured] as const,
  )
  return {
    rows: rows.length,
    eventsPerSecond: measured / seconds,
    cpuMsPer1000: Object.fromEntries(spent),
  }
}

interface Inserting {
  insert: Insert
  close(): Promise<void>
}

function engineOf(databaseUrl: string): Promise<Inserting> {
  if (databaseUrl.startsWith('sqlite:')) return sqlite()
  if (databaseUrl.startsWith('postgres:')) return postgres()
  return databaseUrl.startsWith('clickhouse:') ? clickhouse() : mariadb()
}

async function mariadb(): Promise<Inserting> {
  const connection = await createConnection({ uri: options.databaseUrl, timezone: 'Z' })
  return {
    async insert(rows) {
      let running: Promise<unknown> = connection.query('START TRANSACTION')
      for (let row = 0; row < rows.length; row += ROWS_PER_STATEMENT) {
        // Built while the server works on the previous statement.
        const statement =
          insertInto('post_views') +
          rows
            .slice(row, row + ROWS_PER_STATEMENT)
            .map(valuesText)
            .join()
        await running
        running = connection.query(statement)
      }
      await running
      await connection.query('COMMIT')
    },
    close: () => connection.end(),
  }
}

function time(unixSeconds: number): string {
  let text = times.get(unixSeconds)
  if (text === undefined) {
    text = `'${new Date(unixSeconds * 1_000).toISOString().slice(0, 19).replace('T', ' ')}'`
    times.set(unixSeconds, text)
  }
  return text
}

function valuesText(row: KeptRow): string {
  const text = (value: string | null) => (value === null ? 'NULL' : literal(value))
  return `('${row.postUuid}',${row.userId ?? 'NULL'},${text(row.ip)},${text(row.userAgent)},${text(row.referer)},${time(row.viewedAt)},x'${row.eventId!.replaceAll('-', '')}',${time(row.receivedAt)},'${row.day}',${row.slice},${Number(row.loggedIn)},${Number(row.bot)},x'${row.visitor}',${text(row.refererHost)})`
}

async function sqlite(): Promise<Inserting> {
  const database = new DatabaseSync(options.databaseUrl.slice('sqlite:'.length))
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
  database.exec(CREATE_TEXTS)
  const statement = database.prepare(`${insertInto(BARE_TABLE)}(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
  return {
    async insert(rows) {
      database.exec('BEGIN IMMEDIATE')
      for (const row of rows) {
        statement.run(
          row.postUuid,
          row.userId,
          row.ip,
          row.userAgent,
          row.referer,
          row.viewedAt,
          Buffer.from(row.eventId!.replaceAll('-', ''), 'hex'),
          row.receivedAt,
          row.day,
          row.slice,
          Number(row.loggedIn),
          Number(row.bot),
          Buffer.from(row.visitor, 'hex'),
          row.refererHost,
        )
      }
      database.exec('COMMIT')
    },
    close: async () => database.close(),
  }
}

/** Columns as arrays: the fastest way except COPY, which does not support ON CONFLICT. */
async function postgres(): Promise<Inserting> {
  const client = new pg.Client({ connectionString: options.databaseUrl })
  await client.connect()
  const lists = [
    'text[]',
    'numeric[]',
    ...Array.from({ length: 3 }, () => 'text[]'),
    'bigint[]',
    'bytea[]',
    'bigint[]',
    'text[]',
    ...Array.from({ length: 3 }, () => 'smallint[]'),
    'bytea[]',
    'text[]',
  ]
  const text = `${insertInto('post_views').replace('VALUES ', '')} SELECT * FROM unnest(${lists.map((type, index) => `$${index + 1}::${type}`).join(', ')})`
  const bytes = (hex: string) => Buffer.from(hex, 'hex')
  return {
    async insert(rows) {
      const values = [
        rows.map(row => row.postUuid),
        rows.map(row => row.userId),
        rows.map(row => row.ip),
        rows.map(row => row.userAgent),
        rows.map(row => row.referer),
        rows.map(row => row.viewedAt),
        rows.map(row => bytes(row.eventId!.replaceAll('-', ''))),
        rows.map(row => row.receivedAt),
        rows.map(row => row.day),
        rows.map(row => row.slice),
        rows.map(row => Number(row.loggedIn)),
        rows.map(row => Number(row.bot)),
        rows.map(row => bytes(row.visitor)),
        rows.map(row => row.refererHost),
      ]
      await client.query({ text, values })
    },
    close: () => client.end(),
  }
}

async function clickhouse(): Promise<Inserting> {
  const { host, pathname } = new URL(options.databaseUrl)
  const ask = async (query: string, body?: string) => {
    const search = new URLSearchParams({
      database: pathname.slice(1),
      query,
      async_insert: '0',
      max_partitions_per_insert_block: '0',
    })
    const response = await fetch(`http://${host}/?${search}`, { method: 'POST', body: body ?? '' })
    if (!response.ok) throw new Error(await response.text())
    await response.arrayBuffer()
  }
  await ask(CREATE_PLAIN)
  return {
    insert: rows => ask(INSERT_PLAIN, rows.map(lineText).join('\n')),
    close: async () => {},
  }
}

/** The service lets the server compute some values of a row (its version, 64 bits of a digest). Here they are ready-made numbers. */
function lineText(row: KeptRow): string {
  const { eventId, postUuid, userId, viewedAt, receivedAt, day, slice, loggedIn, bot, visitor } = row
  const [ip, userAgent, referer, host] = [row.ip, row.userAgent, row.referer, row.refererHost].map(text =>
    JSON.stringify(text),
  )
  const version = 2 ** 48 + 2 ** 33 - 1 - receivedAt
  return `[${Math.floor(viewedAt / 3_600)},"${postUuid}","${eventId}",${version},true,"",${userId},${ip},${userAgent},${referer},${viewedAt},${receivedAt},${receivedAt}000,"${day}",${slice},${Number(loggedIn)},${Number(bot)},1,${BigInt(`0x${visitor.slice(0, 16)}`)},${host}]`
}
