/** A pool of connections to PostgreSQL. It throws the store's errors, and repeats a transaction that another one blocked. */

import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { StoreUnavailable } from '../failures.ts'
import { nameOf, type Server } from '../sql/server-address.ts'
import type { Dialect, SqlClient, SqlRow, SqlValue } from '../sql/sql.ts'
import { arrayText } from './array.ts'
import { isServers, Overtaken, storeError } from './errors.ts'

export interface ConnectionsOptions {
  most: number
  /** A statement that takes longer fails, and its connection is closed: the server may be gone, or stopped. */
  statementLimitMs: number
}

export interface PostgresClient extends SqlClient {
  /** Values may be lists, for `unnest`. */
  rows(sql: string, values?: readonly unknown[]): Promise<SqlRow[]>
  /** Each row as an array of its columns. */
  arrays(sql: string, values?: readonly unknown[]): Promise<unknown[][]>
}

/** A client while it is taken out of the pool. */
interface PooledClient extends PostgresClient {
  isLost(): boolean
  /** Marks the connection as broken: it is closed instead of going back to the pool. */
  lose(): void
}

const CLOSED = 'PostgreSQL: the store is closed'
const CONNECT_LIMIT_MS = 10_000
const CLOSE_LIMIT_MS = 3_000
const END_LIMIT_MS = 2_000
/** Named, because the server may have another default: a statement that waited for a lock must see what was committed meanwhile. */
const BEGIN = 'BEGIN ISOLATION LEVEL READ COMMITTED'
const PATIENCE_MS = 30_000
const PAUSE_MS = 20
const INT8 = 20
const NUMERIC = 1700

const DIALECT: Dialect = {
  bytes: hex => `'\\x${hex}'::bytea`,
  hex: column => `UPPER(ENCODE(${column}, 'hex'))`,
  unhex: digits => `DECODE(${digits}, 'hex')`,
  post: 'post_uuid',
  postKey: text => text,
  text: 'TEXT',
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
  /** Calls that have a connection, and calls that wait for one. */
  readonly #underWay = new Set<Promise<unknown>>()
  #closed: Promise<void> | undefined
  /** Set when `close` stops waiting for calls: a connection that is made after that is closed at once. */
  #isOver = false

  constructor(server: Server, { most, statementLimitMs }: ConnectionsOptions) {
    this.#server = nameOf(server)
    const { host, port, user, password, database, tls } = server
    // A function, because pg looks for a password in the environment when it is given none.
    const config = { host, port, user, password: () => password, database }
    this.#config = { ...config, ssl: tls === null ? false : { ...tls } }
    this.#pool = new pg.Pool({
      ...this.#config,
      max: most,
      connectionTimeoutMillis: CONNECT_LIMIT_MS,
      // The server ends a statement that takes too long. If the server hangs, the client gives up a second later.
      statement_timeout: statementLimitMs,
      query_timeout: statementLimitMs + 1_000,
      keepAlive: true,
      application_name: 'postviews',
      types: TYPES,
    })
    // The pool reports idle connections that break, and replaces them by itself. Without a listener the process would end.
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

  /** Runs `work` in a transaction. If another transaction blocked it, it is rolled back and repeated, for up to half a minute. */
  async transaction<T>(work: (client: PostgresClient) => Promise<T>, begin = BEGIN): Promise<T> {
    const giveUpAt = performance.now() + PATIENCE_MS
    for (let tries = 1; ; tries++) {
      try {
        return await this.#use(client => this.#transactionOn(client, work, begin))
      } catch (error) {
        if (!(error instanceof Overtaken) || performance.now() > giveUpAt) throw error
      }
      // A random pause, so that two transactions that blocked each other do not start together again.
      await sleep(Math.random() * PAUSE_MS * Math.min(tries, 10))
    }
  }

  /** Runs `work` on one connection: what it locks stays locked between its statements. */
  session<T>(work: (client: PostgresClient) => Promise<T>): Promise<T> {
    return this.#use(work)
  }

  /** Waits a few seconds for the calls that have begun, then ends them. New calls are refused. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const late = new AbortController()
    const patience = sleep(CLOSE_LIMIT_MS, undefined, { signal: late.signal }).catch(() => {})
    await Promise.race([Promise.allSettled(this.#underWay), patience])
    late.abort()
    // Closing a connection gives its caller an error. But PostgreSQL goes on with the statement and notices the closed connection only
    // afterwards, so each statement is also cancelled on the server.
    this.#isOver = true
    const left = [...this.#inUse]
    this.#inUse.clear()
    for (const client of left) client.release(true)
    // A connection that is still being made is closed in `#useOne`.
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
      // The statement has already ended, or the server does not answer. Nothing more can be done from here.
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
      // The caller gets the first error. If even the rollback fails, the connection is broken.
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
        return await client.query({
          text: numbered(sql),
          values: values.map(bound),
          ...(rowMode && { rowMode }),
        })
      } catch (error) {
        // An error that does not come from the server means that the connection is broken.
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

function bound(value: unknown): unknown {
  return Array.isArray(value) ? arrayText(value) : value
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
