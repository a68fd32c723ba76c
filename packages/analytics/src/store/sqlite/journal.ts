/**
 * How a file is taken into use, and given back whole. While it is in use its latest commits are in the log beside it
 * (`-wal`). Whoever closes it last writes them into the file and takes the log away: then the file alone is everything, and
 * its journal mode is `delete`, which is how the next to open it knows. Runs in the thread of a connection.
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
/** How long emptying the log may hold up those who write. */
const EMPTYING_MS = 500

// FULL: a commit that was answered is on the disk; in WAL mode NORMAL would lose it in a power cut. A new file has pages
// of 8 KiB, of which a batch touches fewer than of smaller ones. The log is written back when it holds 128 MB: with many posts
// each batch changes the same thousands of pages again, and so they are written back once for several batches.
const WRITER_SETTINGS = `
  PRAGMA busy_timeout = ${BUSY_MS};
  PRAGMA page_size = 8192;
  PRAGMA synchronous = FULL;
  PRAGMA wal_autocheckpoint = 16000;
  PRAGMA journal_size_limit = ${LOG_KEPT_BYTES};`

export function prepareWriter(database: DatabaseSync): void {
  database.exec(WRITER_SETTINGS)
}

/** Returns the file's mark, which its header holds until everybody has closed it: a random number. */
export function takeIntoUse(database: DatabaseSync): number {
  const startedAt = performance.now()
  while (journalMode(database) !== 'wal') {
    // The mark comes first, in the file itself: at no moment is there a file with a log and without its mark.
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
      if (mode !== 'wal') throw new Error(`the file system allows no WAL, only journal mode ${mode}`)
    } catch (error) {
      // For this switch SQLite does not wait until another process has let go of the file. BEGIN does, in the next turn.
      if (!isBusy(error) || performance.now() - startedAt > BUSY_MS) throw error
    }
  }
  return markIn(database)
}

/** As the connection sees it, with what is in the log. */
export function markIn(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA user_version').get()!['user_version'])
}

/**
 * Called after the log was written back, before anything else is committed: with what is written back next, the file
 * says once more that it was. The log is at most one ahead of the file.
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

/** As the connection sees it, with what is in the log. */
export function writtenBackIn(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA application_id').get()!['application_id'])
}

/** Closes the connection that writes, after those of its process that read: whatever was committed is in the file then. */
export function giveBack(database: DatabaseSync, path: string): void {
  try {
    // Only the last can: SQLite needs the file for itself alone. For the others there is nothing to wait for.
    database.exec('PRAGMA busy_timeout = 0')
    journalMode(database, 'DELETE')
  } catch {
    // Somebody else has it open: a process of ours, which does the same when it ends, or a shell, which does not.
    emptyLog(database, path, 0)
  } finally {
    database.close()
  }
}

/**
 * Writes the log into the file and cuts it to nothing, if it has more than `beyondBytes` and nobody needs it any more. Returns
 * how many bytes it has then.
 */
export function emptyLog(database: DatabaseSync, path: string, beyondBytes: number): number {
  const log = `${realPath(path)}-wal`
  const bytes = () => statSync(log, { throwIfNoEntry: false })?.size ?? 0
  if (bytes() <= beyondBytes) return bytes()
  // Nearly all of it beside those who write, and only the rest while they wait.
  const { log: pages, checkpointed } = database.prepare('PRAGMA wal_checkpoint(PASSIVE)').get() ?? {}
  // Somebody reads an older moment, which may take long: it cannot be cut, and nobody is made to wait for that.
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
