/** What the errors of SQLite, and of the file system under it, mean to the store. */

import { RowRejected, StoreBroken, StoreMisplaced, StoreRefused, StoreUnavailable } from '../failures.ts'
import { KeyReplaced } from '../key-replaced.ts'
import type { SqliteFailure } from './worker.ts'

// https://www.sqlite.org/rescode.html: errors that a value causes, never a condition that passes.
const VALUE_REFUSED = new Set([
  18, // TOOBIG
  19, // CONSTRAINT
  20, // MISMATCH
])

/**
 * Extended result codes of errors that stay until somebody repairs the cause. All others (busy, locked, full, an I/O error,
 * unknown to us) may pass.
 */
const BROKEN = new Set([
  1, // ERROR: a syntax error; a table, column or function that is not there
  257, // ERROR_MISSING_COLLSEQ
  3, // PERM
  8, // READONLY
  1544, // READONLY_DIRECTORY: the log cannot be made
  11, // CORRUPT
  267, // CORRUPT_VTAB
  523, // CORRUPT_SEQUENCE
  779, // CORRUPT_INDEX
  22, // NOLFS
  23, // AUTH
  24, // FORMAT
  26, // NOTADB
])

/** https://man7.org/linux/man-pages/man3/errno.3.html: errors that stay as well. */
const FILE_BROKEN = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EISDIR', 'ELOOP', 'ENAMETOOLONG'])

/** Converts a failure in the thread of a connection to an error of the store. */
export function storeError({ name, message, code, day, step }: SqliteFailure, path: string): Error {
  if (name === 'StoreRefused') return new StoreRefused(message)
  if (name === 'StoreMisplaced') return new StoreMisplaced(`SQLite: ${message}`)
  if (day !== undefined) return new KeyReplaced(day)
  if (code !== null && VALUE_REFUSED.has(code & 0xff)) {
    return new RowRejected(`SQLite refuses a row: ${message}, at ${step}`)
  }
  const told = `SQLite at ${path}: ${message}`
  return code !== null && BROKEN.has(code)
    ? new StoreBroken(told, step)
    : new StoreUnavailable(`${told}, at ${step}`)
}

/** Converts an error of the file system to an error of the store. `what` completes "SQLite: PATH cannot be …". */
export function fileError(path: string, what: string, cause: unknown): StoreUnavailable {
  const message = `SQLite: ${path} cannot be ${what}`
  const code = (cause as NodeJS.ErrnoException).code ?? ''
  return FILE_BROKEN.has(code)
    ? new StoreBroken(message, 'opening the database file', { cause })
    : new StoreUnavailable(message, { cause })
}
