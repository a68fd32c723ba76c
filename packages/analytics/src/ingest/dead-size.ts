/** How many bytes the dead letters take, bodies and headers. The broker tells how many messages there are, and no more. */

/** Some messages, and the bytes they take. */
export interface Sizes {
  messages: number
  bytes: number
}

/** Of messages whose size nobody has told yet. */
const USUAL_BYTES = 1_024
/** So many of a process's own letters tell the mean of what others published meanwhile. */
const WINDOW_MESSAGES = 500
/** What the window before them counts for: the first few alone would tell too little. */
const PRIOR_MESSAGES = 50
/** A command that looks at messages has them in hand for no longer. */
const MAY_COME_BACK_MS = 600_000

/**
 * Follows the broker's count, and knows the size of each letter of this process to the byte. Letters of other processes
 * take the mean of this one's letters of that time: all consume from the same queues. What somebody takes out takes the mean
 * of all that is there, and if it comes back (a command had only looked at it), what it was taken for.
 */
export class DeadSize {
  readonly #nowMs: () => number
  /** Null before the broker has told a count. */
  #messages: number | null = null
  /** Of all of them but `#others`. */
  #bytes = 0
  /** Letters of other processes since the window began: each takes the mean of the window. */
  #others = 0
  #window: Sizes = { messages: 0, bytes: 0 }
  #prior: Sizes = { messages: 0, bytes: 0 }
  #gone: Sizes & { sinceMs: number } = { messages: 0, bytes: 0, sinceMs: 0 }

  /** @param nowMs a clock that never goes back */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
  }

  /** As an estimate; null before the broker has told a count. */
  get bytes(): number | null {
    return this.#messages === null ? null : Math.round(this.#bytes + this.#othersBytes())
  }

  /** As far as is known: what the broker counted, and what this process has added since. Null before it has counted. */
  get messages(): number | null {
    return this.#messages
  }

  /** Whether there are messages of whose size nothing at all is known. */
  get isGuess(): boolean {
    return this.#others > 0 && this.#mean() === null
  }

  /** Whether somebody took some out, and left others: were they the small ones, or the large? */
  get isTakenFrom(): boolean {
    return this.#gone.messages > 0 && this.#messages !== 0
  }

  /** A letter of this process is there. */
  add(bytes: number): void {
    addTo(this.#window, 1, bytes)
    if (this.#messages === null) return
    this.#messages++
    this.#bytes += bytes
    if (this.#window.messages >= WINDOW_MESSAGES) this.#settle()
  }

  /**
   * The broker has counted the messages.
   *
   * @param least what `messages` was when it was asked
   * @param inFlight letters of this process that it may have counted, though they are not confirmed yet
   */
  counted(count: number, least: number | null, inFlight: number): void {
    this.#messages ??= 0
    if (count === 0) this.#remove(this.#messages)
    else if (count < (least ?? 0)) this.#remove(least! - count)
    else this.#addOthers(Math.max(0, count - this.#messages - inFlight))
  }

  /** Some of the messages were looked at: the others are taken to be like them. */
  sampled({ messages, bytes }: Sizes): void {
    if (this.#messages === null || messages === 0) return
    this.#settle()
    this.#bytes = Math.max(bytes, (this.#messages * bytes) / messages)
    this.#gone = { messages: 0, bytes: 0, sinceMs: 0 }
  }

  #addOthers(messages: number): void {
    if (this.#nowMs() - this.#gone.sinceMs > MAY_COME_BACK_MS) this.#gone.messages = 0
    const back = Math.min(messages, this.#gone.messages)
    const bytesBack = share(this.#gone, back)
    addTo(this.#gone, -back, -bytesBack)
    this.#bytes += bytesBack
    this.#others += messages - back
    this.#messages! += messages
  }

  #remove(messages: number): void {
    if (messages === 0) return
    this.#settle()
    const bytes = share({ messages: this.#messages!, bytes: this.#bytes }, messages)
    this.#messages! -= messages
    this.#bytes -= bytes
    addTo(this.#gone, messages, bytes)
    this.#gone.sinceMs = this.#nowMs()
  }

  /** The window is over: what others published in it is counted for good. */
  #settle(): void {
    this.#bytes += this.#othersBytes()
    this.#others = 0
    const { messages } = this.#window
    if (messages === 0) return
    this.#prior = { messages: PRIOR_MESSAGES, bytes: share(this.#window, PRIOR_MESSAGES) }
    this.#window = { messages: 0, bytes: 0 }
  }

  #othersBytes(): number {
    return this.#others === 0 ? 0 : this.#others * (this.#mean() ?? USUAL_BYTES)
  }

  /** Of a letter of another process; null where nothing tells. */
  #mean(): number | null {
    const messages = this.#window.messages + this.#prior.messages
    if (messages > 0) return (this.#window.bytes + this.#prior.bytes) / messages
    const counted = (this.#messages ?? 0) - this.#others
    return counted > 0 ? this.#bytes / counted : null
  }
}

/** What some of the messages take, each being like the others. */
function share({ messages, bytes }: Sizes, some: number): number {
  return some === 0 ? 0 : (bytes / messages) * some
}

export function addTo(sizes: Sizes, messages: number, bytes: number): void {
  sizes.messages += messages
  sizes.bytes += bytes
}
