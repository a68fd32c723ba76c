/** Tells the publisher of dead letters how much room `DEAD_MAX_BYTES` leaves in `postviews.dead`. */

import { DEAD_QUEUE } from '@postviews/client/src/index.ts'
import type { Channel, ChannelModel } from 'amqplib'
import { answered } from './answer.ts'
import { windowsOf } from './dead-queue.ts'
import { addTo, DeadSize, type Sizes } from './dead-size.ts'
import { propertiesOf } from './properties.ts'
import { returnAll } from './queues.ts'

/** How often the broker is asked for the number of letters; more often while letters arrive, or find no room. */
const COUNT_MS = 5_000
/** The broker is also asked after this part of `DEAD_MAX_BYTES` was published: other processes publish as fast. */
const COUNT_AFTER_PART = 1 / 50
const ANSWER_MS = 3_000
const SAMPLE_AGAIN_MS = 60_000
/** Enough for a mean, and little to ask of the broker. */
const SAMPLE_MESSAGES = 2_000
const SAMPLE_BYTES = 32 * 1_048_576
const FULL_FOR_MS = 60_000

export class DeadRoom {
  readonly #maxBytes: number
  readonly #size = new DeadSize()
  /** Added since the broker was last asked. */
  #uncountedBytes = 0
  #isAsking = false
  /** By `performance.now()`, as the other two. */
  #askedMs = Number.NEGATIVE_INFINITY
  #sampledMs = Number.NEGATIVE_INFINITY
  #fullMs = Number.NEGATIVE_INFINITY
  #inHand = 0
  #lastCount: number | null = null

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Estimated bytes of the letters in the queue; null while the broker has not said how many there are. */
  get bytes(): number | null {
    return this.#size.bytes
  }

  /** Whether there was no room for a letter within the last minute. */
  get isFull(): boolean {
    return performance.now() - this.#fullMs < FULL_FOR_MS
  }

  /** Letters that are being looked at for their size: the broker does not count them meanwhile. */
  get inHand(): number {
    return this.#inHand
  }

  /**
   * A letter that is too large for the room left does not keep out smaller ones.
   *
   * @param waitingBytes bytes of letters that found room and are not in the queue yet
   */
  isFor(bytes: number, waitingBytes: number): boolean {
    if ((this.#size.bytes ?? 0) + waitingBytes + bytes <= this.#maxBytes) return true
    this.#fullMs = performance.now()
    return false
  }

  /** Counts a letter that is now in the queue. */
  take(bytes: number): void {
    this.#size.add(bytes)
    this.#uncountedBytes += bytes
  }

  /**
   * Asks the broker, if it is time to. Never rejects.
   *
   * @param inFlight letters that the broker may count before it confirms them
   * @param onSilent called later, if the broker does not answer at all
   */
  async look(
    connection: ChannelModel,
    inFlight: () => number,
    onSilent: (error: unknown) => void,
  ): Promise<void> {
    const isTime =
      this.#uncountedBytes > this.#maxBytes * COUNT_AFTER_PART ||
      performance.now() - this.#askedMs > (this.#uncountedBytes > 0 || this.isFull ? COUNT_MS / 5 : COUNT_MS)
    if (!isTime || this.#isAsking) return
    this.#isAsking = true
    const late = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error(`no answer within ${ANSWER_MS} ms`)), ANSWER_MS).unref()
    })
    try {
      await Promise.race([this.#ask(connection, inFlight, onSilent), late])
    } catch {
      // The queue has no leader, or the connection has just ended: the last count holds until the next question.
    } finally {
      this.#isAsking = false
    }
  }

  async #ask(
    connection: ChannelModel,
    inFlight: () => number,
    onSilent: (error: unknown) => void,
  ): Promise<void> {
    this.#askedMs = performance.now()
    this.#uncountedBytes = 0
    const { messages: least } = this.#size
    const counting = answered(countDead(connection), `count the messages in ${DEAD_QUEUE}`)
    counting.catch(onSilent)
    const count = await counting
    if (count === null) return
    this.#size.counted(count, least, inFlight())
    // If the sizes are unknown, some letters are looked at; but not while a command holds letters, which would be missed.
    const isSteady = count === this.#lastCount
    this.#lastCount = count
    const isInDoubt = this.#size.isGuess || (this.isFull && this.#size.isTakenFrom && isSteady)
    if (!isInDoubt || performance.now() - this.#sampledMs < SAMPLE_AGAIN_MS) return
    this.#sampledMs = performance.now()
    const sampling = this.#sample(connection)
    sampling.catch(onSilent)
    this.#size.sampled(await sampling)
  }

  /** Looks at the first messages, and leaves them where they are. */
  async #sample(connection: ChannelModel): Promise<Sizes> {
    const sample: Sizes = { messages: 0, bytes: 0 }
    const channel = await connection.createChannel()
    // Its calls reject; without a listener the event would end the process.
    channel.on('error', () => {})
    try {
      for await (const { messages } of windowsOf(channel)) {
        for (const message of messages)
          addTo(sample, 1, propertiesOf(message).raw.length + message.content.length)
        this.#inHand = sample.messages
        if (sample.messages >= SAMPLE_MESSAGES || sample.bytes >= SAMPLE_BYTES) break
      }
      return sample
    } finally {
      // All messages go back, even if the broker delivers no more; those of a lost channel are back already.
      await giveBack(channel).catch(() => {})
      this.#inHand = 0
    }
  }
}

async function giveBack(channel: Channel): Promise<void> {
  returnAll(channel)
  await answered(channel.close(), 'close a channel')
}

/** How many dead letters the broker counts; null if it refuses to tell: the queue may be exclusive to a connection. */
export async function countDead(connection: ChannelModel): Promise<number | null> {
  const channel = await connection.createChannel()
  // `checkQueue` rejects with the error; without a listener the event would end the process.
  channel.on('error', () => {})
  const answer = await channel.checkQueue(DEAD_QUEUE).catch(() => null)
  // The broker closes the channel when it refuses the check.
  if (answer !== null) await channel.close()
  return answer?.messageCount ?? null
}
