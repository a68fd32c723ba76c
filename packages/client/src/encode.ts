/** Encodes an event for sending. The tracker uses it, and the fake that replaces the tracker in tests. */

import { isBoxedPrimitive } from 'node:util/types'
import { ownCopy } from './byte-cache.ts'
import { keptOfUrl } from './url.ts'
import { uuidv7 } from './uuid.ts'
import {
  cut,
  idOf,
  isUuid,
  MAX_MESSAGE_BYTES,
  MAX_REFERER_CHARACTERS,
  MAX_USER_AGENT_CHARACTERS,
  type ViewEvent,
} from './view.ts'

export interface EncodedView {
  json: string
  bytes: number
  /** The event's id, if it is a UUID. */
  id: string | undefined
}

/**
 * Adds an id and a time, and truncates texts to bound the memory. An event that breaks the contract is encoded as
 * well: the service keeps it for repair. Never throws; when there is nothing to send, returns a text that says why.
 */
export function encodeView(
  event: ViewEvent,
  maxBytes = MAX_MESSAGE_BYTES,
): EncodedView | 'unserializable' | 'too_large' {
  try {
    const sent = encode(event)
    if (sent === undefined) return 'unserializable'
    const bytes = Buffer.byteLength(sent.json)
    return bytes > maxBytes ? 'too_large' : { ...sent, bytes }
  } catch {
    // The event's own code threw, or JSON cannot represent a value.
    return 'unserializable'
  }
}

/**
 * Undefined if it is not an event.
 *
 * @throws what the event's getters throw, and TypeError for what JSON cannot represent
 */
function encode(event: ViewEvent): Omit<EncodedView, 'bytes'> | undefined {
  if (typeof event !== 'object' || event === null || Array.isArray(event)) return undefined
  const sent: Record<string, unknown> = { ...event }
  for (const field of IDS) {
    const id = idAsJson(sent[field])
    if (id !== sent[field]) sent[field] = id
  }
  if (isNoNumber(sent['user_id'])) {
    sent['user_id'] = null
    sent['logged_in'] = true
  }
  for (const field of TIMES) if (typeof sent[field] === 'bigint') sent[field] = String(sent[field])
  for (const [field, maxCharacters] of TEXTS) {
    const text = sent[field]
    if (typeof text === 'string') sent[field] = cut(text, maxCharacters)
  }
  for (const field of PLAIN) if (isObject(sent[field])) sent[field] = [typeof sent[field]]
  if ('url' in sent) {
    const url = keptOfUrl(sent['url'])
    if (url === null) delete sent['url']
    else sent['url'] = url
  }
  const given = sent['event_id'] ?? null
  if (given === null || (isUuid(given) && idOf(given) === null)) sent['event_id'] = uuidv7()
  if ((sent['timestamp'] ?? sent['viewed_at'] ?? null) === null) sent['timestamp'] = new Date().toISOString()
  // Undefined if the event's own toJSON returns undefined.
  const json: string | undefined = JSON.stringify(sent)
  return json === undefined
    ? undefined
    : // The id may be a substring of something large.
      { json, id: isUuid(sent['event_id']) ? ownCopy(sent['event_id']) : undefined }
}

const IDS = ['event_id', 'post_uuid', 'post_id', 'user_id'] as const satisfies (keyof ViewEvent)[]
const TIMES = ['timestamp', 'viewed_at'] as const satisfies (keyof ViewEvent)[]
const TEXTS = [
  ['user_agent', MAX_USER_AGENT_CHARACTERS],
  ['referer', MAX_REFERER_CHARACTERS],
  ['referrer', MAX_REFERER_CHARACTERS],
] as const satisfies [keyof ViewEvent, number][]

/** An object in one of these fields, such as the reader's whole account, is invalid. Only its type is sent: also invalid. */
const PLAIN = ['logged_in', 'ip', 'user_agent', 'referer', 'referrer'] as const satisfies (keyof ViewEvent)[]

/** A UUID is the longest id. Longer text may be a whole document, with a name and an e-mail address in it. */
const MAX_ID_CHARACTERS = 36

/**
 * An id as JSON can represent it: the digits of a BigInt, or the text of an object with its own toString (an
 * ObjectId, say). An invalid id stays invalid: as text, -5 would be a valid post id; as JSON, NaN is null,
 * which is an anonymous reader. Any other object is not sent: only its type is.
 */
function idAsJson(id: unknown): unknown {
  if (typeof id === 'string' || id === undefined || id === null) return id
  if (typeof id === 'number') return Number.isFinite(id) ? id : [String(id)]
  if (typeof id === 'bigint') return id > 0n ? String(id) : Math.max(Number(id), Number.MIN_SAFE_INTEGER)
  if (typeof id === 'object' && isBoxedPrimitive(id)) return idAsJson(id.valueOf())
  if (typeof id !== 'object' || !hasTextOfItsOwn(id)) return [typeof id]
  const text = String(id)
  return text.length > MAX_ID_CHARACTERS ? [typeof id] : text
}

function hasTextOfItsOwn(id: object): boolean {
  if (Array.isArray(id) || ArrayBuffer.isView(id)) return false
  return typeof id.toString === 'function' && id.toString !== Object.prototype.toString
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

const NUMBER_OR_NOTHING = /^\s*(?:[+-]?\d[\d.,]*)?\s*$/

/** True for an id such as a UUID. It cannot be sent, but it tells that the reader is logged in. */
function isNoNumber(userId: unknown): boolean {
  return typeof userId === 'string' && !NUMBER_OR_NOTHING.test(userId)
}
