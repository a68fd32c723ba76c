/** Posts in order: days are columns of numbers, which are added up and sorted. */

import { known } from '../figures.ts'
import type { PostFigures, RisingPost, RisingQuestion, TopOrder, TopSort } from '../store.ts'
import { boundOf, LEAST_VIEWS, type SiteCompared } from '../trending.ts'
import { inSteps, type LoopTurn } from './loop-steps.ts'
import type { PostNumbers } from './post-numbers.ts'

/** The narrowest array that holds the numbers. What is not known is the greatest number that fits; among 64-bit numbers, NaN. */
type Counts = Uint8Array | Uint16Array | Uint32Array | Float64Array

/** Figures of posts, in all three arrays at the same index. */
export interface Column {
  /** Numbers of posts, each once. */
  posts: Uint32Array
  views: Counts
  /** Unique views plus one; 0 if no details are known. */
  unique: Counts
}

/** Posts in the order of one figure: the greatest first, then by id; posts of which it is not known come last. */
export interface Ranking extends Column {
  by: TopSort
  /** The views of each post in the period before; null unless `by` is `change`. */
  previous: Counts | null
}

const DIGIT = 65_536

export function bytesOf({ posts, views, unique, previous }: Column & { previous?: Counts | null }): number {
  return posts.byteLength + views.byteLength + unique.byteLength + (previous?.byteLength ?? 0)
}

/** What posts add up to, by their numbers. */
export class Sums {
  #views = new Float64Array(1_024)
  /** As in a column. */
  #unique = new Float64Array(1_024)
  /** One above the greatest number of a post that was added. */
  #end = 0

  /** `unique` null: no details are known, which adds nothing to what is known. NaN: not known, and so the sum is not either. */
  add(post: number, views: number, unique: number | null): void {
    this.#makeRoom(post)
    this.#views[post]! += views
    if (unique !== null) this.#unique[post]! += unique + (this.#unique[post] === 0 ? 1 : 0)
  }

  async addColumn(column: Column, turn: LoopTurn): Promise<void> {
    await inSteps(column.posts.length, turn, (from, to) => {
      const posts = column.posts.subarray(from, to)
      this.#makeRoom(greatest(posts))
      // Always in the same type, so that the loop is compiled for one type.
      this.#addAll(posts, widened(column.views.subarray(from, to)), widened(column.unique.subarray(from, to)))
    })
  }

  #addAll(posts: Uint32Array, views: Float64Array, unique: Float64Array): void {
    const [viewsOf, uniqueOf] = [this.#views, this.#unique]
    for (let at = 0; at < posts.length; at++) {
      const post = posts[at]!
      viewsOf[post]! += views[at]!
      const more = unique[at]!
      if (more !== 0) uniqueOf[post]! += uniqueOf[post] === 0 ? more : more - 1
    }
  }

