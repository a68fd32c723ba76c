/** Maps the errors of a server, and of the connection to it, to errors of the store. */

import { ClickHouseError } from '@clickhouse/client'
import { RowRejected, StoreBroken, StoreRefused, StoreUnavailable } from '../failures.ts'
import { stepOf } from '../step.ts'

/**
 * https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp: errors caused by a value. All others (away,
 * read-only, too many parts, out of memory or disk, unknown to us) may pass or be repaired.
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
export const THROWN_BY_THROW_IF = 395
export const UNKNOWN_TABLE = 60

const UNKNOWN_DATABASE = 81

/** From the same list: errors that stay until somebody repairs the cause. */
const BROKEN = new Set([
  8, // THERE_IS_NO_COLUMN
  10, // NOT_FOUND_COLUMN_IN_BLOCK
  16, // NO_SUCH_COLUMN_IN_TABLE
  20, // NUMBER_OF_COLUMNS_DOESNT_MATCH
  42, // NUMBER_OF_ARGUMENTS_DOESNT_MATCH
  43, // ILLEGAL_TYPE_OF_ARGUMENT
  46, // UNKNOWN_FUNCTION
  47, // UNKNOWN_IDENTIFIER
  48, // NOT_IMPLEMENTED
  50, // UNKNOWN_TYPE
  56, // UNKNOWN_STORAGE
  UNKNOWN_TABLE,
  62, // SYNTAX_ERROR
  UNKNOWN_DATABASE,
  115, // UNKNOWN_SETTING
  164, // READONLY: a setting of the user
  192, // UNKNOWN_USER
  193, // WRONG_PASSWORD
  194, // REQUIRED_PASSWORD
  195, // IP_ADDRESS_NOT_ALLOWED
  291, // DATABASE_ACCESS_DENIED
  497, // ACCESS_DENIED
  516, // AUTHENTICATION_FAILED
  701, // CLUSTER_DOESNT_EXIST
])

/** The server itself has answered with an error: it has done nothing, or only a part of what it was asked. */
export class ServerError extends StoreUnavailable {
  readonly code: number

  constructor(message: string, code: number) {
    super(message)
    this.code = code
  }
}

/** The same, for errors that no retry cures. */
export class ServerBroken extends StoreBroken {
  readonly code: number

  constructor(message: string, step: string, code: number) {
    super(message, step)
    this.code = code
  }
}

export function isServers(error: unknown): error is ServerError | ServerBroken {
  return error instanceof ServerError || error instanceof ServerBroken
}

/** Where something was asked, and what. */
export interface Asked {
  /** `HOST:PORT`. */
  server: string
  database: string
  sql: string
  /** An insert of views. */
  ofViews?: boolean
}

/**
 * Maps an error of the client to one of the store. The server's messages quote values and statements, the client's quote addresses,
 * so only the code and the kind of statement are kept. Only an insert of views can be refused for a value: anywhere else such an
 * error is a fault of ours, for which no view may become a dead letter.
 */
export function storeError(error: unknown, { server, database, sql, ofViews = false }: Asked): Error {
  if (error instanceof StoreUnavailable || error instanceof StoreRefused) return error
  const step = stepOf(sql)
  if (error instanceof ClickHouseError) {
    const code = Number(error.code)
    const name = error.type ?? 'error'
    const message = `ClickHouse at ${server}: ${name} (${code})`
    if (ofViews && VALUE_REFUSED.has(code)) return new RowRejected(`${message}, at ${step}`)
    if (!BROKEN.has(code)) return new ServerError(`${message}, at ${step}`, code)
    const why = code === UNKNOWN_DATABASE ? `: there is no database ${database}: create it` : ''
    return new ServerBroken(`${message}${why}`, step, code)
  }
  const code = (error as { code?: string }).code
  return new StoreUnavailable(`ClickHouse at ${server}: ${code ?? 'no answer'}, at ${step}`)
}
