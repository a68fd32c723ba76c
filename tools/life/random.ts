import { createHash } from 'node:crypto'

/** Pseudo-random numbers (sfc32): the same seed gives the same sequence. */
export class Random {
  readonly #state: Uint32Array

  constructor(seed: string) {
    const hash = createHash('sha256').update(seed).digest()
    this.#state = Uint32Array.of(hash.readUInt32LE(0), hash.readUInt32LE(4), hash.readUInt32LE(8), 1)
    for (let turn = 0; turn < 12; turn++) this.#next()
  }

  #next(): number {
    const state = this.#state
    const [a, b, c, counter] = state as unknown as [number, number, number, number]
    const result = (a + b + counter) >>> 0
    state[3] = counter + 1
    state[0] = b ^ (b >>> 9)
    state[1] = c + (c << 3)
    state[2] = ((c << 21) | (c >>> 11)) + result
    return result
  }

  /** In [0, 1). */
  fraction(): number {
    return this.#next() / 2 ** 32
  }

  /** A whole number in [0, `limit`). */
  below(limit: number): number {
    return Math.floor(this.fraction() * limit)
  }

  between(least: number, most: number): number {
    return least + this.fraction() * (most - least)
  }

  chance(probability: number): boolean {
    return this.fraction() < probability
  }

  /** The time until the next of independent events, one in `mean` on average. */
  exponential(mean: number): number {
    return -Math.log(1 - this.fraction()) * mean
  }

  /** One of the list; the weights are proportional to the probabilities. */
  pick<T>(list: readonly T[], weightOf: (item: T) => number = () => 1): T {
    const weights = list.map(weightOf)
    let left = this.fraction() * weights.reduce((sum, weight) => sum + weight, 0)
    const index = weights.findIndex(weight => {
      left -= weight
      return left < 0
    })
    return list[index === -1 ? list.length - 1 : index]!
  }

  shuffled<T>(list: readonly T[]): T[] {
    return list
      .map(item => ({ item, place: this.fraction() }))
      .sort((a, b) => a.place - b.place)
      .map(({ item }) => item)
  }

  /** A UUID, version 4. */
  uuid(): string {
    const words = Uint32Array.from({ length: 4 }, () => this.#next())
    const bytes = Buffer.from(words.buffer)
    bytes[6] = (bytes[6]! & 0x0f) | 0x40
    bytes[8] = (bytes[8]! & 0x3f) | 0x80
    return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  }
}
