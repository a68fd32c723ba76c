/** An event, or a whole message, that cannot be counted, and how it is published as a dead letter. */

import { hash } from 'node:crypto'
import type { Options } from 'amqplib'
import type { DeadReason } from '../dead-reason.ts'
import { type CarriedOver, namesOf } from './carry-over.ts'
import type { ReceivedMessage } from './received.ts'

export interface DeadLetter {
  /** The message it came in. */
  message: ReceivedMessage
  queue: string
  reason: DeadReason
  /** Its place in the message's array; null when it is the whole message. */
  index: number | null
  /** The event; null when the letter is the whole message. */
  event: Buffer | null
}

export function bodyOf({ message, event }: DeadLetter): Buffer {
  return event ?? message.content
}

/** The same for every delivery of a message: so a letter that a crash published twice can be recognised. */
export function setAsideId({ message, index }: DeadLetter): string {
  return hash('sha256', `${message.digest}\0${index}`).slice(0, 32)
}

/** `isBare`: without the properties of its message. */
export function publishOptions(letter: DeadLetter, id: string, isBare: boolean): Options.Publish {
  const { message, queue, reason, index } = letter
  const { options, leftOut } = isBare ? BARE : message.carriedOver(index === null)
  return {
    ...options,
    mandatory: true,
    persistent: true,
    headers: {
      // Without this, a replayed event that has no time of its own would count at the time of its replay.
      timestamp_in_ms: { '!': 'int64', value: Math.floor(message.receivedAt * 1_000) },
      ...options.headers,
      reason,
      'set-aside-id': id,
      'set-aside-at': new Date().toISOString(),
      'source-queue': queue,
      ...(index === null ? {} : { index }),
      ...(leftOut.length === 0 ? {} : { 'left-out': namesOf(leftOut) }),
    },
  }
}

const BARE: CarriedOver = { options: { headers: {} }, leftOut: ['all properties'], bytes: 0 }

/** Bytes of the properties and headers that every letter has. */
const OWN_BYTES = 178

/** Bytes that a letter takes in the queue, body and headers. */
export function bytesOf(letter: DeadLetter): number {
  const { bytes, leftOut } = letter.message.carriedOver(letter.index === null)
  return bodyOf(letter).length + bytes + OWN_BYTES + namesOf(leftOut).join('').length
}
