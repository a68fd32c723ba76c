/** The source of rankings on SQLite: a connection in their own thread, which blocks nobody else. */

import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { setImmediate as turn } from 'node:timers/promises'
import type { Day } from '../days.ts'
import {
  type Counted,
  type RankingMoment,
  type RankingSource,
  rowsOfPosts,
  type UsePosts,
} from '../sql/ranking-cache.ts'
import type { SqlValue } from '../sql/sql.ts'
import { stepOf } from '../step.ts'
import { storeError } from './errors.ts'
import { markIn } from './journal.ts'
import { Place } from './place.ts'

/** A file that a writer of this process has in use. */
export interface FileInUse {
  path: string
  /** A descriptor of the file, for its header. */
  headerOf: number
}

/** Takes some milliseconds, in which the thread can do nothing else. Page by page takes half the time of row by row. */
const ROWS_AT_ONCE = 5_000

export function openRankingSource(file: FileInUse): RankingSource {
  return new SqliteRankingSource(file)
}

class SqliteRankingSource implements RankingSource {
  readonly #file: FileInUse
  readonly #statements = new Map<string, StatementSync>()
  #database: DatabaseSync | undefined
  #place: Place | undefined
  #last: Promise<unknown> = Promise.resolve()
  #isClosed = false
  /** The latest statement, for error messages. */
  #latest = ''

  constructor(file: FileInUse) {
    this.#file = file
  }

  check(): void {
    this.#told(() => this.#place?.check())
  }

  snapshot<T>(work: (moment: RankingMoment) => Promise<T>): Promise<T> {
    const done = this.#last.then(() => this.#snapshot(work))
    // The caller gets the error; the next in line only waits for the end.
    this.#last = done.catch(() => {})
    return done
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#last
    this.#database?.close()
  }

  async #snapshot<T>(work: (moment: RankingMoment) => Promise<T>): Promise<T> {
    const database = this.#told(() => this.#begin())
    let result: T
    try {
      result = await work({
        rows: async (sql, values) => this.#told(() => this.#rows(database, sql, values)),
        posts: (day, counted, use) => this.#posts(database, { day, counted }, use),
      })
    } catch (error) {
      // The caller gets the first error. SQLite may have rolled back by itself.
      if (database.isTransaction) database.exec('ROLLBACK')
      throw error
    }
    this.#told(() => database.exec('COMMIT'))
    this.check()
    return result
  }

  #begin(): DatabaseSync {
    this.#assertOpen()
    this.#latest = 'BEGIN'
    const { path, headerOf } = this.#file
    if (this.#database === undefined) {
      const database = new DatabaseSync(path, { readOnly: true, timeout: 5_000 })
      try {
        // KiB. The operating system caches the file as well, and most pages are read once.
        database.exec('PRAGMA cache_size = -2048')
        this.#place = new Place(path, headerOf, markIn(database))
      } catch (error) {
        database.close()
        throw error
      }
      this.#database = database
    }
    this.#place?.check()
    this.#database.exec('BEGIN')
    return this.#database
  }

  async #posts(
    database: DatabaseSync,
    { day, counted }: { day: Day | null; counted: Counted },
    use: UsePosts,
  ): Promise<void> {
    const sql = `${rowsOfPosts(day, counted)} AND post_uuid > ? ORDER BY post_uuid LIMIT ${ROWS_AT_ONCE}`
    for (let after = ''; ; ) {
      const rows = this.#told(() => this.#rows(database, sql, day === null ? [after] : [day, after]))
      use(rows)
      if (rows.length < ROWS_AT_ONCE) return
      after = String(rows.at(-1)![0])
      await turn()
    }
  }

  #rows(database: DatabaseSync, sql: string, values: readonly SqlValue[]): unknown[][] {
    this.#assertOpen()
    this.#latest = sql
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = database.prepare(sql)
      statement.setReturnArrays(true)
      this.#statements.set(sql, statement)
    }
    return statement.all(...values) as unknown as unknown[][]
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new Error('the store is closed')
  }

  /** @throws {StoreUnavailable} */
  #told<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      const { name, message } = error as Error
      const code = (error as { errcode?: number }).errcode ?? null
      throw storeError({ name, message, code, step: stepOf(this.#latest) }, this.#file.path)
    }
  }
}
