/**
 * The thread that holds one SQLite connection. `node:sqlite` blocks the thread it runs in, so it runs in none that
 * has anything else to do.
 */

import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import type { Day } from '../calendar.ts'
import type { SqlValue } from '../sql/sql.ts'
import { KeyReplaced } from '../store.ts'
import { type RecordBatch, recordViews } from './record.ts'

/** What the thread is asked to do; each request is answered once, in order. */
export type Request =
  | { op: 'all'; sql: string; values: readonly SqlValue[] }
  | { op: 'run'; sql: string; values: readonly SqlValue[] }
  | { op: 'script'; sql: string }
  | ({ op: 'record' } & RecordBatch)
  | { op: 'close' }

export type Reply = { result: unknown } | { error: SqliteFailure }

/** An error of SQLite, in a form that crosses threads. */
export interface SqliteFailure {
  name: string
  message: string
  /** SQLite's extended result code, if SQLite it was. */
  code: number | null
  /** Of `KeyReplaced`. */
  day?: Day
}

// FULL: a commit that was answered is on the disk; in WAL mode NORMAL would lose it in a power cut. A new file has pages
// of 8 KiB, of which a batch touches fewer than of smaller ones. The log is written back when it holds 128 MB: with many posts
// each batch changes the same thousands of pages again, and so they are written back once for several batches.
const WRITER_SETTINGS = `
  PRAGMA page_size = 8192;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA wal_autocheckpoint = 16000;`

const { path, readOnly } = workerData as { path: string; readOnly: boolean }
const statements = new Map<string, StatementSync>()
const database = open()

function open(): DatabaseSync {
  const opened = new DatabaseSync(path, { readOnly, timeout: 5_000 })
  if (!readOnly) opened.exec(WRITER_SETTINGS)
  // KiB. What is read is in the system's own cache as well; what one batch writes should fit, with thousands of posts too.
  opened.exec(`PRAGMA cache_size = ${readOnly ? -2_048 : -16_384}`)
  return opened
}

function prepared(sql: string): StatementSync {
  let statement = statements.get(sql)
  if (statement === undefined) {
    statement = database.prepare(sql)
    // Statements with a list of values have a text for each length; keep the memory of them bounded.
    if (statements.size >= 200) statements.clear()
    statements.set(sql, statement)
  }
  return statement
}

function answer(request: Request): unknown {
  switch (request.op) {
    case 'all':
      return prepared(request.sql).all(...request.values)
    case 'run':
      return Number(prepared(request.sql).run(...request.values).changes)
    case 'script':
      return database.exec(request.sql)
    case 'record':
      return recordViews(database, prepared, request)
    case 'close':
      return database.close()
  }
}

function failureOf(error: unknown): SqliteFailure {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), code: null }
  const code = 'errcode' in error ? Number(error.errcode) : null
  return {
    name: error.name,
    message: error.message,
    code,
    ...(error instanceof KeyReplaced && { day: error.day }),
  }
}

parentPort!.on('message', ({ id, request }: { id: number; request: Request }) => {
  let reply: Reply
  try {
    reply = { result: answer(request) }
  } catch (error) {
    reply = { error: failureOf(error) }
  }
  parentPort!.postMessage({ id, reply })
  if (request.op === 'close') parentPort!.close()
})
