/** What the errors of a server and of its connection mean to the store. */

import pg from 'pg'
import { RowRejected, StoreBroken, StoreUnavailable } from '../failures.ts'
import { stepOf } from '../step.ts'

/** Another transaction blocked this one, which was rolled back: repeated at once, it may well succeed. */
export class Overtaken extends StoreUnavailable {}

/**
 * https://www.postgresql.org/docs/current/errcodes-appendix.html: classes, or single codes. All others (away, read-only, full,
 * killed, unknown to us) may pass or be repaired, and no view becomes a dead letter for them.
 */
const OVERTAKEN = ['40', '55P03']
/** Errors that a value causes: out of range, too long, a constraint or a trigger of the users' own. */
const VALUE_REFUSED = ['22', '23', 'P0001']
/** Errors that stay until somebody repairs the cause: no such user, database, table or column; not allowed; no such function. */
const BROKEN = ['28', '3D', '3F', '42', '0A', 'XX002']

/** Whether the error comes from the server; otherwise the connection failed. */
export function isServers(error: unknown): boolean {
  return error instanceof pg.DatabaseError
}

/** The server and the statement of a request. */
export interface Asked {
  /** `HOST:PORT`. */
  server: string
  sql: string
}

/** The server's messages quote values, so only the code is kept and, of the statement, what it does to which table. */
export function storeError(error: unknown, { server, sql }: Asked): Error {
  if (error instanceof StoreUnavailable || error instanceof RowRejected) return error
  const code = (error as { code?: string }).code ?? 'the connection broke'
  const step = stepOf(sql)
  const message = `PostgreSQL at ${server}: ${code}`
  const isOf = (codes: readonly string[]) => codes.some(one => code.startsWith(one))
  if (!isServers(error)) return new StoreUnavailable(`${message}, at ${step}`)
  if (isOf(OVERTAKEN)) return new Overtaken(`${message}, at ${step}`)
  if (isOf(VALUE_REFUSED)) return new RowRejected(`${message}, at ${step}`)
  return isOf(BROKEN) ? new StoreBroken(message, step) : new StoreUnavailable(`${message}, at ${step}`)
}
