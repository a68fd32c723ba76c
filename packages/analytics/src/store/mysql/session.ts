/** One connection to a server, from its greeting to its end. It does not mend: who finds it over opens another. */

import { connect, isIP, type Socket } from 'node:net'
import {
  type Connection as CoreConnection,
  createConnection,
  format,
  type ResultSetHeader,
  type RowDataPacket,
} from 'mysql2'
import type { Connection, ConnectionOptions } from 'mysql2/promise'
import { StoreUnavailable } from '../failures.ts'
import { nameOf, type Server } from '../sql/server-address.ts'
import type { SqlValue } from '../sql/sql.ts'
import { stepOf } from '../step.ts'
import { type Asked, isServers, storeError } from './errors.ts'

const CONNECT_LIMIT_MS = 10_000
const END_LIMIT_MS = 1_000

/** So long the server waits for a word from us: then it takes us for gone, ends the transaction and frees its locks. */
export const SERVER_WAITS_SECONDS = 30
const LOCK_WAIT_SECONDS = 10

/** At a time, where they are used as they come. */
const ROWS_HANDED_OVER = 1_000

/** Every statement of ours is shorter. Servers take 16 MB or more unless they are told to take less. */
const LEAST_PACKET_BYTES = 1_048_576

// Whatever the server's own configuration, so that a value is kept as it is or refused, and a moment is a moment.
const SETTINGS = [
  'SET NAMES utf8mb4',
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  `SET SESSION
     time_zone = '+00:00',
     sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,ONLY_FULL_GROUP_BY,NO_ENGINE_SUBSTITUTION',
     autocommit = 1,
     wait_timeout = ${SERVER_WAITS_SECONDS},
     innodb_lock_wait_timeout = ${LOCK_WAIT_SECONDS},
     lock_wait_timeout = ${LOCK_WAIT_SECONDS}`,
]

export class Session {
  readonly #connection: Connection
  /** The same, without promises: it hands over rows as they come. */
  readonly #core: CoreConnection
  readonly #socket: Socket
  readonly #statementLimitMs: number
  readonly #asked: Omit<Asked, 'sql'>
  #isMysql = false
  #isOver = false
  #isLate = false
  #hasAnswered = false

  private constructor(
    core: CoreConnection,
    socket: Socket,
    asked: Omit<Asked, 'sql'>,
    statementLimitMs: number,
  ) {
    const connection = core.promise()
    this.#connection = connection
    this.#core = core
    this.#asked = asked
    this.#socket = socket
    this.#statementLimitMs = statementLimitMs
    // What breaks while nothing is asked of it is told to nobody; the next to ask opens another.
    connection.on('error', () => this.destroy())
    socket.on('close', () => this.destroy())
  }

  /** @throws {StoreUnavailable} */
  static async open(server: Server, statementLimitMs: number, signal?: AbortSignal): Promise<Session> {
    const asked = { server: nameOf(server), database: server.database }
    const socket = connect({ port: server.port, host: server.host, ...(signal && { signal }) })
    socket.setNoDelay(true)
    socket.setKeepAlive(true, CONNECT_LIMIT_MS)
    try {
      const core = createConnection(optionsFor(server, socket))
      await core.promise().connect()
      const session = new Session(core, socket, asked, statementLimitMs)
      for (const statement of SETTINGS) await session.write(statement)
      await session.#meetServer()
      return session
    } catch (error) {
      socket.destroy()
      throw error instanceof StoreUnavailable ? error : storeError(error, { ...asked, sql: null })
    }
  }