  /** The posts with views, in the order of their numbers. */
  async toColumn(turn: LoopTurn): Promise<Column> {
    const posts = new Uint32Array(this.#end)
    for (let post = 0; post < this.#end; post++) posts[post] = post
    return this.#columnOf(await this.#viewed(posts, turn), turn)
  }

  /**
   * The posts with views, in the order of a figure.
   *
   * @param previous of the period before, for `change`: posts that have views in that period alone are listed as well
   */
  async toRanking(
    numbers: PostNumbers,
    turn: LoopTurn,
    by: TopSort = 'views',
    previous: Sums | null = null,
  ): Promise<Ranking> {
    if (previous !== null) {
      // Both have a number of each post that the other has.
      this.#makeRoom(previous.#end - 1)
      previous.#makeRoom(this.#end - 1)
    }
    const posts = await this.#viewed(await numbers.inOrder(turn), turn, previous)
    const figures =
      by === 'change' && previous !== null
        ? await this.#changes(posts, previous, turn)
        : by === 'unique_views'
          ? this.#unique
          : this.#views
    const column = await this.#columnOf(await greatestFirst(posts, figures, turn), turn)
    return {
      ...column,
      by,
      previous: previous === null ? null : compact(await takenFrom(previous.#views, column.posts, turn)),
    }
  }

  async #columnOf(posts: Uint32Array, turn: LoopTurn): Promise<Column> {
    const views = await takenFrom(this.#views, posts, turn)
    const unique = await takenFrom(this.#unique, posts, turn)
    for (let at = 0; at < posts.length; at++) {
      // Without views there are no unique views: that is known.
      if (views[at] === 0 && unique[at] === 0) unique[at] = 1
    }
    return { posts, views: compact(views), unique: compact(unique) }
  }

  /** The candidates that have views here or in `other`, or may have some. */
  async #viewed(candidates: Uint32Array, turn: LoopTurn, other: Sums | null = null): Promise<Uint32Array> {
    const [end, viewsOf, othersOf] = [this.#end, this.#views, (other ?? this).#views]
    const viewed = new Uint32Array(candidates.length)
    let count = 0
    await inSteps(candidates.length, turn, (from, to) => {
      for (let at = from; at < to; at++) {
        const post = candidates[at]!
        if (post < end && (viewsOf[post] !== 0 || othersOf[post] !== 0)) viewed[count++] = post
      }
    })
    return viewed.slice(0, count)
  }

  /** How much each post has gained, by its number, from 1 on: so much more than the one that has lost most. */
  async #changes(posts: Uint32Array, previous: Sums, turn: LoopTurn): Promise<Float64Array> {
    const [now, before] = [this.#views, previous.#views]
    const changes = new Float64Array(this.#end)
    let least = 0
    await inSteps(posts.length, turn, (from, to) => {
      for (let at = from; at < to; at++) {
        const post = posts[at]!
        const change = now[post]! - before[post]!
        changes[post] = change
        if (change < least) least = change
      }
    })
    for (let post = 0; post < changes.length; post++) changes[post]! += 1 - least
    return changes
  }

  #makeRoom(post: number): void {
    if (post < this.#end) return
    this.#end = post + 1
    if (this.#end <= this.#views.length) return
    const length = Math.max(this.#end, this.#views.length * 2)
    const [views, unique] = [new Float64Array(length), new Float64Array(length)]
    views.set(this.#views)
    unique.set(this.#unique)
    this.#views = views
    this.#unique = unique
  }
}

/**
 * Sorts posts by their figures, the lowest digit first: each pass keeps the order of the one before, and the first one the order
 * that they come in.
 *
 * @param figures whole numbers from 0 on, by the numbers of the posts; what is not known (NaN) goes with 0
 */
async function greatestFirst(
  inOrder: Uint32Array,
  figures: Float64Array,
  turn: LoopTurn,
): Promise<Uint32Array> {
  let posts = inOrder
  let sorted: Uint32Array = new Uint32Array(posts.length)
  const first = await takenFrom(figures, posts, turn)
  const most = greatest(first)
  const digits = new Uint16Array(posts.length)
  const starts = new Uint32Array(DIGIT + 1)
  for (let unit = 1; unit <= most; unit *= DIGIT) {
    const figuresOf = unit === 1 ? first : await takenFrom(figures, posts, turn)
    starts.fill(0)
    await inSteps(posts.length, turn, (from, to) => {
      for (let at = from; at < to; at++) {
        // The greatest digit first.
        const digit = DIGIT - 1 - (Math.floor(figuresOf[at]! / unit) % DIGIT || 0)
        digits[at] = digit
        starts[digit + 1]!++
      }
    })
    for (let value = 0; value < DIGIT; value++) starts[value + 1]! += starts[value]!
    const [before, after] = [posts, sorted]
    await inSteps(posts.length, turn, (from, to) => {
      for (let at = from; at < to; at++) after[starts[digits[at]!]!++] = before[at]!
    })
    ;[posts, sorted] = [after, before]
  }
  return posts
}

async function takenFrom(values: Float64Array, posts: Uint32Array, turn: LoopTurn): Promise<Float64Array> {
  const taken = new Float64Array(posts.length)
  await inSteps(posts.length, turn, (from, to) => {
    for (let at = from; at < to; at++) taken[at] = values[posts[at]!]!
  })
  return taken
}

function greatest(values: ArrayLike<number>): number {
  let most = 0
  for (let at = 0; at < values.length; at++) if (values[at]! > most) most = values[at]!
  return most
}

function compact(values: Float64Array): Counts {
  const most = greatest(values)
  const Narrow = [Uint8Array, Uint16Array, Uint32Array].find(
    ({ BYTES_PER_ELEMENT }) => most < 2 ** (8 * BYTES_PER_ELEMENT) - 1,
  )
  if (Narrow === undefined) return values
  const counts = new Narrow(values)
  const unknown = unknownIn(counts)
  for (let at = 0; at < values.length; at++) if (Number.isNaN(values[at])) counts[at] = unknown
  return counts
}

/** NaN where it is not known. */
function widened(counts: Counts): Float64Array {
  const values = new Float64Array(counts)
  const unknown = unknownIn(counts)
  for (let at = 0; at < values.length; at++) if (values[at] === unknown) values[at] = Number.NaN
  return values
}

/** NaN if it is not known. */
function countAt(counts: Counts, at: number): number {
  const count = counts[at]!
  return count === unknownIn(counts) ? Number.NaN : count
}

function unknownIn(counts: Counts): number {
  return counts instanceof Float64Array ? Number.NaN : 2 ** (8 * counts.BYTES_PER_ELEMENT) - 1
}

/** Which part of a list, and from which end it is read. */
export interface Page {
  order: TopOrder
  limit: number
  offset: number
}

/** A page of what `toRanking` has put in order. */
export function pageOf(ranking: Ranking, numbers: PostNumbers, page: Page): PostFigures[] {
  const { posts, views, previous } = ranking
  return Array.from(placesOf(ranking, page), at => {
    const [now, before] = [countAt(views, at), previous === null ? 0 : countAt(previous, at)]
    return {
      post_uuid: numbers.idOf(posts[at]!),
      views: known(now),
      unique_views: uniqueAt(ranking, at),
      ...(previous && { previous_views: known(before), change: known(now - before) }),
    }
  })
}

/** Where the posts of the page stand in the list. */
function* placesOf(ranking: Ranking, { order, limit, offset }: Page): Generator<number> {
  const { length } = ranking.posts
  const end = Math.min(length, offset + limit)
  let at = offset
  if (order === 'asc') {
    // Read backwards, except that equals stay in the order of their ids, and what is not known stays last.
    const known = firstPlace(length, place => figureAt(ranking, place) === null)
    while (at < Math.min(end, known)) {
      const figure = figureAt(ranking, known - 1 - at)!
      const first = firstPlace(known, place => figureAt(ranking, place)! <= figure)
      const next = firstPlace(known, place => figureAt(ranking, place)! < figure)
      for (; at < Math.min(end, known - first); at++) yield first + at - (known - next)
    }
  }
  for (; at < end; at++) yield at
}

/** The figure by which the list is in order; null: it is not known. */
function figureAt(ranking: Ranking, at: number): number | null {
  const { by, views, previous } = ranking
  if (by === 'unique_views') return uniqueAt(ranking, at)
  return known(countAt(views, at) - (by === 'change' ? countAt(previous!, at) : 0))
}

function uniqueAt({ unique }: Ranking, at: number): number | null {
  const stored = countAt(unique, at)
  return stored === 0 ? null : known(stored - 1)
}

/** The first place from which on `isThere` holds; `length` if it holds nowhere. */
function firstPlace(length: number, isThere: (place: number) => boolean): number {
  let [low, high] = [0, length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isThere(middle)) high = middle
    else low = middle + 1
  }
  return low
}

/** The posts of a list that may stand out. */
export interface Rising {
  /** Their places in the list, the greatest bound first. */
  places: Uint32Array
  /** How many posts have views in the days before. */
  postsBefore: number
}

export async function risingIn(ranking: Ranking, site: SiteCompared, turn: LoopTurn): Promise<Rising> {
  const { length } = ranking.posts
  const [bounds, places] = [new Float64Array(length), new Uint32Array(length)]
  let [found, postsBefore] = [0, 0]
  await inSteps(length, turn, (from, to) => {
    for (let at = from; at < to; at++) {
      const [views, before] = comparedAt(ranking, at)
      if (before > 0) postsBefore++
      // Nor is what is not known.
      if (!(views >= LEAST_VIEWS)) continue
      const bound = boundOf(views, before, site)
      bounds[at] = bound
      if (bound > 0) places[found++] = at
    }
  })
  return { places: await greatestFirst(places.slice(0, found), bounds, turn), postsBefore }
}

/** A page of what `risingIn` has found. */
export function risingPage(
  ranking: Ranking,
  { places }: Rising,
  numbers: PostNumbers,
  { site, limit, offset }: Pick<RisingQuestion, 'site' | 'limit' | 'offset'>,
): RisingPost[] {
  return Array.from(places.subarray(offset, offset + limit), at => {
    const [views, viewsBefore] = comparedAt(ranking, at)
    const bound = boundOf(views, viewsBefore, site)
    return { post_uuid: numbers.idOf(ranking.posts[at]!), views, viewsBefore, bound }
  })
}

function comparedAt({ views, previous }: Ranking, at: number): [views: number, before: number] {
  return [countAt(views, at), previous === null ? 0 : countAt(previous, at)]
}
