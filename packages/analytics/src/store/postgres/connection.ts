/** Connections to a server: a pool of the library's, with the store's errors, transactions and patience. */

import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { StoreUnavailable } from '../failures.ts'
import { nameOf, type Server } from '../sql/server-address.ts'
import type { Dialect, SqlClient, SqlRow, SqlValue } from '../sql/sql.ts'
import { isServers, Overtaken, storeError } from './errors.ts'

export interface ConnectionsOptions {
  most: number
  /** A statement that takes longer is given up, and the connection with it: the server may be gone, or stopped. */
  statementLimitMs: number
}

export interface PostgresClient extends SqlClient {
  /** Values may be lists, for `unnest`. */
  rows(sql: string, values?: readonly unknown[]): Promise<SqlRow[]>
  /** Each row as an array of its columns. */
  arrays(sql: string, values?: readonly unknown[]): Promise<unknown[][]>
}

/** As long as it is out of the pool. */
interface PooledClient extends PostgresClient {
  isLost(): boolean
  /** It is not to be used again. */
  lose(): void
}

const CLOSED = 'PostgreSQL: the store is closed'
const CONNECT_LIMIT_MS = 10_000
const CLOSE_LIMIT_MS = 3_000
const END_LIMIT_MS = 2_000
/** Whatever the server or the database has by default: after a lock was waited for, what was committed meanwhile has to be seen. */
const BEGIN = 'BEGIN ISOLATION LEVEL READ COMMITTED'
const PATIENCE_MS = 30_000
const PAUSE_MS = 20
const INT8 = 20
const NUMERIC = 1700

const DIALECT: Dialect = {
  bytes: hex => `'\\x${hex}'::bytea`,
  hex: column => `UPPER(ENCODE(${column}, 'hex'))`,
  unhex: digits => `DECODE(${digits}, 'hex')`,
}