  /** A server that takes no long statements breaks the connection in the middle of a batch, and does not say why. */
  async #meetServer(): Promise<void> {
    // What stands behind M! is a comment to MySQL alone. A version says what somebody has configured it to say.
    const [row] = await this.all('SELECT TRUE /*M! AND FALSE */ AS is_mysql, @@max_allowed_packet AS bytes')
    this.#isMysql = Number(row!['is_mysql']) === 1
    const bytes = Number(row!['bytes'])
    if (bytes >= LEAST_PACKET_BYTES) return
    throw new StoreUnavailable(
      `MySQL at ${this.#asked.server}: max_allowed_packet is ${bytes}, and has to be ${LEAST_PACKET_BYTES} at least: raise it on the server`,
    )
  }

  /** MySQL; else MariaDB. */
  get isMysql(): boolean {
    return this.#isMysql
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** What the server calls this connection. */
  get id(): number {
    return this.#connection.threadId
  }

  /** Said when a piece of work begins. */
  begin(): void {
    this.#hasAnswered = false
  }

  /** It was lost before it answered anything of the work: most likely while nobody used it. */
  get wasLostBefore(): boolean {
    return this.#isOver && !this.#isLate && !this.#hasAnswered
  }

  async all(sql: string, values: readonly SqlValue[] = []): Promise<RowDataPacket[]> {
    const [rows] = await this.#ask(sql, () => this.#connection.query<RowDataPacket[]>(sql, [...values]))
    return rows
  }

  /** Hands over rows as they come, some at a time, each as an array of its columns. */
  async each(sql: string, values: readonly SqlValue[], use: (rows: unknown[][]) => void): Promise<void> {
    await this.#ask(sql, () => {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      let rows: unknown[][] = []
      const hand = () => {
        const some = rows
        rows = []
        use(some)
      }
      // A connection that breaks tells those alone who have called back.
      const broke = () => reject(new Error('the connection broke'))
      this.#socket.once('close', broke)
      this.#core
        .query({ sql, values: [...values], rowsAsArray: true })
        .on('result', (row: unknown[]) => {
          rows.push(row)
          if (rows.length >= ROWS_HANDED_OVER) hand()
        })
        .on('error', reject)
        .on('end', () => {
          hand()
          resolve()
        })
      return promise.finally(() => this.#socket.off('close', broke))
    })
  }

  async write(sql: string, values: readonly SqlValue[] = []): Promise<ResultSetHeader> {
    const [header] = await this.#ask(sql, () => this.#connection.query<ResultSetHeader>(sql, [...values]))
    return header
  }

  /** Says goodbye, unless nobody listens. */
  async end(): Promise<void> {
    const timer = setTimeout(() => this.destroy(), END_LIMIT_MS)
    // Whatever keeps it from ending well, it is over.
    await this.#connection.end().catch(() => {})
    clearTimeout(timer)
    this.destroy()
  }

  /** Ends it at once. Whoever waits for an answer hears that the connection is lost. */
  destroy(): void {
    this.#isOver = true
    this.#socket.destroy()
  }

  async #ask<T>(sql: string, question: () => Promise<T>): Promise<T> {
    const { server } = this.#asked
    if (this.#isOver) {
      throw new StoreUnavailable(`MySQL at ${server}: the connection is lost, at ${stepOf(sql)}`)
    }
    const timer = setTimeout(() => {
      this.#isLate = true
      this.destroy()
    }, this.#statementLimitMs)
    try {
      const answer = await question()
      this.#hasAnswered = true
      return answer
    } catch (error) {
      // What the server has not said itself is the connection's end.
      if (isServers(error)) this.#hasAnswered = true
      else this.destroy()
      throw this.#isLate
        ? new StoreUnavailable(
            `MySQL at ${server}: no answer within ${this.#statementLimitMs / 1_000} s, at ${stepOf(sql)}`,
          )
        : storeError(error, { ...this.#asked, sql })
    } finally {
      clearTimeout(timer)
    }
  }
}

function optionsFor(
  { host, port, user, password, database, tls }: Server,
  socket: Socket,
): ConnectionOptions {
  return {
    host,
    port,
    user,
    password,
    database,
    // Ours, so that it can be destroyed: mysql2 only ends it, and waits for a server that may be gone.
    stream: () => socket,
    connectTimeout: CONNECT_LIMIT_MS,
    // Certificates of MySQL servers seldom name an address; the authority still vouches for them.
    ...(tls && { ssl: { ...tls, rejectUnauthorized: true, verifyIdentity: isIP(host) === 0 } }),
    // affectedRows: rows that were changed, not those that were found.
    flags: ['-FOUND_ROWS', '-LOCAL_FILES'],
    timezone: 'Z',
    dateStrings: true,
    supportBigNumbers: true,
    trace: false,
    // A statement without values is complete: nobody needs to look through a megabyte of it for question marks.
    queryFormat: (sql: string, values: SqlValue[]) => (values.length > 0 ? format(sql, values) : sql),
  }
}
