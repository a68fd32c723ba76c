/**
 * The most viewed posts of a period. Summing up a month of a big site takes a database a second, so each day is read
 * once and kept in memory, as columns of numbers; it is read again only when a batch has counted on it since.
 */

import { addDays, type Day, daysFrom } from '../calendar.ts'
import type { PostFigures } from '../store.ts'
import { figure, type SqlClient } from './sql.ts'

/** Of so many days before the end of a period each is read by itself: these are counted on. Older ones by months. */
const SINGLE_DAYS = 62
/** What is kept, at most, before it is forgotten and begun anew: 12 bytes for each post of a day or month, 100 for each post. */
const MAX_ENTRIES = 4_000_000
const MAX_POSTS = 500_000
const MAX_SUMS = 8

/** From one day to another, both included. */
interface Period {
  from: Day
  to: Day
}

/** The posts of some days: one entry for each, in all three columns. */
interface Columns {
  /** Numbers of posts. */
  posts: Uint32Array
  views: Uint32Array
  /** UNKNOWN where no day of the post is known but for its views. */
  unique: Uint32Array
}

const UNKNOWN = 2 ** 32 - 1

/** What the posts add up to over a period, by their numbers. */
interface Sums {
  views: Float64Array
  /** -1: unknown. */
  unique: Float64Array
  /** The numbers of the posts that have views. */
  viewed: Uint32Array
}

export class Rankings {
  readonly #reader: SqlClient
  #memory = new Memory()

  constructor(reader: SqlClient) {
    this.#reader = reader
  }

  /** Most views first, then by id. `total` counts the posts with views. */
  async top(period: Period, limit: number, offset: number): Promise<{ total: number; posts: PostFigures[] }> {
    const versions = await this.#versionsOf(period)
    if (this.#memory.isFull) this.#memory = new Memory()
    const memory = this.#memory
    const { views, unique, viewed } = await memory.sums.read(
      `${period.from} ${period.to}`,
      [...versions.values()].join(),
      () => this.#sum(period, versions, memory),
    )
    const { posts } = memory
    const isBefore = (a: number, b: number) =>
      views[a] === views[b] ? posts[a]! < posts[b]! : views[a]! > views[b]!
    return {
      total: viewed.length,
      posts: firstOf(viewed, offset + limit, isBefore)
        .slice(offset)
        .map(post => ({
          post_uuid: posts[post]!,
          views: views[post]!,
          unique_views: unique[post]! < 0 ? null : unique[post]!,
        })),
    }
  }

  /** What tells of each day with views whether it was counted on. Asked before the day is read: never younger than that. */
  async #versionsOf({ from, to }: Period): Promise<Map<Day, string>> {
    const days = await this.#reader.all(
      `SELECT date, view_count, unique_views, rebuilds
       FROM site_view_aggregates, post_view_rebuilds
       WHERE date BETWEEN ? AND ?
       ORDER BY date`,
      [from, to],
    )
    return new Map(
      days.map(({ date, view_count, unique_views, rebuilds }) => [
        String(date),
        `${date} ${view_count} ${unique_views} ${rebuilds}`,
      ]),
    )
  }

  async #sum(period: Period, versions: ReadonlyMap<Day, string>, memory: Memory): Promise<Sums> {
    const columns: Columns[] = []
    for (const span of spansOf(period)) {
      const version = daysFrom(span.from, span.to).flatMap(day => versions.get(day) ?? [])
      if (version.length === 0) continue
      // One after the other: whoever else asks the database is answered in between.
      columns.push(
        await memory.columns.read(`${span.from} ${span.to}`, version.join(), () => this.#read(span, memory)),
      )
    }

    const views = new Float64Array(memory.posts.length)
    const unique = new Float64Array(memory.posts.length).fill(-1)
    for (const column of columns) {
      for (let entry = 0; entry < column.posts.length; entry++) {
        const post = column.posts[entry]!
        views[post]! += column.views[entry]!
        const more = column.unique[entry]!
        if (more !== UNKNOWN) unique[post] = Math.max(0, unique[post]!) + more
      }
    }
    return { views, unique, viewed: Uint32Array.from(views.keys().filter(post => views[post]! > 0)) }
  }

  // Day after day: for a month in one statement MariaDB takes ten times as long, and answers nobody meanwhile.
  async #read({ from, to }: Period, memory: Memory): Promise<Columns> {
    const sums = new Map<number, { views: number; unique: number | null }>()
    for (const day of daysFrom(from, to)) {
      const rows = await this.#reader.all(
        `SELECT post_uuid, view_count, unique_views
         FROM post_view_aggregates
         WHERE date = ? AND view_count > 0`,
        [day],
      )
      for (const row of rows) {
        const post = memory.toNumber(String(row['post_uuid']))
        const views = Number(row['view_count'])
        const unique = figure(row['unique_views'])
        const sum = sums.get(post)
        if (sum === undefined) sums.set(post, { views, unique })
        else {
          sum.views += views
          if (unique !== null) sum.unique = (sum.unique ?? 0) + unique
        }
      }
    }
    return {
      posts: Uint32Array.from(sums.keys()),
      views: Uint32Array.from(sums.values(), ({ views }) => views),
      unique: Uint32Array.from(sums.values(), ({ unique }) => unique ?? UNKNOWN),
    }
  }
}

