/**
 * The thread that holds one SQLite connection. `node:sqlite` blocks the thread it runs in, so it runs in none that
 * has anything else to do.
 */

import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import type { Day } from '../calendar.ts'
import { KeyReplaced } from '../key-replaced.ts'
import type { SqlValue } from '../sql/sql.ts'
import { stepOf } from '../step.ts'
import { countWrittenBack, emptyLog, giveBack, markIn, prepareWriter, takeIntoUse } from './journal.ts'
import { Place } from './place.ts'
import { type RecordBatch, recordViews } from './record.ts'

/** What the thread is asked to do; each request is answered once, in order. */
export type Request =
  | { op: 'all'; sql: string; values: readonly SqlValue[] }
  | { op: 'run'; sql: string; values: readonly SqlValue[] }
  | { op: 'script'; sql: string }
  | ({ op: 'record' } & RecordBatch)
  /** Said once, before a writer does anything else in a file that is not new. */
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
  /** SQLite's extended result code, if SQLite it was. */
  code: number | null
  /** What it was at: see `stepOf`. */
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

/** How long a request waits for another process's once the connection is about to be closed. */
const HURRIED_BUSY_MS = 200

const { path, readOnly, headerOf, isHurried } = workerData as Opened
const statements = new Map<string, StatementSync>()
// Opened when it is first asked something, so that the thread is there by then.
const database = new DatabaseSync(path, { readOnly, timeout: 5_000, open: false })
/** Unknown while a new file is being made: nobody has acknowledged anything into it. */
let place: Place | undefined
/** The statement that ran last: what a failure is told to have been at. */
let latest = ''

function open(): void {
  database.open()
  try {
    if (!readOnly) prepareWriter(database)
    // KiB. What is read is in the system's own cache as well; what one batch writes should fit, with thousands of posts too.
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

function answer(request: Request): unknown {
  switch (request.op) {
    case 'all':
      return prepared(request.sql).all(...request.values)
    case 'run':
      return Number(prepared(request.sql).run(...request.values).changes)
    case 'script':
      // Of many statements SQLite does not say which it was.
      latest = request.sql.includes(';') ? '' : request.sql
      return database.exec(request.sql)
    case 'record':
      return recordViews(database, prepared, request)
    case 'takeIntoUse':
      latest = 'PRAGMA journal_mode'
      place = new Place(path, headerOf, takeIntoUse(database))
      return null
    case 'emptyLog':
      return emptyLog(database, path, request.beyondBytes)
    case 'mayBeCompleted':
      return place?.mayBeCompleted() ?? false
    case 'close':
      return request.givesBack ? giveBack(database, path) : database.close()
  }
}

/** What was written to a file that is gone is never answered as if it were kept. Of a transaction its end is. */
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
