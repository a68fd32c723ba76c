/**
 * Acknowledges the messages of a session once their views are committed. If every message up to a delivery tag is done, one
 * acknowledgement covers them all. A message with dead letters is held back until the broker has confirmed those; the messages
 * beside it do not wait for it.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Channel, Message } from 'amqplib'
import type { Delivery } from './batch.ts'
import type { DeadLetters, Sending } from './dead-letters.ts'
import type { Prefetch } from './prefetch.ts'
import type { ReceivedMessage } from './received.ts'

const DEAD_LETTER_PATIENCE_MS = 500

/** The part of a delivery that is kept while it is held back. Its views are committed. */
type Held = Pick<Delivery, 'message' | 'queue'>

export interface AcknowledgementsOptions {
  channel: Channel
  deadLetters: DeadLetters
  prefetch: Prefetch
  /** Aborted when the session ends. The broker then delivers every message again that was not acknowledged. */
  signal: AbortSignal
}

export class Acknowledgements {
  readonly #options: AcknowledgementsOptions
  /** Messages whose batch is committed and whose dead letters are not confirmed yet, in the order they came. */
  readonly #held = new Map<Held, Sending>()
  #hasSingle = false

  constructor(options: AcknowledgementsOptions) {
    this.#options = options
  }

  get held(): Iterable<Held> {
    return this.#held.keys()
  }

  get heldCount(): number {
    return this.#held.size
  }

  /** Whether some message was acknowledged by itself, not with all before it. */
  get hasSingle(): boolean {
    return this.#hasSingle
  }

  /** Acknowledges a committed batch, except messages whose dead letters are still on their way. */
  async acknowledge(
    deliveries: readonly Delivery[],
    sendings: ReadonlyMap<Delivery, Sending>,
  ): Promise<void> {
    const { deadLetters, signal } = this.#options
    // Dead letters usually arrive at once. If not, the other messages do not wait for them.
    if (sendings.size > 0 && !deadLetters.isRefusing) {
      const all = Promise.all(sendings.values().map(({ arrived }) => arrived))
      await Promise.race([all, sleep(DEAD_LETTER_PATIENCE_MS)])
    }
    if (signal.aborted) return

    const waiting = new Map([...sendings].filter(([, { hasArrived }]) => !hasArrived))
    for (const [{ message, queue }, sending] of waiting) this.#hold({ message, queue }, sending)
    // One acknowledgement covers everything up to a tag, as long as nothing before it is held.
    const firstHeldTag = this.#held
      .keys()
      .reduce((first, { message }) => Math.min(first, message.deliveryTag), Infinity)
    const free = deliveries.filter(delivery => !waiting.has(delivery))
    const beforeHeld = free.filter(({ message }) => message.deliveryTag < firstHeldTag)
    if (beforeHeld.length > 0) this.#send(beforeHeld.at(-1)!.message, { allUpTo: true })
    for (const { message } of free.slice(beforeHeld.length)) this.#send(message)
    this.discardBeyondQuarter()
  }

  /** Gives up dead letters that are refused, so that their messages take at most a quarter of each queue's prefetch. */
  discardBeyondQuarter(): void {
    const { deadLetters, prefetch } = this.#options
    if (!deadLetters.isRefusing) return
    const most = Math.max(1, Math.floor(prefetch.messages / 4))
    for (const deliveries of Map.groupBy(this.#held.keys(), ({ queue }) => queue).values()) {
      for (const delivery of deliveries.slice(most)) this.#held.get(delivery)!.giveUp()
    }
  }

  // A function of its own: a callback keeps its whole scope in memory, which in `acknowledge` includes the batch.
  #hold(delivery: Held, sending: Sending): void {
    delivery.message.copyOut()
    this.#held.set(delivery, sending)
    void sending.arrived.then(() => {
      this.#held.delete(delivery)
      this.#send(delivery.message)
    })
  }

  #send({ deliveryTag }: ReceivedMessage, { allUpTo = false } = {}): void {
    const { channel, signal } = this.#options
    if (signal.aborted) return
    if (!allUpTo) this.#hasSingle = true
    try {
      // amqplib needs only the tag.
      channel.ack({ fields: { deliveryTag } } as Message, allUpTo)
    } catch {
      // The channel has just ended: the broker delivers the message again, and it is not counted twice.
    }
  }
}
