/** What the errors of a server and of its connection mean to the store. */

import { RowRejected, StoreBroken, StoreUnavailable } from '../failures.ts'
import { stepOf } from '../step.ts'

/** Another transaction blocked this one, which was rolled back: repeated at once, it may well succeed. */
export class Overtaken extends StoreUnavailable {}

/** A row with the same values in this unique key exists already. */
export class DuplicateKey extends RowRejected {
  readonly key: string

  constructor(message: string, key: string) {
    super(message)
    this.key = key
  }
}

/** The user in the URL lacks a privilege; another user may have it. */
export class NotAllowed extends StoreBroken {}

/** A foreign key of the users' own prevents a change of a column. */
export class HeldByForeignKey extends StoreBroken {}

// Deadlock, lock wait timeout, and (MariaDB) a record changed since it was read.
const OVERTAKEN = new Set([1213, 1205, 1020])

const DUPLICATE_ENTRY = 1062

/**
 * https://mariadb.com/kb/en/mariadb-error-codes/ and https://dev.mysql.com/doc/mysql-errors/8.0/en/: errors that a value causes.
 * All others (away, read-only, full, killed, unknown to us) may pass or be repaired, and no view becomes a dead letter for them.
 */
const VALUE_REFUSED = new Set([
  1048, // null where there must be a value
  1216, // foreign key of the users' own
  1264, // number out of range
  1265, // data truncated
  1292, // no such time
  1300, // bytes that are not text
  1366, // text the column cannot hold
  1367, // no such value of the type
  1406, // too long
  1411, // no such value of the type
  1452, // foreign key of the users' own
  3819, // check of the users' own (MySQL)
  3988, // text the column's character set lacks (MySQL)
  4025, // check of the users' own (MariaDB)
])

const UNKNOWN_DATABASE = 1049

const NOT_ALLOWED = new Set([
  1142, // no privilege on the table
  1143, // no privilege on the column
])

const HELD_BY_FOREIGN_KEY = new Set([
  1832, // a column of the table
  1833, // a column that another table refers to
  3780, // the two columns would be incompatible (MySQL)
])

/**
 * From the same lists: errors that stay until somebody repairs the cause. A server that takes no writes (1290, 1792, 1836) is not
 * among them: it is about to become the primary, or under maintenance.
 */
const BROKEN = new Set([
  1044, // no privilege on the database
  1045, // wrong user or password
  1698, // the same, without a password
  1130, // this host may not connect
  3118, // the user is locked (MySQL)
  4151, // the user is locked (MariaDB)
  UNKNOWN_DATABASE,
  ...NOT_ALLOWED,
  ...HELD_BY_FOREIGN_KEY,
  1227, // no such privilege
  1370, // no privilege on the routine
  1054, // no such column
  1060, // the column is there already
  1061, // the key is there already
  1072, // no such column for a key
  1091, // no such column or key to drop
  1109, // no such table in the statement
  1146, // no such table
  1932, // no such table in the engine: its file is gone
  1347, // it is a table, or a view, where the other is needed
  1356, // the view refers to something that is gone
  1176, // no such key
  1064, // syntax
  1149, // syntax
  1128, // no such function that was loaded
  1305, // no such function or procedure
  1630, // no such function
  1136, // the number of values is not that of the columns
  1364, // a column of the users' own without a default
  1442, // a trigger of the users' own that writes to its own table
  1644, // a trigger of the users' own that raises an error
  1449, // the definer of a trigger or view is gone
  1115, // no such character set
  1273, // no such collation
  1286, // no such engine
  1193, // no such variable
  1231, // no such value of a variable
])

/** The server and the statement of a request. */
export interface Asked {
  /** `HOST:PORT`. */
  server: string
  database: string
  /** Null while connecting. */
  sql: string | null
}

/**
 * Converts an error of mysql2 to an error of the store. The server's messages quote values, addresses and user names, and mysql2
 * attaches the whole statement. So only the code is kept and, of the statement, what it does to which table.
 */
export function storeError(error: unknown, { server, database, sql }: Asked): Error {
  const code = (error as { code?: string }).code ?? 'the connection broke'
  const at = `MySQL at ${server}`
  const step = sql === null ? 'signing in' : stepOf(sql)
  if (!isServers(error)) return new StoreUnavailable(`${at}: ${code}, at ${step}`)
  const { errno, sqlMessage } = error
  const message = `${at}: ${code} (${errno})`
  const withStep = `${message}, at ${step}`
  if (errno === DUPLICATE_ENTRY) return new DuplicateKey(withStep, keyOf(sqlMessage))
  if (OVERTAKEN.has(errno)) return new Overtaken(withStep)
  if (VALUE_REFUSED.has(errno)) return new RowRejected(withStep)
  if (!BROKEN.has(errno)) return new StoreUnavailable(withStep)
  if (NOT_ALLOWED.has(errno)) return new NotAllowed(message, step)
  if (HELD_BY_FOREIGN_KEY.has(errno)) return new HeldByForeignKey(message, step)
  return errno === UNKNOWN_DATABASE
    ? new StoreBroken(
        `${at}: there is no database ${database} (${errno}): create it, then run \`postviews migrate\``,
        step,
      )
    : new StoreBroken(message, step)
}

/** Whether the error comes from the server; otherwise the connection failed. */
export function isServers(error: unknown): error is { errno: number; sqlMessage: string } {
  return error instanceof Error && 'sqlMessage' in error && 'errno' in error
}

// "Duplicate entry '…' for key 'uq_event_id'"; MySQL 8 puts the table before the key.
function keyOf(message: string): string {
  return /'(?:[^'.]+\.)?([^'.]+)'$/.exec(message)?.[1] ?? ''
}
