/** One connection to a server, from its greeting to its end. It is never repaired: if it is over, the caller opens another. */

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

/** How long the server waits for a statement from us. Then it takes us for gone, ends the transaction and frees its locks. */
export const SERVER_WAITS_SECONDS = 30
const LOCK_WAIT_SECONDS = 10

/** How many rows `each` hands over at a time. */
const ROWS_HANDED_OVER = 1_000

/** Every statement of ours is shorter. Servers take 16 MB or more unless they are told to take less. */
const LEAST_PACKET_BYTES = 1_048_576

// Whatever the server's own configuration is: a value must be kept unchanged or refused, and no time may be shifted.
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
  /** The same connection, without promises: it hands over rows as they come. */
  readonly #core: CoreConnection
  readonly #socket: Socket
  readonly #statementLimitMs: number
  readonly #asked: Omit<Asked, 'sql'>
  #isMysql = false
  #idStep = 1
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
    // If the connection breaks while it is idle, nobody is told; the next caller opens another.
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

  /**
   * Checks the longest statement that the server takes: with too low a limit, it would break the connection in the middle of a
   * batch, and not say why.
   */
  async #meetServer(): Promise<void> {
    // MariaDB runs what follows `M!`; for MySQL it is a comment. The version does not help: it can be configured.
    const [row] = await this.all(
      'SELECT TRUE /*M! AND FALSE */ AS is_mysql, @@max_allowed_packet AS bytes, @@auto_increment_increment AS id_step',
    )
    this.#isMysql = Number(row!['is_mysql']) === 1
    this.#idStep = Number(row!['id_step'])
    const bytes = Number(row!['bytes'])
    if (bytes >= LEAST_PACKET_BYTES) return
    throw new StoreUnavailable(
      `MySQL at ${this.#asked.server}: max_allowed_packet is ${bytes}, but must be at least ${LEAST_PACKET_BYTES}: raise it on the server`,
    )
  }

  /** True for MySQL, false for MariaDB. */
  get isMysql(): boolean {
    return this.#isMysql
  }

  /** How far the ids of two rows of one INSERT are apart: more than 1 where several servers take turns. */
  get idStep(): number {
    return this.#idStep
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** The server's id of this connection. */
  get id(): number {
    return this.#connection.threadId
  }

  /** Call it when a piece of work begins. */
  begin(): void {
    this.#hasAnswered = false
  }

  /** The connection was lost before it answered anything of this work, most likely while it was idle. */
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
      // If the connection breaks, mysql2 tells only those who have passed a callback.
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

  /** Ends the connection in order, or destroys it if the server does not answer. */
  async end(): Promise<void> {
    const timer = setTimeout(() => this.destroy(), END_LIMIT_MS)
    // A failure does not matter: the connection is destroyed next.
    await this.#connection.end().catch(() => {})
    clearTimeout(timer)
    this.destroy()
  }

  /** Ends the connection at once. A caller that waits for an answer gets an error. */
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
      // An error that does not come from the server means that the connection is broken.
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
    // Our own socket, so that it can be destroyed: mysql2 only ends it, and waits for a server that may be gone.
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
    // A statement without values is complete: searching a megabyte for question marks would waste time.
    queryFormat: (sql: string, values: SqlValue[]) => (values.length > 0 ? format(sql, values) : sql),
  }
}
