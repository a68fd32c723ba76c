/** A message between delivery and acknowledgement. */

import { hash } from 'node:crypto'
import { elementTexts, readMessageTime } from '@postviews/client/src/index.ts'
import type { ConsumeMessage } from 'amqplib'
import { type CarriedOver, carryOver, OWN_HEADERS } from './carry-over.ts'
import { Properties, propertiesOf } from './properties.ts'

/** For the headers of a whole message, and for those of one event of an array, which may have a thousand. */
const MAX_HEADER_BYTES = 40 * 1_024
const MAX_HEADER_BYTES_OF_EVENT = 1_024

/**
 * What is needed of a message until it is acknowledged. Thousands are in hand at a time, so the properties stay as the
 * bytes they came in. Values that need the whole message are computed once for all its events.
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
   * For a message that is held for long: its hundred bytes would otherwise keep the whole buffer that was read from the
   * socket, tens of kilobytes, in memory.
   */
  copyOut(): void {
    this.#content = Buffer.from(this.#content)
    this.#properties = Buffer.from(this.#properties)
  }

  /** Stays the same when the message is delivered again. Only ids and times tell messages of the same body apart. */
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

  /** The properties that a dead letter keeps: for the whole message, or for one event of its array. */
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

  // A time that was invalid on receipt must not become valid by the time of a replay.
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