/** What was read, in which posts have numbers. */
class Memory {
  readonly posts: string[] = []
  readonly #numberOf = new Map<string, number>()
  readonly columns = new Readings<Columns>()
  readonly sums = new Readings<Sums>(MAX_SUMS)

  get isFull(): boolean {
    const entries = this.columns.values().reduce((sum, { posts }) => sum + posts.length, 0)
    return entries > MAX_ENTRIES || this.posts.length > MAX_POSTS
  }

  toNumber(post: string): number {
    let number = this.#numberOf.get(post)
    if (number === undefined) {
      number = this.posts.push(post) - 1
      this.#numberOf.set(post, number)
    }
    return number
  }
}

/** Things that are read once a version, also where several ask for them at a time. */
class Readings<T> {
  readonly #kept = new Map<string, { version: string; reading: Promise<T>; value?: T }>()
  readonly #max: number

  constructor(max = Number.POSITIVE_INFINITY) {
    this.#max = max
  }

  values() {
    return this.#kept.values().flatMap(({ value }) => (value === undefined ? [] : [value]))
  }

  async read(key: string, version: string, read: () => Promise<T>): Promise<T> {
    let kept = this.#kept.get(key)
    if (kept?.version !== version) {
      kept = { version, reading: read() }
      // The last one to be read goes to the end, and the first one goes.
      this.#kept.delete(key)
      this.#kept.set(key, kept)
      if (this.#kept.size > this.#max) this.#kept.delete(this.#kept.keys().next().value!)
    }
    try {
      kept.value = await kept.reading
      return kept.value
    } catch (error) {
      if (this.#kept.get(key) === kept) this.#kept.delete(key)
      throw error
    }
  }
}

/** The days of a period, those of long ago by the month where it is whole. */
function spansOf({ from, to }: Period): Period[] {
  const single = addDays(to, -SINGLE_DAYS)
  const spans: Period[] = []
  for (let day = from; day <= to; ) {
    const last = lastOfMonth(day)
    const end = day.endsWith('-01') && last <= single ? last : day
    spans.push({ from: day, to: end })
    day = addDays(end, 1)
  }
  return spans
}

function lastOfMonth(day: Day): Day {
  // No month has 32 days, and from the first of one the next begins within them.
  const inNext = addDays(`${day.slice(0, 8)}01`, 31)
  return addDays(`${inNext.slice(0, 8)}01`, -1)
}

/** The first of them in their order, without sorting the rest: a list is asked for its first page. */
function firstOf(
  items: Iterable<number>,
  count: number,
  isBefore: (a: number, b: number) => boolean,
): number[] {
  const first: number[] = []
  for (const item of items) {
    if (first.length === count && !isBefore(item, first.at(-1)!)) continue
    let low = 0
    let high = first.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (isBefore(item, first[middle]!)) high = middle
      else low = middle + 1
    }
    first.splice(low, 0, item)
    if (first.length > count) first.pop()
  }
  return first
}
