/** A connection that is opened when first needed, used for one piece of work at a time, and opened again if it was lost. */

import { setTimeout as sleep } from 'node:timers/promises'
import { StoreUnavailable } from '../failures.ts'
import type { Server } from '../sql/server-address.ts'
import { MYSQL_DIALECT, type SqlClient, type SqlRow, type SqlValue } from '../sql/sql.ts'
import { Overtaken } from './errors.ts'
import { SERVER_WAITS_SECONDS, Session } from './session.ts'

export interface MysqlClient extends SqlClient {
  /** True for MySQL, false for MariaDB. */
  isMysql: boolean
  /** How far the ids of two rows of one INSERT are apart. */
  idStep: number
  /** `firstId`: the first number that the statement gave to a row; 0 when it gave none. */
  write(sql: string, values?: readonly SqlValue[]): Promise<{ changed: number; firstId: number }>
  /** Hands over rows as they come, some at a time, each as an array of its columns. */
  each(sql: string, values: readonly SqlValue[], use: (rows: unknown[][]) => void): Promise<void>
  /** Ends the connection at once. The server then undoes what was not committed. */
  abandon(): void
}

export interface ConnectionOptions {
  /** A statement that takes longer is abandoned, and the connection with it: the server may be gone, or stopped. */
  statementLimitMs: number
}

/** A connection that was idle for longer is replaced: the server is about to end it, or ended it and could not tell us. */
const IDLE_LIMIT_MS = (SERVER_WAITS_SECONDS * 1_000) / 3
const PATIENCE_MS = 30_000
const CLOSE_LIMIT_MS = 3_000
const KILL_LIMIT_MS = 2_000
const CLOSED = 'MySQL: the store is closed'
const PAUSE_MS = 20

export class MysqlConnection implements SqlClient {
  readonly dialect = MYSQL_DIALECT
  readonly #server: Server
  readonly #options: ConnectionOptions
  #session: Session | undefined
  #usedAt = 0
  #idle: Promise<unknown> = Promise.resolve()
  #closed: Promise<void> | undefined
  readonly #givenUp = new AbortController()
  /** Pieces of work in hand and in line. */
  load = 0

  constructor(server: Server, options: ConnectionOptions) {
    this.#server = server
    this.#options = options
  }

  all(sql: string, values?: readonly SqlValue[]): Promise<SqlRow[]> {
    return this.#alone(session => session.all(sql, values))
  }

  run(sql: string, values?: readonly SqlValue[]): Promise<number> {
    return this.#alone(async session => (await session.write(sql, values)).affectedRows)
  }

  /** As `transactionOn`; nothing else uses the connection meanwhile. */
  transaction<T>(work: (client: MysqlClient) => Promise<T>): Promise<T> {
    return this.#alone(session => transactionOn(clientOf(session), work))
  }

  /** Runs `work` on one session: what it locks by name stays locked between its statements. */
  session<T>(work: (client: MysqlClient) => Promise<T>): Promise<T> {
    return this.#alone(session => work(clientOf(session)))
  }

