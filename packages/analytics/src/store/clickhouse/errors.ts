/** What the errors of a server and of the way to it mean to the store. */

import { ClickHouseError } from '@clickhouse/client'
import { RowRejected, StoreRefused, StoreUnavailable } from '../store.ts'

/**
 * https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp: what is the fault of a value. All else
 * (away, read-only, too many parts, out of memory or disk, unknown to us) may pass or be mended.
 */
const VALUE_REFUSED = new Set([
  6, // CANNOT_PARSE_TEXT
  26, // CANNOT_PARSE_QUOTED_STRING
  27, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
  38, // CANNOT_PARSE_DATE
  41, // CANNOT_PARSE_DATETIME
  53, // TYPE_MISMATCH
  69, // ARGUMENT_OUT_OF_BOUND
  72, // CANNOT_PARSE_NUMBER
  117, // INCORRECT_DATA
  131, // TOO_LARGE_STRING_SIZE
  321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
  349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
  376, // CANNOT_PARSE_UUID
])

/** UNKNOWN_TABLE: nobody has migrated this database, or not yet. */
export const UNKNOWN_TABLE = 60

/** The server has said so itself: it has done nothing, or no more than a part of what it was asked. */
export class ServerError extends StoreUnavailable {
  readonly code: number

  constructor(name: string, code: number) {
    super(`ClickHouse: ${name} (${code})`)
    this.code = code
  }
}

/**
 * The error of the store that an error of the client is. The server's messages quote values and statements, those of
 * the client addresses, so nothing is kept but the code. Only an insert of views can be refused for a value: anything else
 * that looks like it is a fault of ours, for which no view may become a dead letter.
 */
export function storeError(error: unknown, { ofViews = false }: { ofViews?: boolean } = {}): Error {
  if (error instanceof StoreUnavailable || error instanceof StoreRefused) return error
  if (error instanceof ClickHouseError) {
    const code = Number(error.code)
    const name = error.type ?? 'error'
    return ofViews && VALUE_REFUSED.has(code)
      ? new RowRejected(`ClickHouse: ${name} (${code})`)
      : new ServerError(name, code)
  }
  const code = (error as { code?: string }).code
  return new StoreUnavailable(`ClickHouse: ${code ?? 'no answer'}`)
}
