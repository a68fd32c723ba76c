/** What the errors of a server and of its connection mean to the store. */

import { RowRejected, StoreUnavailable } from '../store.ts'

/** Another transaction was in the way, and this one is undone: done again at once it may well succeed. */
export class Overtaken extends StoreUnavailable {}

/** A row is there already, by this unique key. */
export class DuplicateKey extends RowRejected {
  readonly key: string

  constructor(message: string, key: string) {
    super(message)
    this.key = key
  }
}

// Deadlock, lock wait timeout, and (MariaDB) a record changed since it was read.
const OVERTAKEN = new Set([1213, 1205, 1020])

const DUPLICATE_ENTRY = 1062

/**
 * https://mariadb.com/kb/en/mariadb-error-codes/ and https://dev.mysql.com/doc/mysql-errors/8.0/en/: what is the fault
 * of a value. All else (away, read-only, full, killed, unknown to us) may pass or be mended, and no view becomes a dead letter for it.
 */
const VALUE_REFUSED = new Set([
  1048, // null where there must be a value
  1216, // foreign key of the users' own
  1264, // number out of range
  1265, // cut
  1292, // no such time
  1300, // bytes that are no text
  1366, // text the column cannot hold
  1367, // no such value of the type
  1406, // too long
  1411, // no such value of the type
  1452, // foreign key of the users' own
  3819, // check of the users' own (MySQL)
  3988, // text the column's character set lacks (MySQL)
  4025, // check of the users' own (MariaDB)
])

/**
 * The error of the store that an error of mysql2 is. The server's messages quote values, addresses and user names, and
 * mysql2 attaches the whole statement, so nothing is kept but the code.
 */
export function storeError(error: unknown): Error {
  const code = (error as { code?: string }).code ?? 'the connection broke'
  if (!isServers(error)) return new StoreUnavailable(`MySQL: ${code}`)
  const { errno, sqlMessage } = error
  const message = `MySQL: ${code} (${errno})`
  if (errno === DUPLICATE_ENTRY) return new DuplicateKey(message, keyOf(sqlMessage))
  if (OVERTAKEN.has(errno)) return new Overtaken(message)
  return VALUE_REFUSED.has(errno) ? new RowRejected(message) : new StoreUnavailable(message)
}

/** Whether the server has said so itself: otherwise the connection is what failed. */
export function isServers(error: unknown): error is { errno: number; sqlMessage: string } {
  return error instanceof Error && 'sqlMessage' in error && 'errno' in error
}

// "Duplicate entry '…' for key 'uq_event_id'"; MySQL 8 puts the table before the key.
function keyOf(message: string): string {
  return /'(?:[^'.]+\.)?([^'.]+)'$/.exec(message)?.[1] ?? ''
}
