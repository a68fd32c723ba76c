/**
 * The posts of a period in the order of a figure, kept in memory so that any page is a slice of it, from either end. Runs in a
 * thread of its own: a day may have a million rows, which no other thread should hold as objects.
 */

import { setImmediate as turn } from 'node:timers/promises'
import { addDays, type Day, daysFrom, type Period, periodBefore } from '../days.ts'
import type { PostFigures, RisingPosts, RisingQuestion, TopSort } from '../store.ts'
import type { SiteCompared } from '../trending.ts'
import { KNOWN_VIEWS } from './figure-columns.ts'
import { PostNumbers } from './post-numbers.ts'
import {
  bytesOf,
  type Column,
  type Page,
  pageOf,
  type Ranking,
  type Rising,
  risingIn,
  risingPage,
  Sums,
} from './ranking.ts'
import type { SqlValue } from './sql.ts'

/** This many days at the end of a period are kept one by one: views are still counted on them. Older ones are kept by month. */
const SINGLE_DAYS = 62
/** If a list was read in less time than this, the caller waits for a new one; otherwise it gets the present one, if not too old. */
const WAITED_FOR_MS = 25
/** Most slow lists that are read at the same time, because each takes memory of its own until it is complete. */
const READ_AT_ONCE = 4
/** The memory of a cached day or list beyond its numbers and versions: three arrays and a few objects. */
const ENTRY_BYTES = 2_500
/** A ranking is reused for this many times as long as it took to read, unless it gets too old: reading takes a tenth of one core. */
const TIMES_AS_LONG = 10

/** Whose views a list is of: the stored ones, or from these and the bots among them or beside them. */
export type Counted = 'views' | 'views - bots' | 'bots' | 'views + bots'

/** The same, for the days before `before`, which another `BOTS` counted. */
export interface CountedBefore {
  counted: Counted
  before: Day
}

interface CountedViews {
  counted: Counted
  /** The earliest first. There are none for all time. */
  countedBefore?: readonly CountedBefore[]
}

/** Which list. */
interface ListName extends CountedViews {
  /** Null: all time. */
  period: Period | null
  sort: TopSort
  /** The period that `change` compares with: by default as many days, just before. */
  before?: Period
}

export interface RisingRankingQuestion extends Omit<RisingQuestion, 'who' | 'maxAgeMs'>, CountedViews {
  askedMs: number
  maxAgeMs: number
}

export interface RankingQuestion extends ListName, Page {
  /** By `monotonicMs`. */
  askedMs: number
  /** How old the answer may be; 0: it includes everything that was committed before the question. */
  maxAgeMs: number
}

export interface RankingPage {
  /**
   * The age of the list when it was asked for: since it was read, or checked. 0: that was after the question; negative: this long
   * after, because reading took long.
   */
  ageMs: number
  /** The posts of the list. */
  total: number
  posts: PostFigures[]
}

/** The rows of `rowsOfPosts`. */
export type UsePosts = (rows: readonly unknown[][]) => void

/** Reads that all see one snapshot. */
export interface RankingMoment {
  /** A few rows, as arrays of their columns. */
  rows(sql: string, values: readonly SqlValue[]): Promise<unknown[][]>
  /** The posts with views of a day, or of all time, some thousand at a time, with turns of the event loop between them. */
  posts(day: Day | null, counted: Counted, use: UsePosts): Promise<void>
}

