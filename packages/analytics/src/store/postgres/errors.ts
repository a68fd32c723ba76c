/** What the errors of a server and of its connection mean to the store. */

import pg from 'pg'
import { RowRejected, StoreBroken, StoreUnavailable } from '../failures.ts'
import { stepOf } from '../step.ts'

/** Another transaction was in the way, and this one is undone: done again at once it may well succeed. */
export class Overtaken extends StoreUnavailable {}

/**
 * https://www.postgresql.org/docs/current/errcodes-appendix.html. A class, or one code of it. All else (away, read-only, full,
 * killed, unknown to us) may pass or be mended, and no view becomes a dead letter for it.
 */
const OVERTAKEN = ['40', '55P03']
/** What is the fault of a value: out of range, too long, a constraint or a trigger of the users' own. */
const VALUE_REFUSED = ['22', '23', 'P0001']
/** What stays as it is until somebody mends it: no such user, database, table or column; not allowed; no such function. */
const BROKEN = ['28', '3D', '3F', '42', '0A', 'XX002']

/** Whether the server has said so itself: otherwise the connection is what failed. */
export function isServers(error: unknown): boolean {
  return error instanceof pg.DatabaseError
}

/** Where something was asked, and what. */
export interface Asked {
  /** `HOST:PORT`. */
  server: string
  sql: string
}

/** The server's messages quote values, so nothing is kept but the code; of the statement, what it does to which table. */
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
