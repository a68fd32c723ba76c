/** Posts by their views: days are columns of numbers, which are added up and put in order. */

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

export interface RankedPost {
  post_uuid: string
  views: number
  unique_views: number | null
}

const DIGIT = 65_536

export function bytesOf({ posts, views, unique }: Column): number {
  return posts.byteLength + views.byteLength + unique.byteLength
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
    return this.#columnOf(posts, turn)
  }

  /** The posts with views, most views first, then by id. */
  async toRanking(numbers: PostNumbers, turn: LoopTurn): Promise<Column> {
    const inOrder = await numbers.inOrder(turn)
    return this.#columnOf(await this.#mostFirst(inOrder, turn), turn)
  }

  async #columnOf(candidates: Uint32Array, turn: LoopTurn): Promise<Column> {
    const posts = await this.#viewed(candidates, turn)
    const views = await takenFrom(this.#views, posts, turn)
    const unique = await takenFrom(this.#unique, posts, turn)
    return { posts, views: compact(views), unique: compact(unique) }
  }

  async #viewed(candidates: Uint32Array, turn: LoopTurn): Promise<Uint32Array> {
    const [end, viewsOf] = [this.#end, this.#views]
    const viewed = new Uint32Array(candidates.length)
    let count = 0
    await inSteps(candidates.length, turn, (from, to) => {
      for (let at = from; at < to; at++) {
        const post = candidates[at]!
        if (post < end && viewsOf[post]! > 0) viewed[count++] = post
      }
    })
    return viewed.slice(0, count)
  }

  /** Sorts by views, the lowest digit first: each pass keeps the order of the one before, and the first one the order of ids. */
  async #mostFirst(inOrder: Uint32Array, turn: LoopTurn): Promise<Uint32Array> {
    let posts = await this.#viewed(inOrder, turn)
    let sorted: Uint32Array = new Uint32Array(posts.length)
    const views = await takenFrom(this.#views, posts, turn)
    const most = greatest(views)
    const digits = new Uint16Array(posts.length)
    const starts = new Uint32Array(DIGIT + 1)
    for (let unit = 1; unit <= most; unit *= DIGIT) {
      const viewsOf = unit === 1 ? views : await takenFrom(this.#views, posts, turn)
      starts.fill(0)
      await inSteps(posts.length, turn, (from, to) => {
        for (let at = from; at < to; at++) {
          // The greatest digit first.
          const digit = DIGIT - 1 - (Math.floor(viewsOf[at]! / unit) % DIGIT)
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

/** A page of what `toRanking` has put in order. */
export function pageOf(ranking: Column, numbers: PostNumbers, limit: number, offset: number): RankedPost[] {
  const { posts, views, unique } = ranking
  return Array.from(posts.subarray(offset, offset + limit), (post, index) => {
    const known = unique[offset + index]!
    return {
      post_uuid: numbers.idOf(post),
      views: views[offset + index]!,
      unique_views: known === 0 ? null : known - 1,
    }
  })
}