/** Where rankings are read from: a connection of the thread's own. */
export interface RankingSource {
  /** Called before each answer. @throws {StoreUnavailable} if what was read must no longer be answered */
  check(): void
  /** Runs one piece of work after the other; each sees one snapshot. @throws {StoreUnavailable} */
  snapshot<T>(work: (moment: RankingMoment) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** A day, a month or all time: what is read and cached as one. */
interface Span {
  /** Null: the posts' totals. */
  period: Period | null
  key: string
}

interface HeldColumn {
  version: string
  column: Column
  bytes: number
  /** The number of the question that used it last. */
  usedIn: number
}

interface HeldRanking {
  versions: string
  ranking: Ranking
  numbers: PostNumbers
  bytes: number
  /** Whether its days were still cached when it was complete. */
  isKept: boolean
  /** By `monotonicMs`, when reading began. */
  readMs: number
  /** The time to check whether it is up to date, and to read it if it was not. */
  tookMs: number
  /** The time to read it. */
  readingMs: number
  /** What was found for the latest question of posts that may stand out. */
  rising?: Rising & { comparedWith: string }
}

interface Look {
  /** By `monotonicMs`, before the look. */
  readMs: number
  versions: string[]
  found: HeldRanking | undefined
}

export class RankingCache {
  readonly #source: RankingSource
  readonly #waitedForMs: number
  readonly #maxBytes: number
  #numbers = new PostNumbers()
  #columns = new Map<string, HeldColumn>()
  #rankings = new Map<string, HeldRanking>()
  readonly #renewing = new Map<string, Promise<HeldRanking>>()
  #askings = 0
  #reading = 0
  /** Slow lists that wait for their turn to be read. */
  readonly #waiting: (() => void)[] = []

  /** @param maxBytes most memory kept from one answer to the next; what one answer needs in addition is not bounded */
  /** @param waitedForMs how long a list may take to read for callers to wait for it, and for it to wait for no other */
  constructor(source: RankingSource, maxBytes: number, waitedForMs = WAITED_FOR_MS) {
    this.#source = source
    this.#maxBytes = maxBytes
    this.#waitedForMs = waitedForMs
  }

  get bytes(): number {
    const held = [...this.#columns.values(), ...this.#rankings.values()]
    return held.reduce((sum, { bytes }) => sum + bytes, this.#numbers.bytes)
  }

  /** @throws {StoreUnavailable} */
  async page(question: RankingQuestion): Promise<RankingPage> {
    this.#source.check()
    const { askedMs, maxAgeMs } = question
    const { ranking, numbers, readMs } = await this.#ranking(question)
    const ageMs = askedMs - readMs
    const isLate = maxAgeMs > 0 && ageMs < -maxAgeMs
    return {
      ageMs: isLate ? ageMs : Math.max(0, ageMs),
      total: ranking.posts.length,
      posts: pageOf(ranking, numbers, question),
    }
  }

  /** Posts that may stand out. @throws {StoreUnavailable} */
  async rising(question: RisingRankingQuestion): Promise<RisingPosts> {
    this.#source.check()
    const { days, before, counted, countedBefore = [], askedMs, maxAgeMs } = question
    const list: ListName =
      before === null
        ? { period: days, sort: 'views', counted, countedBefore }
        : { period: days, sort: 'change', counted, countedBefore, before }
    const held = await this.#ranking({ ...list, askedMs, maxAgeMs })
    const rising = await this.#rising(held, question.site)
    return {
      ageMs: Math.max(0, askedMs - held.readMs),
      revision: rebuildsIn(held.versions),
      posts: risingPage(held.ranking, rising, held.numbers, question),
      postsBefore: rising.postsBefore,
    }
  }

  /** Found once for all pages. */
  async #rising(held: HeldRanking, site: SiteCompared): Promise<Rising> {
    const comparedWith = JSON.stringify(site)
    if (held.rising?.comparedWith === comparedWith) return held.rising
    const rising = await risingIn(held.ranking, site, turn)
    held.bytes += rising.places.byteLength - (held.rising?.places.byteLength ?? 0)
    held.rising = { ...rising, comparedWith }
    return rising
  }

  async #ranking({
    askedMs,
    maxAgeMs,
    ...list
  }: ListName & Pick<RankingQuestion, 'askedMs' | 'maxAgeMs'>): Promise<HeldRanking> {
    const { period, sort, before } = list
    // The same list is read from both ends.
    const key = `${sort} ${countedKey(list)} ${keyOf(period)} ${before === undefined ? '' : keyOf(before)}`
    const oldestMs = askedMs - maxAgeMs
    const held = this.#rankings.get(key)
    if (held !== undefined && held.readMs >= oldestMs) {
      this.#use(key, held)
      if (held.readingMs <= this.#waitedForMs) return this.#renew(key, list)
      if (askedMs - held.readMs <= renewedAfterMs(held.tookMs, maxAgeMs)) return held
      const renewed = this.#renew(key, list)
      // A failure is not lost: a caller for whom this list is too old waits for a new one, and gets the error.
      renewed.catch(() => {})
      return held
    }
    let renewed = await this.#renew(key, list)
    // Another caller may have started it before a view was counted that this caller must not miss.
    while (renewed.readMs < oldestMs) renewed = await this.#renew(key, list)
    // Reading took longer than the list may be old: read it again, which reads only what was counted meanwhile.
    const isOld = maxAgeMs > 0 && monotonicMs() - renewed.readMs > maxAgeMs
    return isOld && renewed.isKept ? this.#renew(key, list) : renewed
  }

  /** Reads it once for all callers that ask meanwhile. */
  #renew(key: string, list: ListName): Promise<HeldRanking> {
    const renewing = this.#renewing.get(key)
    if (renewing !== undefined) return renewing
    const begun = this.#renewed(key, list).finally(() => this.#renewing.delete(key))
    this.#renewing.set(key, begun)
    return begun
  }

  async #renewed(key: string, list: ListName): Promise<HeldRanking> {
    const look = await this.#look(key, list)
    const isQuick = (this.#rankings.get(key)?.readingMs ?? Infinity) <= this.#waitedForMs
    // A list that is quick to read does not wait for slow ones.
    if (look.found !== undefined || isQuick) return look.found ?? this.#read(key, list, look)
    const mustWait = this.#reading >= READ_AT_ONCE
    return this.#inTurn(async () => {
      const now = mustWait ? await this.#look(key, list) : look
      return now.found ?? this.#read(key, list, now)
    })
  }

  async #inTurn<T>(read: () => Promise<T>): Promise<T> {
    if (this.#reading < READ_AT_ONCE) this.#reading++
    else await new Promise<void>(resolve => this.#waiting.push(resolve))
    try {
      return await read()
    } finally {
      const next = this.#waiting.shift()
      // The turn is passed to the next in line, so that a new caller cannot overtake.
      if (next === undefined) this.#reading--
      else next()
    }
  }

  /** Reads the present versions, and finds the cached list if it is up to date. */
  async #look(key: string, list: ListName): Promise<Look> {
    const readMs = monotonicMs()
    const versions = await this.#source.snapshot(moment => versionsIn(moment, daysOf(list)))
    const held = this.#rankings.get(key)
    if (held?.versions !== versions.join()) return { readMs, versions, found: undefined }
    const found = { ...held, readMs, tookMs: monotonicMs() - readMs }
    this.#use(key, found)
    return { readMs, versions, found }
  }

  async #read(key: string, list: ListName, { readMs, versions }: Look): Promise<HeldRanking> {
    const { period, sort } = list
    const asking = ++this.#askings
    const numbers = this.#numbers
    const read: string[] = []
    const columns = new Map<string, Column>()
    const sumsOf = async (some: Period | null) => {
      const sums = new Sums()
      for (const span of spansOf(some)) {
        const wanted = some === null ? versions : versions.filter(version => isWithin(version, span.period!))
        if (wanted.length === 0) continue
        const key = `${countedKey(list)} ${span.key}`
        const { version, column } = await this.#column(
          { ...span, key },
          { version: wanted.join(), list },
          numbers,
          asking,
        )
        if (version !== '') read.push(version)
        columns.set(key, column)
        await sums.addColumn(column, turn)
      }
      return sums
    }
    const before = comparedWith(list)
    // The days before come first: what was read is in the order of the versions.
    const previous = before === null ? null : await sumsOf(before)
    const sums = await sumsOf(period)
    const ranking = await sums.toRanking(numbers, turn, sort, previous)
    const tookMs = monotonicMs() - readMs
    const readVersions = read.join()
    const renewed: HeldRanking = {
      versions: readVersions,
      ranking,
      numbers,
      bytes: entryBytes(ranking, readVersions),
      isKept: false,
      readMs,
      tookMs,
      readingMs: tookMs,
    }
    if (numbers === this.#numbers) this.#use(key, renewed)
    this.#trim(key)
    renewed.isKept = columns.entries().every(([span, column]) => this.#columns.get(span)?.column === column)
    return renewed
  }

  async #column(
    { key, period }: Span,
    { version, list }: { version: string; list: CountedViews },
    numbers: PostNumbers,
    asking: number,
  ): Promise<Pick<HeldColumn, 'version' | 'column'>> {
    const held = numbers === this.#numbers ? this.#columns.get(key) : undefined
    if (held?.version === version) {
      held.usedIn = asking
      // Moves it to the end: the map is in the order of use.
      this.#columns.delete(key)
      this.#columns.set(key, held)
      return held
    }
    const sums = new Sums()
    const versionsRead: string[] = []
    // One day after the other, even for a month, so that another list waits for one day at most. (In one statement, a month takes
    // MariaDB ten times as long.)
    const days = period === null ? [null] : daysFrom(period.from, period.to)
    for (const day of days) {
      // The version and the rows of the day are read in one snapshot, whatever was counted since the look.
      const meanwhile = await this.#source.snapshot(async moment => {
        const [versionRead] = await versionsIn(moment, day === null ? null : { from: day, to: day })
        // Another list has read the same day meanwhile.
        const other = numbers === this.#numbers ? this.#columns.get(key) : undefined
        if (other?.version === (days.length === 1 ? versionRead : version)) return other
        if (versionRead === undefined) return undefined
        versionsRead.push(versionRead)
        const counted = countedOn(list, day)
        await moment.posts(day, counted, rows => {
          for (const row of rows) sums.add(numbers.numberOf(String(row[0])), ...figuresIn(row, counted))
        })
        return undefined
      })
      if (meanwhile !== undefined) return meanwhile
    }
    const read = { version: versionsRead.join(), column: await sums.toColumn(turn) }
    this.#columns.delete(key)
    if (numbers === this.#numbers) {
      this.#columns.set(key, { ...read, bytes: entryBytes(read.column, read.version), usedIn: asking })
      this.#makeRoom(asking, key)
    }
    return read
  }

  #use(key: string, held: HeldRanking): void {
    this.#rankings.delete(key)
    this.#rankings.set(key, held)
  }

  /**
   * Removes the least recently used days first. If all that are left belong to the present question, the latest one is not kept:
   * so as many of its days stay as there is room for.
   */
  #makeRoom(asking: number, latest: string): void {
    for (const [key, { usedIn }] of this.#columns) {
      if (this.bytes <= this.#maxBytes) return
      if (usedIn < asking) this.#columns.delete(key)
    }
    if (this.bytes > this.#maxBytes) this.#columns.delete(latest)
  }

  /** After an answer: removes days before rankings, and all posts if these alone take too much. */
  #trim(latest: string): void {
    for (const key of this.#columns.keys()) {
      if (this.bytes <= this.#maxBytes) return
      this.#columns.delete(key)
    }
    for (const key of this.#rankings.keys()) {
      if (this.bytes <= this.#maxBytes) return
      if (key !== latest) this.#rankings.delete(key)
    }
    if (this.bytes <= this.#maxBytes) return
    this.#numbers = new PostNumbers()
    this.#columns = new Map()
    this.#rankings = new Map()
  }
}

/** The age at which a ranking is read again: early enough that the new one is complete before the old one is too old. */
function renewedAfterMs(tookMs: number, maxAgeMs: number): number {
  return Math.min(tookMs * TIMES_AS_LONG, Math.max(maxAgeMs / 4, maxAgeMs - 2 * tookMs))
}

/** Milliseconds of a clock that never goes back, and is the same in all threads. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000
}

function entryBytes(column: Column, versions: string): number {
  return bytesOf(column) + versions.length + ENTRY_BYTES
}

/** The period that the list compares with; null if it compares with none. */
function comparedWith({ period, sort, before }: ListName): Period | null {
  return sort === 'change' ? (before ?? periodBefore(period)) : null
}

function countedKey({ counted, countedBefore = [] }: CountedViews): string {
  return [...countedBefore.map(({ counted, before }) => `${counted} before ${before}, `), counted].join('')
}

function countedOn({ counted, countedBefore = [] }: CountedViews, day: Day | null): Counted {
  return countedBefore.find(({ before }) => day !== null && day < before)?.counted ?? counted
}

/** As SQL: the rows of posts of a day, its only parameter, or of all time. */
export function rowsOfPosts(day: Day | null, counted: Counted): string {
  const [views, detailed, from] =
    day === null
      ? ['views', 'detailed_views', 'post_view_totals WHERE']
      : ['view_count', KNOWN_VIEWS, 'post_view_aggregates WHERE date = ? AND']
  return counted === 'views'
    ? `SELECT post_uuid, ${views}, unique_views FROM ${from} ${views} > 0`
    : `SELECT post_uuid, ${views}, unique_views, ${detailed}, bots, bot_unique_views, shared_unique_views
       FROM ${from} (${views} > 0 OR bots > 0)`
}

/** The figures of a row, as `toFigures` has them. Unique views are null where no details are known, and NaN where theirs are not. */
function figuresIn(row: readonly unknown[], counted: Counted): [views: number, unique: number | null] {
  const [views, unique] = [Number(row[1]), row[2] === null ? null : Number(row[2])]
  if (counted === 'views') return [views, unique]
  const [detailed, bots, botUnique, sharedUnique] = [at(row, 3), at(row, 4), at(row, 5), at(row, 6)]
  const allBots = detailed === views || views === 0 ? bots : Number.NaN
  const sign = counted === 'views - bots' ? -1 : 1
  const [ofViews, ofUnique] =
    counted === 'bots'
      ? [allBots, botUnique]
      : [views + sign * allBots, unique! + sign * (botUnique - sharedUnique)]
  // Where no views are known, 0 would say that there are none.
  const hasUnique = unique !== null && !(Number.isNaN(ofViews) && ofUnique === 0)
  return [ofViews, hasUnique ? ofUnique : null]
}

function at(row: readonly unknown[], column: number): number {
  return row[column] === null ? Number.NaN : Number(row[column])
}

/** All days that the list is made of. */
function daysOf(list: ListName): Period | null {
  const before = comparedWith(list)
  return before === null ? list.period : { from: before.from, to: list.period!.to }
}

function keyOf(period: Period | null): string {
  return period === null ? 'all' : `${period.from} ${period.to}`
}

/**
 * The version of each day with views, oldest first: it changes when something is counted on the day. For all time, one version of
 * all days. A batch that changes a post's day changes the site's day in the same transaction; other changes raise `rebuilds`.
 */
async function versionsIn(moment: RankingMoment, period: Period | null): Promise<string[]> {
  const found =
    period === null
      ? await moment.rows(
          `SELECT 'all', COUNT(*), SUM(view_count), SUM(unique_views), SUM(bots), MAX(rebuilds)
           FROM site_view_aggregates, post_view_rebuilds`,
          [],
        )
      : await moment.rows(
          `SELECT date, view_count, unique_views, bots, rebuilds
           FROM site_view_aggregates, post_view_rebuilds
           WHERE date BETWEEN ? AND ?
           ORDER BY date`,
          [period.from, period.to],
        )
  return found.map(row => row.join(' '))
}

/** The rebuilds of the latest of the versions. */
function rebuildsIn(versions: string): string {
  return versions.slice(versions.lastIndexOf(' ') + 1)
}

function isWithin(version: string, { from, to }: Period): boolean {
  const day = version.slice(0, from.length)
  return day >= from && day <= to
}

/** The spans of a period: single days, and old days by month if the whole month is in the period. Null is one span. */
function spansOf(period: Period | null): Span[] {
  if (period === null) return [{ period, key: 'all' }]
  const single = addDays(period.to, -SINGLE_DAYS)
  const spans: Span[] = []
  for (let day = period.from; day <= period.to; ) {
    const last = lastOfMonth(day)
    const span = { from: day, to: day.endsWith('-01') && last <= single ? last : day }
    spans.push({ period: span, key: keyOf(span) })
    day = addDays(span.to, 1)
  }
  return spans
}

function lastOfMonth(day: Day): Day {
  // 31 days after the first of a month is always in the next month.
  const inNext = addDays(`${day.slice(0, 8)}01`, 31)
  return addDays(`${inNext.slice(0, 8)}01`, -1)
}
