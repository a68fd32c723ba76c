/** What is kept longer than the message, request or answer that it came in: copied, and bounded by bytes. */

/**
 * A copy that has memory of its own. V8 cuts without copying: what `slice`, `trim`, a regex group or `URL` takes out of a
 * text keeps all of that text alive, a message of a megabyte for the sake of one word. Decoding bytes makes a new text by
 * what it is, not by how an engine happens to build strings; UTF-16 changes none, lone surrogates included.
 */
export function ownCopy(text: string): string {
  return Buffer.from(text, 'utf16le').toString('utf16le')
}

/** An entry of a Map, and what V8 adds to a string and an object. */
const ENTRY_BYTES = 150

/** Memory that an entry with these texts takes, at most: V8 keeps text beyond Latin-1 in two bytes a character. */
export function entryBytes(...texts: readonly string[]): number {
  return texts.reduce((bytes, text) => bytes + 2 * text.length, ENTRY_BYTES)
}

interface Entry<Value> {
  key: string
  value: Value
  bytes: number
}

/**
 * The values that were used last, as many as there is room for. In two generations: what was used goes to the younger one,
 * and once that has half of the bytes, the older one is forgotten whole. Looking up what is there stays a look into a Map.
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
   * Keeps a copy of the key, and the value as it is. What alone takes half of the room is not kept.
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
    // Under its own key: that of whoever asks may be cut out of a message.
    this.#young.set(entry.key, entry)
    this.#youngBytes += entry.bytes
  }
}
