/** How many messages the broker may hand out ahead: two batches' worth, and no more than memory allows. */

/** Of one queue. */
const MAX_BYTES = 16 * 1_048_576
const LEAST_MESSAGES = 10

/**
 * A message may hold one event or a thousand, so a number of messages bounds nothing until their size is known.
 * The number begins small and follows what arrives.
 */
export class Prefetch {
  readonly #batchEvents: number
  readonly #batchMessages: number
  #messages = LEAST_MESSAGES

  /** The most events and the most messages of a batch. */
  constructor(batchEvents: number, batchMessages: number) {
    this.#batchEvents = batchEvents
    this.#batchMessages = batchMessages
  }

  get messages(): number {
    return this.#messages
  }

  /** Learns from messages that came; true when the number changed enough to tell the broker. */
  learn(messages: number, events: number, bytes: number): boolean {
    const forBatches = Math.ceil((2 * this.#batchEvents * messages) / Math.max(events, 1))
    const forMemory = Math.floor((MAX_BYTES * messages) / Math.max(bytes, 1))
    const most = 2 * this.#batchMessages
    const wanted = Math.max(LEAST_MESSAGES, Math.min(forBatches, forMemory, most))
    if (wanted <= this.#messages * 2 && wanted >= this.#messages / 2) return false
    this.#messages = wanted
    return true
  }
}
