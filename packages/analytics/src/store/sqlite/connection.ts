/** One SQLite connection in a thread of its own, which handles one request after the other. */

import { Worker } from 'node:worker_threads'
import { StoreUnavailable } from '../failures.ts'
import type { SqlClient, SqlRow, SqlValue } from '../sql/sql.ts'
import type { Recorded } from '../store.ts'
import { buffersOf } from './columns.ts'
import { storeError } from './errors.ts'
import { LOG_KEPT_BYTES } from './journal.ts'
import type { RecordBatch } from './record.ts'
import { SQLITE_DIALECT } from './texts.ts'
import type { Opened, Reply, Request } from './worker.ts'

interface Waiting {
  resolve(result: unknown): void
  reject(error: Error): void
}

export class SqliteConnection implements SqlClient {
  readonly dialect = SQLITE_DIALECT
  readonly #worker: Worker
  readonly #readOnly: boolean
  readonly #waiting = new Map<number, Waiting>()
  #lastId = 0
  #transactions = 0
  #lastTransaction: Promise<unknown> = Promise.resolve()
  #ended: Error | undefined
  #closed: Promise<unknown> | undefined
  /** Shared with the thread, which reads it before each request: a message would wait in line. */
  readonly #isHurried = new Int32Array(new SharedArrayBuffer(4))

  constructor(opened: Omit<Opened, 'isHurried'>) {
    this.#readOnly = opened.readOnly
    const workerData: Opened = { ...opened, isHurried: this.#isHurried }
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData })
    this.#worker.on('message', ({ id, reply }: { id: number; reply: Reply }) => {
      const waiting = this.#waiting.get(id)!
      this.#waiting.delete(id)
      if ('error' in reply) waiting.reject(storeError(reply.error, opened.path))
      else waiting.resolve(reply.result)
    })
    this.#worker.on('error', error => this.#end(error))
    this.#worker.on('exit', () => this.#end(new Error('the connection is closed')))
  }

  all(sql: string, values: readonly SqlValue[] = []): Promise<SqlRow[]> {
    return this.#askAlone({ op: 'all', sql, values }) as Promise<SqlRow[]>
  }

  run(sql: string, values: readonly SqlValue[] = []): Promise<number> {
    return this.#askAlone({ op: 'run', sql, values }) as Promise<number>
  }

  record(batch: RecordBatch): Promise<Recorded> {
    return this.#askAlone({ op: 'record', ...batch }, buffersOf(batch.columns)) as Promise<Recorded>
  }

  /** Runs `work` in a transaction that `begin` opens; nothing else uses the connection meanwhile. */
  transaction<T>(
    begin: 'BEGIN' | 'BEGIN IMMEDIATE' | 'BEGIN EXCLUSIVE',
    work: (client: SqlClient & { script(sql: string): Promise<void> }) => Promise<T>,
  ): Promise<T> {
    const client = {
      dialect: SQLITE_DIALECT,
      all: (sql: string, values: readonly SqlValue[] = []) =>
        this.#ask({ op: 'all', sql, values }) as Promise<SqlRow[]>,
      run: (sql: string, values: readonly SqlValue[] = []) =>
        this.#ask({ op: 'run', sql, values }) as Promise<number>,
      script: (sql: string) => this.#ask({ op: 'script', sql }) as Promise<void>,
    }
    this.#transactions++
    const done = this.#lastTransaction.then(async () => {
      await client.script(begin)
      try {
        const result = await work(client)
        await client.script('COMMIT')
        return result
      } catch (error) {
        // The caller gets the first error. If the ROLLBACK fails, SQLite has already rolled back by itself.
        await client.script('ROLLBACK').catch(() => {})
        throw error
      }
    })
    const end = () => {
      this.#transactions--
    }
    done.then(end, end)
    // The caller gets the error; the next in line only waits for the end.
    this.#lastTransaction = done.catch(() => {})
    return done
  }

  /** Must be the first request to a connection that writes. */
  async takeIntoUse(): Promise<void> {
    await this.#askAlone({ op: 'takeIntoUse' })
  }

  /** The writer calls this around a long read, during which the log may have grown. Returns the size of the log in bytes. */
  async shortenLog(): Promise<number> {
    return (await this.#askAlone({ op: 'emptyLog', beyondBytes: LOG_KEPT_BYTES })) as number
  }

  /** Whether `close` leaves the file whole. */
  async mayBeCompleted(): Promise<boolean> {
    if (this.#ended !== undefined) return false
    return (await this.#askAlone({ op: 'mayBeCompleted' })) as boolean
  }

  /** Whether nothing is under way and nothing waits. */
  get isIdle(): boolean {
    return this.#waiting.size === 0 && this.#transactions === 0
  }

  /** From now on the work in line hardly waits for other processes: the connection is about to be closed. */
  hurry(): void {
    Atomics.store(this.#isHurried, 0, 1)
  }

  /** Waits for the work in line: a statement of SQLite cannot be cut off, only the whole process. */
  close(): Promise<void> {
    return this.#close(!this.#readOnly)
  }

  /** Closes, and leaves file and log as they are. */
  abandon(): Promise<void> {
    return this.#close(false)
  }

  async #close(givesBack: boolean): Promise<void> {
    if (this.#ended !== undefined) return
    this.#closed ??= this.#askAlone({ op: 'close', givesBack })
    await this.#closed
  }

  // A request outside a transaction must not become part of one. It waits for nothing else, so that the thread has the next batch
  // ready when it finishes one.
  #askAlone(request: Request, handedOver: ArrayBuffer[] = []): Promise<unknown> {
    return this.#lastTransaction.then(() => this.#ask(request, handedOver))
  }

  #ask(request: Request, handedOver: ArrayBuffer[] = []): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#worker.postMessage({ id, request }, handedOver)
    })
  }

  #end(error: unknown): void {
    if (this.#ended !== undefined) return
    this.#ended = new StoreUnavailable('SQLite cannot be used', { cause: error })
    for (const { reject } of this.#waiting.values()) reject(this.#ended)
    this.#waiting.clear()
  }
}
