/** Estimates how many bytes the dead letters take, bodies and headers: the broker tells only the number of messages. */

/** Some messages, and the bytes they take. */
export interface Sizes {
  messages: number
  bytes: number
}

/** Assumed for a message while no size is known. */
const USUAL_BYTES = 1_024
/** This many letters of this process make a window. Letters of others are assumed to have its mean size. */
const WINDOW_MESSAGES = 500
/** The weight of the previous window: the first few letters of a window alone would be a poor mean. */
const PRIOR_MESSAGES = 50
/** A command that looks at messages does not hold them for longer. */
const MAY_COME_BACK_MS = 600_000

/**
 * Follows the broker's count, and knows the exact size of each letter of this process. Letters of other processes are
 * assumed to have the mean size of this one's letters at that time: all consume from the same queues. Letters taken out are
 * assumed to have the mean size of all, also if they come back (a command had only looked at them).
 */
export class DeadSize {
  readonly #nowMs: () => number
  /** Null before the broker has told a count. */
  #messages: number | null = null
  /** Bytes of all messages except `#others`. */
  #bytes = 0
  /** Letters of other processes since the window began: each is assumed to have its mean size. */
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

  /** The last count of the broker plus the letters that this process has added since; null before the first count. */
  get messages(): number | null {
    return this.#messages
  }

  /** Whether there are messages about whose size nothing is known. */
  get isGuess(): boolean {
    return this.#others > 0 && this.#mean() === null
  }

  /** Whether somebody took out some messages and left others: it is unknown whether those were small or large ones. */
  get isTakenFrom(): boolean {
    return this.#gone.messages > 0 && this.#messages !== 0
  }

  /** Counts a letter of this process that is in the queue. */
  add(bytes: number): void {
    addTo(this.#window, 1, bytes)
    if (this.#messages === null) return
    this.#messages++
    this.#bytes += bytes
    if (this.#window.messages >= WINDOW_MESSAGES) this.#settle()
  }

  /**
   * Takes over the broker's count of the messages.
   *
   * @param least the value of `messages` when the broker was asked
   * @param inFlight letters of this process that the broker may have counted before confirming them
   */
  counted(count: number, least: number | null, inFlight: number): void {
    this.#messages ??= 0
    if (count === 0) this.#remove(this.#messages)
    else if (count < (least ?? 0)) this.#remove(least! - count)
    else this.#addOthers(Math.max(0, count - this.#messages - inFlight))
  }

  /** Takes over a sample of the messages: the others are assumed to be like it. */
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

  /** Ends the window: the size assumed for letters of others in it becomes final. */
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

  /** The mean size of a letter of another process; null if unknown. */
  #mean(): number | null {
    const messages = this.#window.messages + this.#prior.messages
    if (messages > 0) return (this.#window.bytes + this.#prior.bytes) / messages
    const counted = (this.#messages ?? 0) - this.#others
    return counted > 0 ? this.#bytes / counted : null
  }
}

/** Bytes of `some` of the messages, at their mean size. */
function share({ messages, bytes }: Sizes, some: number): number {
  return some === 0 ? 0 : (bytes / messages) * some
}

export function addTo(sizes: Sizes, messages: number, bytes: number): void {
  sizes.messages += messages
  sizes.bytes += bytes
}
