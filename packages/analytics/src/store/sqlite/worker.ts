/**
 * The thread that holds one SQLite connection. `node:sqlite` blocks the thread it runs in, so it runs in none that
 * has anything else to do.
 */

import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import type { Day } from '../days.ts'
import { KeyReplaced } from '../key-replaced.ts'
import type { SqlValue } from '../sql/sql.ts'
import { stepOf } from '../step.ts'
import { countWrittenBack, emptyLog, giveBack, markIn, prepareWriter, takeIntoUse } from './journal.ts'
import { Place } from './place.ts'
import { type RecordBatch, recordViews } from './record.ts'
import { KnownTexts } from './text-numbers.ts'
import { VIEW_NAMES } from './texts.ts'

/** What the thread is asked to do; each request is answered once, in order. */
export type Request =
  | { op: 'all'; sql: string; values: readonly SqlValue[] }
  | { op: 'run'; sql: string; values: readonly SqlValue[] }
  | { op: 'script'; sql: string }
  | ({ op: 'record' } & RecordBatch)
  /** Sent once, before a writer does anything else in a file that is not new. */
  | { op: 'takeIntoUse' }
  | { op: 'emptyLog'; beyondBytes: number }
  | { op: 'mayBeCompleted' }
  /** Without `givesBack` a log stays as it is. */
  | { op: 'close'; givesBack: boolean }

export type Reply = { result: unknown } | { error: SqliteFailure }

/** An error of SQLite, in a form that crosses threads. */
export interface SqliteFailure {
  name: string
  message: string
  /** SQLite's extended result code; null if the error is not SQLite's. */
  code: number | null
  /** The step that failed: see `stepOf`. */
  step: string
  /** Of `KeyReplaced`. */
  day?: Day
}

export interface Opened {
  path: string
  readOnly: boolean
  /** A descriptor of the file, for its header. */
  headerOf: number
  /** 1: see `SqliteConnection.hurry`. */
  isHurried: Int32Array<SharedArrayBuffer>
}

/** How long a request waits for another process once the connection is about to be closed. */
const HURRIED_BUSY_MS = 200
const BUSY_MS = 5_000

const CHANGES_VIEW = new RegExp(`^\\s*(?:INSERT INTO|UPDATE|DELETE FROM) (?:${VIEW_NAMES.join('|')})\\b`)

const { path, readOnly, headerOf, isHurried } = workerData as Opened
const statements = new Map<string, StatementSync>()
const knownTexts = new KnownTexts()
// Opened at the first request, so that the thread is running by then.
const database = new DatabaseSync(path, { readOnly, timeout: BUSY_MS, open: false })
/** Undefined while a new file is being made: nothing in it has been acknowledged yet. */
let place: Place | undefined
/**
 * Opened by a writer, and closed after it where file and log must stay as they are: the last connection of a file writes the log into
 * it, and removes the log, unless that connection only reads.
 */
let guard: DatabaseSync | undefined
/** The statement that ran last, for error messages. */
let latest = ''

function open(): void {
  database.open()
  try {
    if (!readOnly) prepareWriter(database)
    // KiB. The operating system caches what is read as well; what one batch writes should fit, even with thousands of posts.
    database.exec(`PRAGMA cache_size = ${readOnly ? -2_048 : -16_384}`)
    if (readOnly) place = new Place(path, headerOf, markIn(database))
  } catch (error) {
    database.close()
    throw error
  }
}

function prepared(sql: string): StatementSync {
  latest = sql
  let statement = statements.get(sql)
  if (statement === undefined) {
    statement = database.prepare(sql)
    // Statements with a list of values have a text for each length; keep the memory of them bounded.
    if (statements.size >= 200) statements.clear()
    statements.set(sql, statement)
  }
  return statement
}

function changesOf(sql: string, values: readonly SqlValue[]): number {
  // SQLite does not count what triggers change for a view.
  if (CHANGES_VIEW.test(sql)) return prepared(`${sql} RETURNING 1`).all(...values).length
  return Number(prepared(sql).run(...values).changes)
}

function answer(request: Request): unknown {
  switch (request.op) {
    case 'all':
      return prepared(request.sql).all(...request.values)
    case 'run':
      return changesOf(request.sql, request.values)
    case 'script':
      // With several statements, SQLite does not say which one failed.
      latest = request.sql.includes(';') ? '' : request.sql
      return database.exec(request.sql)
    case 'record':
      return recordViews(database, prepared, knownTexts, request)
    case 'takeIntoUse':
      latest = 'PRAGMA journal_mode'
      place = new Place(path, headerOf, takeIntoUse(database))
      guard = new DatabaseSync(path, { readOnly: true, timeout: BUSY_MS })
      guard.prepare('SELECT COUNT(*) FROM sqlite_schema').get()
      return null
    case 'emptyLog':
      return emptyLog(database, path, request.beyondBytes)
    case 'mayBeCompleted':
      return place?.mayBeCompleted() ?? false
    case 'close':
      return close(request.givesBack)
  }
}

function close(givesBack: boolean): void {
  if (givesBack) {
    guard?.close()
    giveBack(database, path)
  } else {
    database.close()
    guard?.close()
  }
}

/** A write into a file that is gone must never be answered as if it were kept. Inside a transaction only its end is checked. */
function answerInPlace(request: Request): unknown {
  if (!database.isOpen) {
    latest = 'PRAGMA busy_timeout'
    if (request.op === 'close') return null
    open()
  }
  if (Atomics.load(isHurried, 0) === 1) database.exec(`PRAGMA busy_timeout = ${HURRIED_BUSY_MS}`)
  if (request.op === 'close' || request.op === 'mayBeCompleted') return answer(request)
  if (!database.isTransaction) {
    place?.check()
    if (!readOnly && request.op !== 'all' && place?.isWrittenBack) {
      countWrittenBack(database, place.writtenBack)
      place.isWrittenBack = false
    }
  }
  const result = answer(request)
  if (!database.isTransaction) place?.check()
  return result
}

function failureOf(error: unknown): SqliteFailure {
  if (!(error instanceof Error))
    return { name: 'Error', message: String(error), code: null, step: stepOf(latest) }
  const code = 'errcode' in error ? Number(error.errcode) : null
  return {
    name: error.name,
    message: error.message,
    code,
    step: stepOf(latest),
    ...(error instanceof KeyReplaced && { day: error.day }),
  }
}

parentPort!.on('message', ({ id, request }: { id: number; request: Request }) => {
  let reply: Reply
  try {
    reply = { result: answerInPlace(request) }
  } catch (error) {
    reply = { error: failureOf(error) }
  }
  parentPort!.postMessage({ id, reply })
  if (request.op === 'close') parentPort!.close()
})
