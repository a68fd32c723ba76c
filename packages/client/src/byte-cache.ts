/** For values that outlive their message, request or answer: they are copied, and bounded by bytes. */

/**
 * A copy with memory of its own. V8 does not copy substrings: what `slice`, `trim`, a regex group or `URL`
 * returns keeps the whole source text alive, a megabyte for the sake of one word. Decoding bytes always makes a
 * new text, however an engine builds strings. UTF-16 changes no text, lone surrogates included.
 */
export function ownCopy(text: string): string {
  return Buffer.from(text, 'utf16le').toString('utf16le')
}

/** A Map entry, and V8's overhead for a string and an object. */
const ENTRY_BYTES = 150

/** The most memory that an entry with these texts takes: V8 stores text beyond Latin-1 in two bytes per character. */
export function entryBytes(...texts: readonly string[]): number {
  return texts.reduce((bytes, text) => bytes + 2 * text.length, ENTRY_BYTES)
}

interface Entry<Value> {
  key: string
  value: Value
  bytes: number
}

/**
 * The most recently used values, bounded by bytes. There are two generations: a value that is used goes to the young one.
 * When the young one reaches half of the bytes, the old one is dropped whole. So a lookup costs no more than a Map's.
 */
export class ByteCache<Value> {
  readonly #maxBytes: number
  #young = new Map<string, Entry<Value>>()
  #old = new Map<string, Entry<Value>>()
  #youngBytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get(key: string): Value | undefined {
    const found = this.#young.get(key)
    if (found !== undefined) return found.value
    const older = this.#old.get(key)
    if (older === undefined) return undefined
    this.#put(older)
    return older.value
  }

  /**
   * Keeps a copy of the key, and the value itself. An entry larger than half of the cache is not kept.
   *
   * @param bytes what the entry takes, key included: see `entryBytes`
   */
  set(key: string, value: Value, bytes: number): void {
    this.delete(key)
    if (bytes <= this.#maxBytes / 2) this.#put({ key: ownCopy(key), value, bytes })
  }

  delete(key: string): void {
    this.#youngBytes -= this.#young.get(key)?.bytes ?? 0
    this.#young.delete(key)
    this.#old.delete(key)
  }

  #put(entry: Entry<Value>): void {
    if (this.#youngBytes + entry.bytes > this.#maxBytes / 2) {
      this.#old = this.#young
      this.#young = new Map()
      this.#youngBytes = 0
    }
    this.#old.delete(entry.key)
    // Under the entry's own key: the caller's may be a substring of a message.
    this.#young.set(entry.key, entry)
    this.#youngBytes += entry.bytes
  }
}
