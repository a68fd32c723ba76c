/**
 * Counts one day again from its raw rows, to compare with what is stored. A day may be big, so both sides are kept in a temporary
 * SQLite database on disk, not as objects, and are read from there in the order of their keys.
 */

import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { setImmediate as others } from 'node:timers/promises'
import type { Day } from '../days.ts'
import type { Derived, RawRow } from '../derive-again.ts'
import { differences } from '../differences.ts'
import {
  DETAILS,
  type DetailName,
  eachDetail,
  isOfBots,
  SUMMED,
  SUMMED_NAMES,
  UNIQUE_NAMES,
} from '../figures.ts'
import { BOT, BOTH, NOT_NOTED, newlyUnique, PERSON } from '../readers.ts'
import { DAY_COLUMNS, isTime } from './figure-columns.ts'
import {
  boundsOf,
  type Pair,
  rowsOfDay,
  type StoredAggregate,
  SumOfAggregates,
  toStored,
  type VisitorKey,
} from './recount.ts'
import { isBeingReopened, rowsBetween } from './rows.ts'
import { figure, placeholders, type SqlClient, type SqlEngine, type SqlRow, type SqlValue } from './sql.ts'

const AT_ONCE = 5_000

// No journal and no sync: nobody else reads this database, and nobody needs it after a crash.
const TABLES = `
  PRAGMA journal_mode = OFF;
  PRAGMA synchronous = OFF;
  PRAGMA cache_size = -65536;
  CREATE TABLE posts (
    post TEXT PRIMARY KEY,
    has_rows INTEGER NOT NULL DEFAULT 0, own_views INTEGER NOT NULL DEFAULT 0, adopted_rows INTEGER NOT NULL DEFAULT 0,
    ${DETAILS.map(name => `seen_${name} INTEGER NOT NULL DEFAULT 0`).join(', ')},
    first_seen INTEGER, last_seen INTEGER,
    is_stored INTEGER NOT NULL DEFAULT 0, baseline, ${DAY_COLUMNS.join(', ')}
  ) WITHOUT ROWID;
  CREATE TABLE readers (
    post TEXT NOT NULL, slice INTEGER NOT NULL, visitor BLOB NOT NULL,
    seen INTEGER NOT NULL, listed INTEGER,
    PRIMARY KEY (post, slice, visitor)
  ) WITHOUT ROWID;
  BEGIN;`

// Answers as what the reader was seen so far; nothing, if that is not new.
const SEE_READER = `
  INSERT INTO readers (post, slice, visitor, seen) VALUES (?, ?, ?, ?)
  ON CONFLICT DO UPDATE SET seen = ${BOTH} WHERE seen & excluded.seen = 0
  RETURNING seen`

const LIST_READER = `
  INSERT INTO readers (post, slice, visitor, seen, listed) VALUES (?, ?, ?, 0, ?)
  ON CONFLICT DO UPDATE SET listed = excluded.listed`

/** As SQL: whether bots are told from people in what is stored of the post; if not, it was counted before they were. */
const IS_TOLD = 'posts.unique_views IS NULL OR posts.bot_unique_views IS NOT NULL'

const SUMS = ['own_views', 'adopted_rows', ...DETAILS.map(name => `seen_${name}`)]

const ADD_POST = `
  INSERT INTO posts (post, has_rows, ${SUMS.join(', ')}, first_seen, last_seen)
  VALUES (?, 1, ${placeholders(SUMS.length)}, ?, ?)
  ON CONFLICT DO UPDATE SET
    ${SUMS.map(column => `${column} = ${column} + excluded.${column}`).join(', ')},
    first_seen = COALESCE(MIN(first_seen, excluded.first_seen), first_seen, excluded.first_seen),
    last_seen  = COALESCE(MAX(last_seen, excluded.last_seen), last_seen, excluded.last_seen)`

const STORED = ['baseline', ...DAY_COLUMNS] as const

const STORE_POST = `
  INSERT INTO posts (post, is_stored, ${STORED.join(', ')})
  VALUES (?, 1, ${placeholders(STORED.length)})
  ON CONFLICT DO UPDATE SET
    is_stored = 1, ${STORED.map(column => `${column} = excluded.${column}`).join(', ')}`

