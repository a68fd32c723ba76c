/** What a dead letter keeps of the message that it came in, and what a replayed message gets back. */

import type { Options } from 'amqplib'
import { type Fields, type FieldValue, type Properties, type ShortText, textOf } from './properties.ts'

export interface CarriedOver {
  /** For amqplib to write: none of it makes amqplib throw or the broker refuse. */
  options: Options.Publish & { headers: Fields }
  /** What could not be carried over, as `message_id` or `headers.NAME`. */
  leftOut: string[]
  /** What `options` take in a message. */
  bytes: number
}

/** The headers that a dead letter has of its own; a message's own of these names are left out. */
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

/** What the broker would act on, or refuse from anybody but the publisher. */
const LEFT_TEXTS: [ShortText, string][] = [
  ['replyTo', 'reply_to'],
  ['expiration', 'expiration'],
  ['userId', 'user_id'],
  ['clusterId', 'cluster_id'],
]

/** RabbitMQ also sends a message to the routing keys that these name: to our own queues, perhaps. */
const ROUTING_HEADERS = ['CC', 'BCC']

/** The broker's own count of deliveries, of this message on its way so far. */
const COUNTING_HEADERS = ['x-delivery-count', 'x-acquired-count']

/** Of names that are left out; there may be thousands. */
const MAX_NAMED = 50
const MAX_NAME_CHARACTERS = 100

/**
 * @param without headers that are somebody else's to set
 * @param maxHeaderBytes amqplib writes headers into 64 KiB, and those of a dead letter have to fit as well
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
  // Quorum queues of RabbitMQ 4 deliver by priority (none is 4 to them, so that 0 comes last), and retention relies on the
  // oldest dead letter coming first.
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

/** As a header's value: a list that takes little room, however much was left out. */
export function namesOf(leftOut: readonly string[]): FieldValue[] {
  const names = leftOut.slice(0, MAX_NAMED).map(name => name.slice(0, MAX_NAME_CHARACTERS).toWellFormed())
  return leftOut.length > MAX_NAMED ? [...names, `and ${leftOut.length - MAX_NAMED} more`] : names
}