/** Counts and sums become numbers: they stay below 2^53. A user id may be greater; then it stays text. */
const TYPES = {
  getTypeParser: ((oid: number, format?: 'text') =>
    oid === INT8 || oid === NUMERIC
      ? toNumber
      : pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
}

function toNumber(text: string): number | string {
  const number = Number(text)
  return Number.isSafeInteger(number) ? number : text
}

export class PostgresConnections implements PostgresClient {
  readonly dialect = DIALECT
  readonly #server: string
  readonly #config: pg.ClientConfig
  readonly #pool: pg.Pool
  readonly #inUse = new Set<pg.PoolClient>()
  /** In hand and in line. */
  readonly #underWay = new Set<Promise<unknown>>()
  #closed: Promise<void> | undefined
  /** What was under way had its time. */
  #isOver = false

  constructor(server: Server, { most, statementLimitMs }: ConnectionsOptions) {
    this.#server = nameOf(server)
    const { host, port, user, password, database, tls } = server
    // As a function: where there is no password, pg would take one from the environment.
    const config = { host, port, user, password: () => password, database }
    this.#config = { ...config, ssl: tls === null ? false : { ...tls } }
    this.#pool = new pg.Pool({
      ...this.#config,
      max: most,
      connectionTimeoutMillis: CONNECT_LIMIT_MS,
      // The server ends the statement; where it hangs, the client does a little later.
      statement_timeout: statementLimitMs,
      query_timeout: statementLimitMs + 1_000,
      keepAlive: true,
      application_name: 'postviews',
      types: TYPES,
    })
    // A connection that is lost while nobody uses it: the next one who asks gets another.
    this.#pool.on('error', () => {})
  }

  rows(sql: string, values?: readonly unknown[]): Promise<SqlRow[]> {
    return this.#use(client => client.rows(sql, values))
  }

  arrays(sql: string, values?: readonly unknown[]): Promise<unknown[][]> {
    return this.#use(client => client.arrays(sql, values))
  }

  all(sql: string, values?: readonly SqlValue[]): Promise<SqlRow[]> {
    return this.#use(client => client.all(sql, values))
  }

  run(sql: string, values?: readonly SqlValue[]): Promise<number> {
    return this.#use(client => client.run(sql, values))
  }

  /** Runs `work` in a transaction. Where another was in the way, all of it is done again, for a while. */
  async transaction<T>(work: (client: PostgresClient) => Promise<T>, begin = BEGIN): Promise<T> {
    const giveUpAt = performance.now() + PATIENCE_MS
    for (let tries = 1; ; tries++) {
      try {
        return await this.#use(client => this.#transactionOn(client, work, begin))
      } catch (error) {
        if (!(error instanceof Overtaken) || performance.now() > giveUpAt) throw error
      }
      // By chance, so that two that met do not meet again.
      await sleep(Math.random() * PAUSE_MS * Math.min(tries, 10))
    }
  }

  /** Runs `work` on one connection: what it locks stays locked between its statements. */
  session<T>(work: (client: PostgresClient) => Promise<T>): Promise<T> {
    return this.#use(work)
  }

  /** Waits for what is being asked, but not for long; what comes later is refused. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const late = new AbortController()
    const patience = sleep(CLOSE_LIMIT_MS, undefined, { signal: late.signal }).catch(() => {})
    await Promise.race([Promise.allSettled(this.#underWay), patience])
    late.abort()
    // Callers that wait for an answer get an error. The server itself does not notice before its statement ends, so it is told.
    this.#isOver = true
    const left = [...this.#inUse]
    this.#inUse.clear()
    for (const client of left) client.release(true)
    // One that is still connecting ends by itself.
    const ended = Promise.all([this.#pool.end(), ...left.map(client => this.#cancel(client))])
    await Promise.race([ended, sleep(END_LIMIT_MS, undefined, { ref: false })])
  }

  async #cancel(client: pg.PoolClient): Promise<void> {
    const { processID } = client as pg.PoolClient & { processID: number | null }
    const other = new pg.Client({
      ...this.#config,
      connectionTimeoutMillis: END_LIMIT_MS,
      query_timeout: END_LIMIT_MS,
    })
    other.on('error', () => {})
    try {
      await other.connect()
      await other.query('SELECT pg_terminate_backend($1)', [processID])
    } catch {
      // It has ended by itself meanwhile, or the server does not answer: then this process is not what it waits for.
    } finally {
      await other.end().catch(() => {})
    }
  }

  async #transactionOn<T>(
    client: PooledClient,
    work: (client: PostgresClient) => Promise<T>,
    begin: string,
  ): Promise<T> {
    try {
      await client.run(begin)
      const result = await work(client)
      await client.run('COMMIT')
      return result
    } catch (error) {
      // The first error tells. A connection on which even this fails is not used again.
      if (!client.isLost()) await client.run('ROLLBACK').catch(client.lose)
      throw error
    }
  }

  #use<T>(work: (client: PooledClient) => Promise<T>): Promise<T> {
    if (this.#closed !== undefined) return Promise.reject(new StoreUnavailable(CLOSED))
    const done = this.#useOne(work).finally(() => this.#underWay.delete(done))
    this.#underWay.add(done)
    return done
  }

  async #useOne<T>(work: (client: PooledClient) => Promise<T>): Promise<T> {
    const client = await this.#pool.connect().catch(error => {
      throw storeError(error, { server: this.#server, sql: 'CONNECT' })
    })
    if (this.#isOver) {
      client.release(true)
      throw new StoreUnavailable(CLOSED)
    }
    this.#inUse.add(client)
    let isLost = false
    const lose = () => {
      isLost = true
    }
    client.on('error', lose)
    const ask = async (sql: string, values: readonly unknown[] = [], rowMode?: 'array') => {
      try {
        return await client.query({ text: numbered(sql), values: [...values], ...(rowMode && { rowMode }) })
      } catch (error) {
        // What the server has not said itself is the connection's end.
        if (!isServers(error)) isLost = true
        throw storeError(error, { server: this.#server, sql })
      }
    }
    try {
      return await work({
        dialect: DIALECT,
        isLost: () => isLost,
        lose,
        rows: async (sql, values) => (await ask(sql, values)).rows,
        arrays: async (sql, values) => (await ask(sql, values, 'array')).rows,
        all: async (sql, values) => (await ask(sql, values)).rows,
        run: async (sql, values) => (await ask(sql, values)).rowCount ?? 0,
      })
    } finally {
      client.off('error', lose)
      if (this.#inUse.delete(client)) client.release(isLost)
    }
  }
}

const texts = new Map<string, string>()

/** `$1`, `$2` for each `?`. No statement of ours has one within a literal. */
function numbered(sql: string): string {
  let text = texts.get(sql)
  if (text === undefined) {
    let number = 0
    text = sql.replace(/\?/g, () => `$${++number}`)
    if (texts.size >= 1_000) texts.clear()
    texts.set(sql, text)
  }
  return text
}
