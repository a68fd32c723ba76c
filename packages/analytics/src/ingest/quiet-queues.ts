/**
 * Tells empty queues from queues that no longer answer. A quorum queue without a majority, and a channel that was stuck when
 * its node was cut off, look like an empty queue: the connection has its heartbeats, and the queue reports no messages. But
 * no consumer can start there, so starting one is the test.
 */

import type { Channel, ConsumeMessage } from 'amqplib'
import { answered, Unanswered } from './answer.ts'

/** A queue that was quiet for this long is asked. */
const QUIET_AFTER_MS = 5_000
/** With this priority, the probe receives nothing as long as the real consumer takes messages. */
const LAST_PRIORITY = -1

export interface QuietQueuesOptions {
  channel: Channel
  /** Takes a message that the probe receives after all; null: the consumer was cancelled. */
  taker(queue: string): (message: ConsumeMessage | null) => void
  /** Whether the real consumer takes no more for now. Then each probe would receive as many messages again. */
  isFull(queue: string): boolean
  /** A queue does not answer. */
  onSilent(error: Unanswered): void
}

export class QuietQueues {
  readonly #options: QuietQueuesOptions
  /** By `performance.now()`: when a queue last showed that it delivers. */
  readonly #heardMs = new Map<string, number>()
  readonly #asking = new Map<string, Promise<void>>()

  constructor(options: QuietQueuesOptions) {
    this.#options = options
  }

  /** The queue has just delivered a message, or started a consumer. */
  hear(queue: string): void {
    this.#heardMs.set(queue, performance.now())
  }

  /** Asks those that have been quiet for long. To be called every second or so. */
  look(queues: Iterable<string>): void {
    const now = performance.now()
    for (const queue of queues) {
      const isQuiet = now - (this.#heardMs.get(queue) ?? now) > QUIET_AFTER_MS
      if (!isQuiet || this.#asking.has(queue) || this.#options.isFull(queue)) continue
      const asked = this.#ask(queue).finally(() => this.#asking.delete(queue))
      this.#asking.set(queue, asked)
    }
  }

  /** Settles when none is being asked. */
  async settled(): Promise<void> {
    await Promise.all(this.#asking.values())
  }

  async #ask(queue: string): Promise<void> {
    const { channel, taker, onSilent } = this.#options
    const consume = async () => {
      const { consumerTag } = await channel.consume(queue, taker(queue), { priority: LAST_PRIORITY })
      await channel.cancel(consumerTag)
    }
    try {
      await answered(consume(), `consume ${queue}`)
      this.hear(queue)
    } catch (error) {
      // Any other error has ended the channel, which the session notices.
      if (error instanceof Unanswered) onSilent(error)
    }
  }
}
