/** The numbers that stand for the texts of a batch. Runs in the thread of the connection. */

import type { StatementSync } from 'node:sqlite'
import { ByteCache, entryBytes } from '@postviews/client/src/byte-cache.ts'
import { SELECT_REMOVALS, TEXTS } from './texts.ts'

export type Prepare = (sql: string) => StatementSync

export const SELECT_NUMBER = `SELECT number FROM ${TEXTS} WHERE text = ?`
const SELECT_TEXT = `SELECT text FROM ${TEXTS} WHERE number = ?`
export const INSERT_TEXT = `INSERT INTO ${TEXTS} (text) VALUES (?)`

const KNOWN_BYTES = 4 * 1_048_576

/**
 * The numbers that earlier batches looked up. All of them are dropped when any process has removed or changed a text. They are
 * also dropped when the text with the greatest number has disappeared, because then somebody has restored an older state of the file.
 */
export class KnownTexts {
  #numbers = new ByteCache<number>(KNOWN_BYTES)
  #removals: unknown
  /** The greatest of the numbers. */
  #latest: { number: number; text: string } | undefined

  /** Call it in the transaction of each batch, before anything else. */
  begin(prepare: Prepare): void {
    const removals = prepare(SELECT_REMOVALS).get()!['removals']
    if (removals !== this.#removals || !this.#isLatestThere(prepare)) this.clear()
    this.#removals = removals
  }

  clear(): void {
    this.#numbers = new ByteCache(KNOWN_BYTES)
    this.#latest = undefined
  }

  get(text: string): number | undefined {
    return this.#numbers.get(text)
  }

  set(text: string, number: number): void {
    this.#numbers.set(text, number, entryBytes(text))
    if (number > (this.#latest?.number ?? 0)) this.#latest = { number, text }
  }

  #isLatestThere(prepare: Prepare): boolean {
    if (this.#latest === undefined) return true
    const { number, text } = this.#latest
    return prepare(SELECT_TEXT).get(number)?.['text'] === text
  }
}

/** Used in one transaction: texts without a number get one. */
export class TextNumbers {
  readonly #prepare: Prepare
  readonly #known: KnownTexts
  readonly #texts: readonly string[]
  /** By the place of a text; 0: not looked up yet. */
  readonly #numbers: Float64Array
  #added = false

  /** @param texts of the batch */
  constructor(prepare: Prepare, known: KnownTexts, texts: readonly string[]) {
    this.#prepare = prepare
    this.#known = known
    this.#texts = texts
    this.#numbers = new Float64Array(texts.length)
    known.begin(prepare)
  }

  /** Whether this batch has added a text. */
  get added(): boolean {
    return this.#added
  }

  at(place: number): number {
    const number = this.#numbers[place]!
    if (number !== 0) return number
    const found = this.of(this.#texts[place]!)
    this.#numbers[place] = found
    return found
  }

  of(text: string): number {
    const known = this.#known.get(text)
    if (known !== undefined) return known
    const found = this.#prepare(SELECT_NUMBER).get(text)?.['number']
    if (found === undefined) this.#added = true
    const number = Number(found ?? this.#prepare(INSERT_TEXT).run(text).lastInsertRowid)
    this.#known.set(text, number)
    return number
  }
}
