/**
 * Takes a file into use, and gives it back complete. While it is in use, its latest commits are in the log beside it (`-wal`).
 * The last process to close it writes them into the file and removes the log. Then the file alone is complete, and its journal
 * mode `delete` tells that to the next process. Runs in the thread of a connection.
 */

import { randomInt } from 'node:crypto'
import { statSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { realPath } from './place.ts'

/** A log that has grown beyond this is cut back to it as soon as no reader needs it. Somewhat more than a checkpoint leaves. */
export const LOG_KEPT_BYTES = 134_217_728

/** https://www.sqlite.org/rescode.html#busy */
const SQLITE_BUSY = 5
const BUSY_MS = 5_000
/** How long emptying the log may block writers. */
const EMPTYING_MS = 500

// FULL: an answered commit is on the disk; in WAL mode, NORMAL would lose it in a power cut. A new file has pages of 8 KiB: a
// batch touches fewer of them than of smaller ones. The log is written back when it holds 128 MB: with many posts, each batch
// changes the same thousands of pages again, so they are written back once for several batches.
const WRITER_SETTINGS = `
  PRAGMA busy_timeout = ${BUSY_MS};
  PRAGMA page_size = 8192;
  PRAGMA synchronous = FULL;
  PRAGMA wal_autocheckpoint = 16000;
  PRAGMA journal_size_limit = ${LOG_KEPT_BYTES};`

export function prepareWriter(database: DatabaseSync): void {
  database.exec(WRITER_SETTINGS)
}

/** Returns the file's mark: a random number that its header holds until everybody has closed it. */
export function takeIntoUse(database: DatabaseSync): number {
  const startedAt = performance.now()
  while (journalMode(database) !== 'wal') {
    // The mark is written first, into the file itself: so a file that has a log always has its mark.
    database.exec('BEGIN IMMEDIATE')
    try {
      // Unless another process was quicker: all have one mark.
      if (journalMode(database) !== 'wal') database.exec(`PRAGMA user_version = ${randomInt(1, 2 ** 31)}`)
      database.exec('COMMIT')
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK')
      throw error
    }
    try {
      const mode = journalMode(database, 'WAL')
      if (mode !== 'wal') throw new Error(`the file system does not support WAL, only journal mode ${mode}`)
    } catch (error) {
      // For this switch, SQLite does not wait until another process releases the file. BEGIN does, in the next turn.
      if (!isBusy(error) || performance.now() - startedAt > BUSY_MS) throw error
    }
  }
  return markIn(database)
}

/** As the connection sees it, including what is in the log. */
export function markIn(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA user_version').get()!['user_version'])
}

/**
 * Called after the log was written back, before anything else is committed: adds one to the count in the log, which reaches the
 * file with the next write-back. The log is at most one ahead of the file.
 *
 * @param inFile what the file's header says
 */
export function countWrittenBack(database: DatabaseSync, inFile: number): void {
  if (writtenBackIn(database) > inFile) return
  database.exec('BEGIN IMMEDIATE')
  try {
    // Unless another process was quicker.
    if (writtenBackIn(database) <= inFile) database.exec(`PRAGMA application_id = ${inFile + 1}`)
    database.exec('COMMIT')
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

/** As the connection sees it, including what is in the log. */
export function writtenBackIn(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA application_id').get()!['application_id'])
}

/** Closes the connection that writes, after the readers of its process: then everything that was committed is in the file. */
export function giveBack(database: DatabaseSync, path: string): void {
  try {
    // Only the last process can do this, because SQLite needs the file for itself. The others have nothing to wait for.
    database.exec('PRAGMA busy_timeout = 0')
    journalMode(database, 'DELETE')
  } catch {
    // Another process has it open: one of ours, which does the same when it ends, or a shell, which does not.
    emptyLog(database, path, 0)
  } finally {
    database.close()
  }
}

/**
 * Writes the log into the file and truncates it, if it is longer than `beyondBytes` and nobody needs it any more. Returns how
 * many bytes it has then.
 */
export function emptyLog(database: DatabaseSync, path: string, beyondBytes: number): number {
  const log = `${realPath(path)}-wal`
  const bytes = () => statSync(log, { throwIfNoEntry: false })?.size ?? 0
  if (bytes() <= beyondBytes) return bytes()
  // Writes nearly all of it while writers go on; they wait only for the rest.
  const { log: pages, checkpointed } = database.prepare('PRAGMA wal_checkpoint(PASSIVE)').get() ?? {}
  // A reader has an older snapshot, perhaps for long: the log cannot be truncated, and no writer should wait for that.
  if (Number(checkpointed) < Number(pages)) return bytes()
  database.exec(`PRAGMA busy_timeout = ${EMPTYING_MS}`)
  try {
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  } finally {
    database.exec(`PRAGMA busy_timeout = ${BUSY_MS}`)
  }
  return bytes()
}

function journalMode(database: DatabaseSync, wanted?: 'WAL' | 'DELETE'): string {
  const sql = `PRAGMA journal_mode${wanted === undefined ? '' : ` = ${wanted}`}`
  return String(database.prepare(sql).get()!['journal_mode'])
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === SQLITE_BUSY
}
