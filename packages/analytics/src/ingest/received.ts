/** A message as long as it is in hand. */

import { hash } from 'node:crypto'
import { elementTexts } from '@postviews/client'
import type { ConsumeMessage } from 'amqplib'
import { Properties, propertiesOf } from './properties.ts'

/**
 * What is needed of a message until it is acknowledged: thousands are in hand at a time, so its properties are kept as
 * the bytes they came in. What takes a look at the whole body is worked out once, however many of its events need it.
 */
export class ReceivedMessage {
  readonly deliveryTag: number
  readonly content: Buffer
  readonly #properties: Buffer
  #digest: string | undefined
  #texts: string[] | null | undefined

  constructor(message: ConsumeMessage) {
    this.deliveryTag = message.fields.deliveryTag
    this.content = message.content
    this.#properties = propertiesOf(message).raw
  }

  get properties(): Properties {
    return new Properties(this.#properties)
  }

  /** The same for the same message whenever it is delivered, and another for any other. */
  get digest(): string {
    // Its body alone would make one of two messages without an id that were published at different times.
    const { messageId, timestamp } = this.properties
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
}
