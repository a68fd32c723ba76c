/** An event, or a whole message, that cannot be counted, and how it is published as a dead letter. */

import { hash } from 'node:crypto'
import type { InvalidReason } from '@postviews/client/src/index.ts'
import type { Options } from 'amqplib'
import { type CarriedOver, namesOf } from './carry-over.ts'
import type { ReceivedMessage } from './received.ts'

/** Why it is one: what is wrong with it, or that no store keeps its row. */
export type DeadReason = InvalidReason | 'unstorable'

export interface DeadLetter {
  /** The message it came in. */
  message: ReceivedMessage
  queue: string
  reason: DeadReason
  /** Its place in the message's array; null when it is the whole message. */
  index: number | null
  /** The event; null when it is the whole message, whose content it is. */
  event: Buffer | null
}

export function bodyOf({ message, event }: DeadLetter): Buffer {
  return event ?? message.content
}

/** The same whenever the same message is delivered again, so that what a crash published twice can be told. */
export function setAsideId({ message, index }: DeadLetter): string {
  return hash('sha256', `${message.digest}\0${index}`).slice(0, 32)
}

/** `isBare`: without anything of what its message said of itself. */
export function publishOptions(letter: DeadLetter, id: string, isBare: boolean): Options.Publish {
  const { message, queue, reason, index } = letter
  const { options, leftOut } = isBare ? BARE : message.carriedOver(index === null)
  return {
    ...options,
    mandatory: true,
    persistent: true,
    headers: {
      // Without a time of its own a replayed event would count as of its replay.
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

/** What the headers take that each letter has, and its properties. */
const OWN_BYTES = 178

/** What a letter takes in the queue, body and headers. */
export function bytesOf(letter: DeadLetter): number {
  const { bytes, leftOut } = letter.message.carriedOver(letter.index === null)
  return bodyOf(letter).length + bytes + OWN_BYTES + namesOf(leftOut).join('').length
}
