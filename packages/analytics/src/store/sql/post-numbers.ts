/** Numbers posts, so that a day with a million of them is a few arrays, not an object for each post. */

import { inSteps, type LoopTurn } from './loop-steps.ts'

const DIGIT = 65_536
/** This many new posts or more are sorted digit by digit; fewer are inserted one by one. */
const MANY = 5_000

/**
 * Gives each post a number, from 0 on, and keeps its id as bytes in words of four, padded with zeros, so that words compare like
 * the bytes of the ids.
 */
export class PostNumbers {
  count = 0
  /** Words per id. */
  #width = 1
  #words: Uint32Array = new Uint32Array(256)
  /** A hash table with open addressing: the number of a post plus one; 0 for an empty slot. */
  #slots = new Uint32Array(512)
  #inOrder: Uint32Array = new Uint32Array(0)
  /** The words of the id that is being looked up. */
  #asked = new Uint32Array(1)

  get bytes(): number {
    return this.#words.byteLength + this.#slots.byteLength + this.#inOrder.byteLength
  }

  numberOf(id: string): number {
    this.#pack(id)
    let slot = this.#slotOf(hashOf(this.#asked, 0, this.#width))
    for (;;) {
      const found = this.#slots[slot]!
      if (found === 0) break
      if (this.#isAsked(found - 1)) return found - 1
      slot = (slot + 1) & (this.#slots.length - 1)
    }
    const number = this.count++
    if (this.count * this.#width > this.#words.length)
      this.#words = grown(this.#words, this.#words.length * 2)
    for (let word = 0; word < this.#width; word++)
      this.#words[number * this.#width + word] = this.#asked[word]!
    this.#slots[slot] = number + 1
    if (this.count * 2 > this.#slots.length) this.#placeAll(this.#slots.length * 2)
    return number
  }

  idOf(number: number): string {
    const bytes = Buffer.alloc(this.#width * 4)
    for (let word = 0; word < this.#width; word++)
      bytes.writeUInt32BE(this.#words[number * this.#width + word]!, word * 4)
    const end = bytes.indexOf(0)
    return bytes.toString('utf8', 0, end < 0 ? bytes.length : end)
  }

  /** The numbers of all posts, in the order of their ids' bytes. */
  async inOrder(turn: LoopTurn): Promise<Uint32Array> {
    while (this.#inOrder.length < this.count) {
      const { count } = this
      const known = this.#inOrder
      const added = new Uint32Array(count - known.length).map((_, index) => known.length + index)
      if (added.length < MANY)
        this.#inOrder = this.#merged(
          known,
          added.sort((a, b) => this.#compare(a, b)),
        )
      else this.#inOrder = await this.#sorted(count, turn)
    }
    return this.#inOrder
  }

  #pack(id: string): void {
    // Ids of adopted tables may be any text: then its UTF-8 bytes are packed, each as one character.
    if (this.#packCodes(id) > 127) this.#packCodes(Buffer.from(id).toString('latin1'))
  }

  /** @returns the bitwise OR of all characters */
  #packCodes(text: string): number {
    const { length } = text
    const words = (length + 3) >>> 2
    if (words > this.#width) this.#widen(words)
    const asked = this.#asked
    let bits = 0
    for (let word = 0; word < words; word++) {
      const at = word * 4
      const a = text.charCodeAt(at)
      const b = at + 1 < length ? text.charCodeAt(at + 1) : 0
      const c = at + 2 < length ? text.charCodeAt(at + 2) : 0
      const d = at + 3 < length ? text.charCodeAt(at + 3) : 0
      bits |= a | b | c | d
      asked[word] = (a << 24) | (b << 16) | (c << 8) | d
    }
    asked.fill(0, words, this.#width)
    return bits
  }

  #isAsked(number: number): boolean {
    const first = number * this.#width
    for (let word = 0; word < this.#width; word++) {
      if (this.#words[first + word] !== this.#asked[word]) return false
    }
    return true
  }

  #widen(width: number): void {
    const words = new Uint32Array(Math.max(256, this.#slots.length) * width)
    for (let number = 0; number < this.count; number++) {
      words.set(this.#words.subarray(number * this.#width, (number + 1) * this.#width), number * width)
    }
    this.#words = words
    this.#width = width
    this.#asked = new Uint32Array(width)
    this.#placeAll(this.#slots.length)
  }

  #placeAll(slots: number): void {
    this.#slots = new Uint32Array(slots)
    for (let number = 0; number < this.count; number++) {
      let slot = this.#slotOf(hashOf(this.#words, number * this.#width, this.#width))
      while (this.#slots[slot] !== 0) slot = (slot + 1) & (slots - 1)
      this.#slots[slot] = number + 1
    }
  }

  #slotOf(hash: number): number {
    return hash & (this.#slots.length - 1)
  }

  #compare(a: number, b: number): number {
    const [ofA, ofB] = [a * this.#width, b * this.#width]
    for (let word = 0; word < this.#width; word++) {
      const difference = this.#words[ofA + word]! - this.#words[ofB + word]!
      if (difference !== 0) return difference
    }
    return 0
  }

  #merged(known: Uint32Array, added: Uint32Array): Uint32Array {
    const all = new Uint32Array(known.length + added.length)
    let from = 0
    for (const [before, post] of added.entries()) {
      let [low, high] = [from, known.length]
      while (low < high) {
        const middle = (low + high) >>> 1
        if (this.#compare(known[middle]!, post) < 0) low = middle + 1
        else high = middle
      }
      all.set(known.subarray(from, low), from + before)
      all[low + before] = post
      from = low
    }
    all.set(known.subarray(from), from + added.length)
    return all
  }

  /** Sorts the first `count` posts, by the last two bytes of their ids first: each pass keeps the order of the one before. */
  async #sorted(count: number, turn: LoopTurn): Promise<Uint32Array> {
    let posts: Uint32Array = new Uint32Array(count).map((_, number) => number)
    let sorted: Uint32Array = new Uint32Array(count)
    const starts = new Uint32Array(DIGIT + 1)
    // Ids that come meanwhile may be wider than all there were.
    const [words, width] = [this.#words, this.#width]
    for (let digit = width * 2 - 1; digit >= 0; digit--) {
      const [word, shift] = [digit >>> 1, digit % 2 === 0 ? 16 : 0]
      starts.fill(0)
      await inSteps(count, turn, (from, to) => {
        for (let at = from; at < to; at++) starts[((words[at * width + word]! >>> shift) & 0xffff) + 1]!++
      })
      if (starts.includes(count)) continue
      for (let value = 0; value < DIGIT; value++) starts[value + 1]! += starts[value]!
      const [before, after] = [posts, sorted]
      await inSteps(count, turn, (from, to) => {
        for (let at = from; at < to; at++) {
          const post = before[at]!
          after[starts[(words[post * width + word]! >>> shift) & 0xffff]!++] = post
        }
      })
      ;[posts, sorted] = [after, before]
    }
    return posts
  }
}

function hashOf(words: Uint32Array, first: number, width: number): number {
  let hash = 0x811c9dc5
  for (let word = first; word < first + width; word++) {
    hash = Math.imul(hash ^ words[word]!, 0x9e3779b1)
    hash ^= hash >>> 15
  }
  return hash >>> 0
}

function grown(array: Uint32Array, length: number): Uint32Array {
  const larger = new Uint32Array(length)
  larger.set(array)
  return larger
}