/** As what a reader is listed: see readers.ts. */
export interface Listed {
  seen: number
}

/** What some rows of a post add. */
interface Seen extends Record<DetailName, number> {
  own: number
  adopted: number
  first: number | null
  last: number | null
}

export class DayRecount {
  readonly #engine: SqlEngine
  readonly #countsAnew: boolean
  readonly #database = new DatabaseSync('')
  readonly #see: StatementSync
  readonly #listReader: StatementSync
  readonly #addPost: StatementSync
  readonly #storePost: StatementSync
  /** Whether the day that was read is being opened again: then its unique views are taken as stored. */
  isBeingReopened = false

  /** @param countsAnew whether figures that were not counted with the day are to be counted now */
  constructor(engine: SqlEngine, countsAnew: boolean) {
    this.#engine = engine
    this.#countsAnew = countsAnew
    this.#database.exec(TABLES)
    this.#see = this.#database.prepare(SEE_READER)
    this.#listReader = this.#database.prepare(LIST_READER)
    this.#addPost = this.#database.prepare(ADD_POST)
    this.#storePost = this.#database.prepare(STORE_POST)
  }

  /**
   * Reads all data of the day; `client` must read one snapshot. `look` receives every row whose moment lies on the day, whichever
   * day the row was counted on. It is called after each step, at last without rows.
   */
  async read(
    client: SqlClient,
    day: Day,
    { readersAreListed, look }: { readersAreListed: boolean; look: (rows: readonly RawRow[]) => void },
  ): Promise<void> {
    this.isBeingReopened = await isBeingReopened(client, day)
    this.#database.exec('DELETE FROM posts; DELETE FROM readers')
    const { start, end } = boundsOf(this.#engine, day)
    for await (const rows of rowsBetween(this.#engine, client, start, end)) {
      this.#add(rows.filter(({ derived }) => derived.day === day))
      look(rows)
    }
    // Rows that were counted on this day in an old zone, or by mistake.
    const { from, to } = rowsOfDay(this.#engine, day)
    for (const [first, last] of [
      [from, start],
      [end, to],
    ] as const) {
      const counted = { where: 'day = ?', values: [day] }
      for await (const rows of rowsBetween(this.#engine, client, first, last, counted)) {
        this.#add(rows)
        look([])
      }
    }
    for await (const rows of storedAggregates(this.#engine, client, day)) {
      for (const row of rows) {
        this.#storePost.run(
          String(row['post_uuid']),
          ...STORED.map(column => (isTime(column) ? (row[column] as SqlValue) : figure(row[column]))),
        )
      }
      look([])
    }
    if (!readersAreListed) return
    for await (const rows of listedReaders(client, day)) {
      for (const { post, slice, visitor, seen } of rows) {
        this.#listReader.run(post, slice, Buffer.from(visitor, 'hex'), seen)
      }
      look([])
    }
  }

  #add(rows: readonly RawRow[]): void {
    const excludesBots = this.#engine.settings.bots === 'exclude'
    const posts = new Map<string, Seen>()
    for (const { postUuid, viewedAt, receivedAt, derived, adds } of rows) {
      let seen = posts.get(postUuid)
      if (seen === undefined) {
        seen = { own: 0, adopted: 0, ...eachDetail(() => 0), first: null, last: null }
        posts.set(postUuid, seen)
      }
      if (receivedAt === null) seen.adopted++
      const isExcluded = excludesBots && derived.bot !== 0
      for (const name of SUMMED_NAMES) {
        if (!isExcluded || SUMMED[name].isOfExcluded) seen[name] += adds[name]
      }
      this.#seeReader(seen, postUuid, derived)
      if (isExcluded) continue
      if (receivedAt !== null) seen.own++
      if (seen.first === null || viewedAt < seen.first) seen.first = viewedAt
      if (seen.last === null || viewedAt > seen.last) seen.last = viewedAt
    }
    for (const [post, seen] of posts) {
      const { own, adopted, first, last } = seen
      this.#addPost.run(post, own, adopted, ...DETAILS.map(name => seen[name]), first, last)
    }
  }

  #seeReader(sum: Seen, post: string, { visitor, slice, bot }: Derived): void {
    // A row without a visitor or window has no reader; the missing column is reported as a difference of the row.
    if (visitor === null || slice === null) return
    const seen = bot === 1 ? BOT : PERSON
    const now = this.#see.get(post, slice, Buffer.from(visitor, 'hex'), seen)
    if (now === undefined) return
    const added = newlyUnique(now['seen'] === seen ? null : BOTH - seen, seen, this.#engine.settings)!
    for (const name of UNIQUE_NAMES) sum[name] += added[name]
  }

  /** Every post of the day, in the order of their ids. */
  async *posts(): AsyncGenerator<Pair<string, StoredAggregate>[]> {
    const select = this.#database.prepare(`SELECT * FROM posts WHERE post > ? ORDER BY post LIMIT ${AT_ONCE}`)
    for (let after = ''; ; ) {
      const rows: SqlRow[] = select.all(after)
      if (rows.length === 0) return
      yield rows.map(row => this.#pairOf(row))
      after = String(rows.at(-1)!['post'])
      // Nothing in this loop waits for I/O, so this gives other work its turn, such as a signal to stop.
      await others()
    }
  }

  #pairOf(row: SqlRow): Pair<string, StoredAggregate> {
    const found = row['is_stored'] === 1 ? toStored(row) : null
    const baseline = found?.baseline ?? 0
    return { key: String(row['post']), expected: this.#expectedOf(row, baseline, found), found }
  }

  #expectedOf(row: SqlRow, baseline: number, found: StoredAggregate | null): StoredAggregate | null {
    if (row['has_rows'] === 0 && baseline === 0) return null
    // If the adopted rows do not explain the adopted views, all figures but the views stay unknown.
    const isKnown = Number(row['adopted_rows']) === baseline
    // What was counted before bots were told from people is no mistake, and stays unless it is to be counted again.
    const isLeft =
      !this.#countsAnew && found !== null && found.unique_views !== null && found.bot_unique_views === null
    // While the day is being opened again, rows of one reader may be hashed under two keys, so the stored value is used.
    const isAsStored = (name: DetailName) =>
      this.isBeingReopened && row[name] !== null && UNIQUE_NAMES.some(unique => unique === name)
    const time = (column: string) => {
      const seconds = figure(row[column])
      return seconds === null ? null : this.#engine.toTime(seconds)
    }
    return {
      view_count: baseline + Number(row['own_views']),
      baseline,
      ...eachDetail(name => {
        if (!isKnown || (isLeft && isOfBots(name))) return null
        return Number(row[isAsStored(name) ? name : `seen_${name}`])
      }),
      first_viewed_at: time('first_seen'),
      last_viewed_at: time('last_seen'),
    }
  }

  /** Yields the posts that differ, and adds the expected values of all posts to `sum`. */
  async *wrongPosts(sum = new SumOfAggregates()): AsyncGenerator<Pair<string, StoredAggregate>> {
    for await (const pairs of this.posts()) {
      for (const pair of pairs) {
        const { expected, found } = pair
        if (expected !== null) sum.add(expected)
        if (differences('aggregate', '', expected, found).length > 0) yield pair
      }
    }
  }

  /** Readers who are not listed as what the day's rows saw them. */
  async *wrongReaders(): AsyncGenerator<Pair<VisitorKey, Listed>> {
    const isExcluded = this.#engine.settings.bots === 'exclude'
    const isCounted = isExcluded ? `seen & ${PERSON} <> 0` : 'seen <> 0'
    const isListed = isExcluded ? `(listed = ${NOT_NOTED} OR listed & ${PERSON} <> 0)` : 'listed IS NOT NULL'
    const isStrict = this.#countsAnew ? '1 = 1' : IS_TOLD
    const select = this.#database.prepare(
      `SELECT post, slice, HEX(visitor) AS visitor, seen, listed
       FROM readers LEFT JOIN posts USING (post)
       WHERE (post, slice, visitor) > (?, ?, ?)
         AND CASE WHEN ${isStrict} THEN COALESCE(listed, 0) <> seen OR (listed = 0 AND seen = 0)
             ELSE (${isCounted}) <> COALESCE(${isListed}, 0) END
       ORDER BY post, slice, visitor
       LIMIT ${AT_ONCE}`,
    )
    for (let after: [string, number, Buffer] = ['', -1, Buffer.alloc(0)]; ; ) {
      const rows: SqlRow[] = select.all(...after)
      if (rows.length === 0) return
      for (const row of rows) {
        yield {
          key: toVisitorKey(row['post'], row),
          expected: row['seen'] === 0 ? null : { seen: Number(row['seen']) },
          found: row['listed'] === null ? null : { seen: Number(row['listed']) },
        }
      }
      const { post, slice, visitor } = toVisitorKey(rows.at(-1)!['post'], rows.at(-1)!)
      after = [post, slice, Buffer.from(visitor, 'hex')]
      await others()
    }
  }

  close(): void {
    this.#database.close()
  }
}

/** Every post of the day in one list, for callers that can hold it in memory. */
export async function aggregatesOfDay(
  engine: SqlEngine,
  client: SqlClient,
  day: Day,
): Promise<Pair<string, StoredAggregate>[]> {
  const recount = new DayRecount(engine, true)
  try {
    await recount.read(client, day, { readersAreListed: false, look: () => {} })
    const pairs: Pair<string, StoredAggregate>[] = []
    for await (const some of recount.posts()) pairs.push(...some)
    return pairs
  } finally {
    recount.close()
  }
}

function toVisitorKey(post: unknown, row: SqlRow): VisitorKey {
  return { post: String(post), slice: Number(row['slice']), visitor: String(row['visitor']) }
}

/** The stored figures of the day's posts, some at a time, in the order in which the engine keeps them. */
async function* storedAggregates(
  { aggregatesAreKeptBy: key }: SqlEngine,
  client: SqlClient,
  day: Day,
): AsyncGenerator<SqlRow[]> {
  for (let after: SqlValue[] = []; ; ) {
    const rows = await client.all(
      `SELECT ${key} AS place, post_uuid, ${STORED.join(', ')}
       FROM post_view_aggregates
       WHERE date = ? ${after.length === 0 ? '' : `AND ${key} > ?`}
       ORDER BY ${key}
       LIMIT ${AT_ONCE}`,
      [day, ...after],
    )
    if (rows.length > 0) yield rows
    if (rows.length < AT_ONCE) return
    after = [rows.at(-1)!['place'] as SqlValue]
  }
}

/** `place`: the key of the post. */
type ListedReader = VisitorKey & Listed & { place: SqlValue }

/** The day's list of readers, some at a time. A post with more readers than that is continued, window by window. */
async function* listedReaders(client: SqlClient, day: Day): AsyncGenerator<ListedReader[]> {
  const { post: key, bytes, hex } = client.dialect
  const select = async (where: string, values: SqlValue[]) => {
    const rows = await client.all(
      `SELECT post_uuid, ${key} AS place, slice, ${hex('visitor')} AS visitor, seen
       FROM post_view_visitors
       WHERE day = ? AND ${where}
       ORDER BY ${key}, slice, visitor
       LIMIT ${AT_ONCE}`,
      [day, ...values],
    )
    return rows.map(row => ({
      ...toVisitorKey(row['post_uuid'], row),
      place: row['place'] as SqlValue,
      seen: Number(row['seen']),
    }))
  }
  // What is left of the window, of the post, of the day.
  const rest = [
    ({ place, slice, visitor }: ListedReader) =>
      select(`${key} = ? AND slice = ? AND visitor > ${bytes(visitor)}`, [place, slice]),
    ({ place, slice }: ListedReader) => select(`${key} = ? AND slice > ?`, [place, slice]),
    ({ place }: ListedReader) => select(`${key} > ?`, [place]),
  ]
  let readers = await select('1 = 1', [])
  let last = readers.at(-1)
  for (let next = rest.length; last !== undefined; next++) {
    if (readers.length > 0) yield readers
    last = readers.at(-1) ?? last
    if (readers.length === AT_ONCE) next = 0
    if (next === rest.length) return
    readers = await rest[next]!(last)
  }
}