  /** Gives the work in line a short time to end; new work is refused. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    let killed: Promise<void> | undefined
    const timer = setTimeout(() => {
      const session = this.#session
      if (session !== undefined && !session.isOver) killed = killStatement(this.#server, session.id)
      this.#givenUp.abort()
    }, CLOSE_LIMIT_MS)
    await this.#idle
    clearTimeout(timer)
    await Promise.all([killed, this.#session?.isOver === false ? this.#session.end() : undefined])
  }

  #alone<T>(work: (session: Session) => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) return Promise.reject(new StoreUnavailable(CLOSED))
    this.load++
    const done = this.#idle.then(async () => {
      try {
        return await this.#work(work)
      } finally {
        this.#usedAt = performance.now()
        this.load--
      }
    })
    // The caller gets the error; the next in line only waits for the end.
    this.#idle = done.catch(() => {})
    return done
  }

  async #work<T>(work: (session: Session) => Promise<T>): Promise<T> {
    if (this.#givenUp.signal.aborted) throw new StoreUnavailable(CLOSED)
    if (performance.now() - this.#usedAt > IDLE_LIMIT_MS) this.#session?.destroy()
    const used = this.#session
    if (used !== undefined && !used.isOver) {
      used.begin()
      try {
        return await work(used)
      } catch (error) {
        // No work begins with a statement that changes something, so it can begin again.
        if (!used.wasLostBefore) throw error
      }
    }
    if (this.#givenUp.signal.aborted) throw new StoreUnavailable(CLOSED)
    this.#session = await Session.open(this.#server, this.#options.statementLimitMs, this.#givenUp.signal)
    return work(this.#session)
  }
}

// A server that runs a statement does not notice that the client is gone, and may keep its locks for an hour.
async function killStatement(server: Server, id: number): Promise<void> {
  try {
    const session = await Session.open(server, KILL_LIMIT_MS, AbortSignal.timeout(KILL_LIMIT_MS))
    await session.write(`KILL ${id}`)
    await session.end()
  } catch {
    // The statement has already ended, or the server does not answer. Nothing more can be done from here.
  }
}

/** Runs `work` in a transaction. If another transaction blocked it, it is rolled back and repeated, for up to half a minute. */
export async function transactionOn<T>(
  client: MysqlClient,
  work: (client: MysqlClient) => Promise<T>,
): Promise<T> {
  const giveUpAt = performance.now() + PATIENCE_MS
  for (let tries = 1; ; tries++) {
    try {
      return await tryTransaction(client, work)
    } catch (error) {
      if (!(error instanceof Overtaken) || performance.now() > giveUpAt) throw error
    }
    // A random pause, so that two transactions that blocked each other do not meet again.
    await sleep(Math.random() * PAUSE_MS * Math.min(tries, 10))
  }
}

async function tryTransaction<T>(client: MysqlClient, work: (client: MysqlClient) => Promise<T>): Promise<T> {
  await client.write('START TRANSACTION')
  try {
    const result = await work(client)
    await client.write('COMMIT')
    return result
  } catch (error) {
    // The caller gets the first error. A transaction that is left open would be committed with the next.
    await client.write('ROLLBACK').catch(() => client.abandon())
    throw error
  }
}

function clientOf(session: Session): MysqlClient {
  return {
    dialect: MYSQL_DIALECT,
    isMysql: session.isMysql,
    idStep: session.idStep,
    all: (sql, values) => session.all(sql, values),
    run: async (sql, values) => (await session.write(sql, values)).affectedRows,
    write: async (sql, values) => {
      const { affectedRows, insertId } = await session.write(sql, values)
      return { changed: affectedRows, firstId: insertId }
    },
    each: (sql, values, use) => session.each(sql, values, use),
    abandon: () => session.destroy(),
  }
}

/** A few connections, for independent pieces of work. */
export class MysqlConnections implements SqlClient {
  readonly dialect = MYSQL_DIALECT
  readonly #connections: readonly MysqlConnection[]

  constructor(server: Server, count: number, options: ConnectionOptions) {
    this.#connections = Array.from({ length: count }, () => new MysqlConnection(server, options))
  }

  all(sql: string, values?: readonly SqlValue[]): Promise<SqlRow[]> {
    return this.#freest().all(sql, values)
  }

  run(sql: string, values?: readonly SqlValue[]): Promise<number> {
    return this.#freest().run(sql, values)
  }

  transaction<T>(work: (client: MysqlClient) => Promise<T>): Promise<T> {
    return this.#freest().transaction(work)
  }

  async close(): Promise<void> {
    await Promise.all(this.#connections.map(connection => connection.close()))
  }

  #freest(): MysqlConnection {
    return this.#connections.reduce((freest, each) => (each.load < freest.load ? each : freest))
  }
}
