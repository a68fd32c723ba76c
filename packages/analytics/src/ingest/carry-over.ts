/** The properties of its message that a dead letter keeps, and that a replayed message gets back. */

import type { Options } from 'amqplib'
import { type Fields, type FieldValue, type Properties, type ShortText, textOf } from './properties.ts'

export interface CarriedOver {
  /** For amqplib: nothing in here makes amqplib throw or the broker refuse. */
  options: Options.Publish & { headers: Fields }
  /** What could not be carried over, as `message_id` or `headers.NAME`. */
  leftOut: string[]
  /** How many bytes `options` take in a message. */
  bytes: number
}

/** The headers that this service sets on a dead letter; the message's own headers of these names are left out. */
export const OWN_HEADERS = [
  'reason',
  'set-aside-id',
  'set-aside-at',
  'source-queue',
  'index',
  'left-out',
] as const

/** By amqplib's name and AMQP's. */
const CARRIED_TEXTS: [ShortText & keyof Options.Publish, string][] = [
  ['contentType', 'content_type'],
  ['contentEncoding', 'content_encoding'],
  ['correlationId', 'correlation_id'],
  ['messageId', 'message_id'],
  ['type', 'type'],
  ['appId', 'app_id'],
]

/** Properties that the broker would act on, or that it accepts only from the publisher. */
const LEFT_TEXTS: [ShortText, string][] = [
  ['replyTo', 'reply_to'],
  ['expiration', 'expiration'],
  ['userId', 'user_id'],
  ['clusterId', 'cluster_id'],
]

/** RabbitMQ also routes a message to the keys in these headers, perhaps to our own queues. */
const ROUTING_HEADERS = ['CC', 'BCC']

/** The broker's count of how often it has delivered this message. */
const COUNTING_HEADERS = ['x-delivery-count', 'x-acquired-count']

/** The most left-out names that a header lists; there may be thousands. */
const MAX_NAMED = 50
const MAX_NAME_CHARACTERS = 100

/**
 * @param without headers to leave out because others set them
 * @param maxHeaderBytes less than amqplib's limit of 64 KiB, because the headers of a dead letter must fit as well
 */
export function carryOver(
  properties: Properties,
  without: readonly string[],
  maxHeaderBytes: number,
): CarriedOver {
  const leftOut: string[] = []
  const options: CarriedOver['options'] = { headers: Object.create(null) as Fields }
  let shortBytes = 0
  for (const [name, amqpName] of CARRIED_TEXTS) {
    const bytes = properties.shortText(name)
    if (bytes === undefined) continue
    const text = textOf(bytes)
    if (text === undefined) {
      leftOut.push(amqpName)
    } else {
      options[name] = text
      shortBytes += 1 + bytes.length
    }
  }
  for (const [name, amqpName] of LEFT_TEXTS) {
    if (properties.shortText(name) !== undefined) leftOut.push(amqpName)
  }
  const { timestamp, priority, allHeaders } = properties
  if (typeof timestamp === 'number') options.timestamp = timestamp
  else if (timestamp !== undefined) leftOut.push('timestamp')
  // Quorum queues of RabbitMQ 4 deliver by priority (no priority means 4, so 0 comes last). Retention relies on the oldest
  // dead letter coming first.
  if (priority !== undefined) leftOut.push('priority')

  let left = maxHeaderBytes
  for (const [name, value] of Object.entries(allHeaders.fields)) {
    if (COUNTING_HEADERS.includes(name)) continue
    const bytes = allHeaders.bytes.get(name)!
    if (without.includes(name) || ROUTING_HEADERS.includes(name) || bytes > left) {
      leftOut.push(`headers.${name}`)
    } else {
      options.headers[name] = value
      left -= bytes
    }
  }
  for (const name of allHeaders.unread) leftOut.push(`headers.${name}`)
  return { options, leftOut, bytes: shortBytes + maxHeaderBytes - left }
}

/** As a header's value: a short list, however many names were left out. */
export function namesOf(leftOut: readonly string[]): FieldValue[] {
  const names = leftOut.slice(0, MAX_NAMED).map(name => name.slice(0, MAX_NAME_CHARACTERS).toWellFormed())
  return leftOut.length > MAX_NAMED ? [...names, `and ${leftOut.length - MAX_NAMED} more`] : names
}
