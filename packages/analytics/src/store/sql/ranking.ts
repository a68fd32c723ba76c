/** Posts in order: days are columns of numbers, which are added up and sorted. */

import type { PostFigures, RisingPosts, RisingQuestion, TopOrder, TopSort } from '../store.ts'
import { boundOf, LEAST_VIEWS } from '../trending.ts'
import { inSteps, type LoopTurn } from './loop-steps.ts'
import type { PostNumbers } from './post-numbers.ts'

/** The narrowest array that holds the numbers. */
type Counts = Uint8Array | Uint16Array | Uint32Array | Float64Array

/** Figures of posts, in all three arrays at the same index. */
export interface Column {
  /** Numbers of posts, each once. */
  posts: Uint32Array
  views: Counts
  /** Unique views plus one; 0 if they are unknown. */
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

  /** `unique` null: unknown. What is unknown adds nothing to what is known. */
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
      this.#addAll(
        posts,
        new Float64Array(column.views.subarray(from, to)),
        new Float64Array(column.unique.subarray(from, to)),
      )
    })
  }

  #addAll(posts: Uint32Array, views: Float64Array, unique: Float64Array): void {
    const [viewsOf, uniqueOf] = [this.#views, this.#unique]
    for (let at = 0; at < posts.length; at++) {
      const post = posts[at]!
      viewsOf[post]! += views[at]!
      const more = unique[at]!
      if (more > 0) uniqueOf[post]! += uniqueOf[post] === 0 ? more : more - 1
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

  /** The candidates that have views here or in `other`. */
  async #viewed(candidates: Uint32Array, turn: LoopTurn, other: Sums | null = null): Promise<Uint32Array> {
    const [end, viewsOf, othersOf] = [this.#end, this.#views, (other ?? this).#views]
    const viewed = new Uint32Array(candidates.length)
    let count = 0
    await inSteps(candidates.length, turn, (from, to) => {
      for (let at = from; at < to; at++) {
        const post = candidates[at]!
        if (post < end && (viewsOf[post]! > 0 || othersOf[post]! > 0)) viewed[count++] = post
      }
    })
    return viewed.slice(0, count)
  }

  /** How much each post has gained, by its number, from 0 on: so much more than the one that has lost most. */
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
    for (let post = 0; post < changes.length; post++) changes[post]! -= least
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
 * @param figures whole numbers from 0 on, by the numbers of the posts
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
        const digit = DIGIT - 1 - (Math.floor(figuresOf[at]! / unit) % DIGIT)
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
  if (most < 2 ** 8) return new Uint8Array(values)
  if (most < 2 ** 16) return new Uint16Array(values)
  return most < 2 ** 32 ? new Uint32Array(values) : values
}

/** Which part of a list, and from which end it is read. */
export interface Page {
  order: TopOrder
  limit: number
  offset: number
}

/** A page of what `toRanking` has put in order. */
export function pageOf(ranking: Ranking, numbers: PostNumbers, page: Page): PostFigures[] {
  const { posts, views, unique, previous } = ranking
  return Array.from(placesOf(ranking, page), at => {
    const known = unique[at]!
    return {
      post_uuid: numbers.idOf(posts[at]!),
      views: views[at]!,
      unique_views: known === 0 ? null : known - 1,
      ...(previous && { previous_views: previous[at]!, change: views[at]! - previous[at]! }),
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
function figureAt({ by, views, unique, previous }: Ranking, at: number): number | null {
  if (by === 'unique_views') return unique[at] === 0 ? null : unique[at]! - 1
  return views[at]! - (by === 'change' ? previous![at]! : 0)
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

/** The posts of the list that may stand out, the greatest bound first. */
export async function risingOf(
  { posts, views, previous }: Ranking,
  numbers: PostNumbers,
  { site, limit, offset }: Pick<RisingQuestion, 'site' | 'limit' | 'offset'>,
  turn: LoopTurn,
): Promise<Pick<RisingPosts, 'posts' | 'postsBefore'>> {
  const before = previous ?? new Uint8Array(posts.length)
  const bounds = new Float64Array(posts.length)
  const places = new Uint32Array(posts.length)
  let [found, postsBefore] = [0, 0]
  await inSteps(posts.length, turn, (from, to) => {
    for (let at = from; at < to; at++) {
      if (before[at]! > 0) postsBefore++
      if (views[at]! < LEAST_VIEWS) continue
      const bound = boundOf(views[at]!, before[at]!, site)
      bounds[at] = bound
      if (bound > 0) places[found++] = at
    }
  })
  const sorted = await greatestFirst(places.slice(0, found), bounds, turn)
  return {
    posts: Array.from(sorted.subarray(offset, offset + limit), at => ({
      post_uuid: numbers.idOf(posts[at]!),
      views: views[at]!,
      viewsBefore: before[at]!,
      bound: bounds[at]!,
    })),
    postsBefore,
  }
}
