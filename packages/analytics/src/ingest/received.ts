/** A message as long as it is in hand. */

import { hash } from 'node:crypto'
import { elementTexts, readMessageTime } from '@postviews/client/src/index.ts'
import type { ConsumeMessage } from 'amqplib'
import { type CarriedOver, carryOver, OWN_HEADERS } from './carry-over.ts'
import { Properties, propertiesOf } from './properties.ts'

/** Of the headers of a whole message, and of those that each event of an array gets, of which there may be a thousand. */
const MAX_HEADER_BYTES = 40 * 1_024
const MAX_HEADER_BYTES_OF_EVENT = 1_024

/**
 * What is needed of a message until it is acknowledged: thousands are in hand at a time, so its properties are kept as
 * the bytes they came in. What takes a look at all of it is worked out once, however many of its events need it.
 */
export class ReceivedMessage {
  readonly deliveryTag: number
  /** Unix seconds, fractions included. */
  readonly receivedAt: number
  #content: Buffer
  #properties: Buffer
  #digest: string | undefined
  #texts: string[] | null | undefined
  #whole: CarriedOver | undefined
  #ofEvent: CarriedOver | undefined

  constructor(message: ConsumeMessage, receivedAt: number) {
    this.deliveryTag = message.fields.deliveryTag
    this.#content = message.content
    this.receivedAt = receivedAt
    this.#properties = propertiesOf(message).raw
  }

  get content(): Buffer {
    return this.#content
  }

  /**
   * For one that is held for long: what was read off the socket together is one piece of memory, tens of kilobytes that a
   * message of a hundred bytes would keep.
   */
  copyOut(): void {
    this.#content = Buffer.from(this.#content)
    this.#properties = Buffer.from(this.#properties)
  }

  /** The same whenever the message is delivered again. Messages of one body are told apart by their ids and times alone. */
  get digest(): string {
    const { messageId, timestamp } = new Properties(this.#properties)
    this.#digest ??= hash('sha256', `${messageId}\0${timestamp}\0${hash('sha256', this.content)}`)
    return this.#digest
  }

  /** The texts of the events in its array; null when the message is one event. */
  get texts(): readonly string[] | null {
    if (this.#texts === undefined) {
      const text = this.content.toString('utf8')
      this.#texts = /^\uFEFF?\s*\[/.test(text) ? elementTexts(text) : null
    }
    return this.#texts
  }

  /** What of its properties a dead letter keeps: of the whole message, or of one event of its array. */
  carriedOver(isWhole: boolean): CarriedOver {
    if (isWhole) {
      this.#whole ??= this.#carryOver(MAX_HEADER_BYTES)
      return this.#whole
    }
    if (this.#ofEvent === undefined) {
      this.#ofEvent = this.#carryOver(MAX_HEADER_BYTES_OF_EVENT)
      // The message's id is an event's id only where the message is one event.
      delete this.#ofEvent.options.messageId
    }
    return this.#ofEvent
  }

  // A time that was none on receipt must not become one by the time of a replay.
  #carryOver(maxHeaderBytes: number): CarriedOver {
    const properties = new Properties(this.#properties)
    const carried = carryOver(properties, OWN_HEADERS, maxHeaderBytes)
    const { options, leftOut } = carried
    const { timestamp, headers } = properties
    const isTime = (said: Parameters<typeof readMessageTime>[0]) =>
      readMessageTime(said, this.receivedAt).source !== 'receipt'
    if (options.timestamp !== undefined && !isTime({ timestamp })) {
      delete options.timestamp
      leftOut.push('timestamp')
    }
    if ('timestamp_in_ms' in options.headers && !isTime({ headers })) {
      delete options.headers['timestamp_in_ms']
      leftOut.push('headers.timestamp_in_ms')
    }
    return carried
  }
}
