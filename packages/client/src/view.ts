/**
 * The wire contract: what a publisher writes, and what it means once read.
 *
 * A message holds one event, or an array of them. `decodeMessage` reads it, and tells for each event what is
 * wrong with it, so that one bad event never harms its neighbours.
 */

import { isUtf8 } from 'node:buffer'
import { isIP, isIPv4, SocketAddress } from 'node:net'
import { ownCopy } from './byte-cache.ts'
import {
  CLOCK_MAY_BE_AHEAD_SECONDS,
  type MessageTime,
  type PhpDateTime,
  readMessageTime,
  readSentTime,
  readTime,
  type TimeSource,
  type ZoneTime,
} from './time.ts'

export const MAX_EVENTS_PER_MESSAGE = 1_000
export const MAX_MESSAGE_BYTES = 1_048_576
export const MAX_USER_AGENT_CHARACTERS = 2_000
export const MAX_REFERER_CHARACTERS = 500
export const MAX_URL_CHARACTERS = 500

/** An event's own time further ahead than this is invalid. */
const MAX_AHEAD_SECONDS = 86_400

/** One event as publishers write it. Unknown fields are ignored. */
export interface ViewEvent {
  /** A UUID, or any 1 to 36 characters of `A-Z a-z 0-9 _ -`, or a positive integer. */
  post_uuid?: string | number | bigint
  /** Another name for `post_uuid`. */
  post_id?: string | number | bigint
  /**
   * A UUID. With one, the view is counted exactly once, however often it is delivered. The nil and the max UUID (all zeros,
   * all f) count as absent.
   */
  event_id?: string | null
  /** A positive integer below 2^64, as a text of digits above 2^53 - 1; null or absent for an anonymous reader. */
  user_id?: number | string | bigint | null
  /** Default: whether there is a `user_id`. For readers who are logged in but whose ids are not integers. */
  logged_in?: boolean | null
  /** IPv4 or IPv6. */
  ip?: string | null
  user_agent?: string | null
  referer?: string | null
  /** Another name for `referer`. */
  referrer?: string | null
  /**
   * The address that the reader requested: absolute, or path and query. `trackView` sends only the query's
   * `utm_source`, `utm_medium`, `utm_campaign` and `ref`.
   */
  url?: string | URL | null
  /**
   * ISO 8601 (which a Date becomes in JSON), `YYYY-MM-DD HH:MM:SS`, a PHP DateTime, or Unix time in seconds (below 10^11),
   * milliseconds (below 10^14), microseconds (below 10^17) or nanoseconds. No offset: UTC.
   */
  timestamp?: ViewTime | null
  /** Another name for `timestamp`. */
  viewed_at?: ViewTime | null
}

export type ViewTime = string | number | bigint | Date | PhpDateTime

/** One view, read and checked. */
export interface View {
  /** A lower-case UUID, or null: then it is counted at least once. */
  eventId: string | null
  /** A UUID is in lower case; any other id as it came. */
  postUuid: string
  /** Decimal digits; null for an anonymous reader. */
  userId: string | null
  /** Always true with a user id. */
  loggedIn: boolean
  /** In its one canonical spelling. */
  ip: string | null
  userAgent: string | null
  referer: string | null
  /** The address that the reader requested. One that is no text is null: it never makes a view invalid. */
  url: string | null
  /** Unix time, whole seconds. */
  viewedAt: number
  /**
   * The view's time as the publisher sent it, in the event or as the AMQP timestamp of a message with a
   * message_id. It stays the same when the publisher sends the event again. Kept even if it is impossible, so
   * that `viewedAt` differs. Unix seconds; null: none was sent.
   */
  ownTime: number | null
  timeSource: TimeSource
  /** Its place in its message's array; null when the message is one event. */
  index: number | null
}

/** Why an event, or a whole message, cannot be counted. */
export const INVALID_REASONS = {
  too_large: 'the message is over 1 MiB',
  not_utf8: 'the message is not valid UTF-8',
  not_json: 'the message is not JSON',
  empty: 'the array of events is empty',
  too_many: 'the array holds more than 1,000 events',
  not_an_event: 'an event is a JSON object',
  nul: 'a text holds a NUL character',
  no_post: 'post_uuid is missing',
  bad_post: 'post_uuid is not a UUID, 1 to 36 characters of A-Z a-z 0-9 _ -, or a positive integer',
  bad_event_id: 'event_id is not a UUID',
  bad_user: 'user_id is not a positive integer below 2^64',
  imprecise: 'a JSON number above 2^53 - 1 has lost digits; send it as a string',
  bad_logged_in: 'logged_in is neither true nor false',
  bad_ip: 'ip is not an IPv4 or IPv6 address',
  bad_user_agent: 'user_agent is not a string',
  bad_referer: 'referer is not a string',
  bad_time:
    'timestamp is not ISO 8601, YYYY-MM-DD HH:MM:SS, a PHP DateTime or Unix time, or it is over a day ahead',
  too_old: 'the view is older than EVENT_MAX_AGE',
} as const

export type InvalidReason = keyof typeof INVALID_REASONS

/** An event, or a whole message, that cannot be counted. */
export interface InvalidView {
  reason: InvalidReason
  /** Its place in the array; null when it is the whole message. */
  index: number | null
  /** The event, or the message, to the byte as it was published. */
  body: Buffer
}

/** The AMQP properties of a message that matter for reading it. */
export interface MessageProperties {
  messageId?: unknown
  /** The AMQP timestamp: Unix time as a number, a bigint or digits. */
  timestamp?: unknown
  headers?: { [name: string]: unknown } | undefined
}

export interface DecodeOptions {
  /** Unix seconds, fractions allowed. */
  receivedAt: number
  /** Views older than this when received are `too_old`. */
  maxAgeSeconds: number
  /** Reads times in PHP's zones. Without it, only those in UTC are read; the others are `bad_time`. */
  zoneTime?: ZoneTime
}

export interface DecodedMessage {
  views: View[]
  invalid: InvalidView[]
  /** Views that came with an unusable id: the nil UUID, the max UUID, or a message_id that is not a UUID. */
  idsIgnored: number
  /** Views whose own time was ahead, up to a day: the publisher's clock is wrong, so the time of receipt is used. */
  timesAhead: number
  /** Views without a time of their own, whose message had an impossible one: the next source of a time is used. */
  amqpTimesIgnored: number
}

/** Reads one message. Never throws: whatever cannot be counted is in `invalid`, everything else in `views`. */
export function decodeMessage(
  body: Buffer,
  properties: MessageProperties,
  { receivedAt, maxAgeSeconds, zoneTime }: DecodeOptions,
): DecodedMessage {
  const result: DecodedMessage = {
    views: [],
    invalid: [],
    idsIgnored: 0,
    timesAhead: 0,
    amqpTimesIgnored: 0,
  }
  const whole = (reason: InvalidReason): DecodedMessage => {
    result.invalid.push({ reason, index: null, body })
    return result
  }

  if (body.length > MAX_MESSAGE_BYTES) return whole('too_large')
  if (!isUtf8(body)) return whole('not_utf8')
  const text = body.toString('utf8')
  let content: unknown
  try {
    content = JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text)
  } catch {
    // JSON.parse quotes the message in its error, and a message may hold personal data.
    return whole('not_json')
  }

  const events: unknown[] = Array.isArray(content) ? content : [content]
  if (events.length === 0) return whole('empty')
  if (events.length > MAX_EVENTS_PER_MESSAGE) return whole('too_many')

  const messageId = (events.length === 1 ? properties.messageId : null) ?? null
  const eventId = isUuid(messageId) ? idOf(messageId) : null
  const message: MessageOfEvents = {
    eventId,
    isIdIgnored: messageId !== null && eventId === null,
    properties,
    time: undefined,
    zoneTime,
    now: Math.floor(receivedAt),
    oldest: Math.floor(receivedAt) - maxAgeSeconds,
    result,
  }
  let texts: string[] | undefined
  for (let index = 0; index < events.length; index++) {
    const view = decodeEvent(events[index], message, Array.isArray(content) ? index : null)
    if (typeof view === 'object') {
      // An array literal has no spare capacity, as `push` would add: thousands of these arrays are in memory at a time.
      if (result.views.length === 0) result.views = [view]
      else result.views.push(view)
    } else if (Array.isArray(content)) {
      texts ??= elementTexts(text)
      result.invalid.push({ reason: view, index, body: Buffer.from(texts[index]!) })
    } else {
      whole(view)
    }
  }
  return result
}

/**
 * Why the service would not count this event, independent of clocks and the time of arrival; undefined: it
 * would. Does not check whether a time zone exists.
 */
export function whyInvalid(event: unknown): InvalidReason | undefined {
  const message: MessageOfEvents = {
    eventId: null,
    isIdIgnored: false,
    properties: {},
    time: undefined,
    zoneTime: () => 0,
    now: Infinity,
    oldest: -Infinity,
    result: { views: [], invalid: [], idsIgnored: 0, timesAhead: 0, amqpTimesIgnored: 0 },
  }
  const view = decodeEvent(event, message, null)
  return typeof view === 'string' ? view : undefined
}

/** What the events of one message have in common. */
interface MessageOfEvents {
  /** The id of the message's only event, unless the event has its own. */
  eventId: string | null
  /** The message has a message_id that is not a usable id. */
  isIdIgnored: boolean
  properties: MessageProperties
  /** For events without a time of their own; read when the first of them needs it. */
  time: MessageTime | undefined
  zoneTime: ZoneTime | undefined
  now: number
  oldest: number
  /** Its counters are updated here. */
  result: DecodedMessage
}

function decodeEvent(event: unknown, message: MessageOfEvents, index: number | null): View | InvalidReason {
  if (typeof event !== 'object' || event === null || Array.isArray(event)) return 'not_an_event'
  const fields = event as Record<string, unknown>

  const postUuid = decodePost(fields['post_uuid'] ?? fields['post_id'])
  if (isReason(postUuid)) return postUuid.reason

  const givenId = fields['event_id'] ?? null
  if (givenId !== null && !isUuid(givenId)) return 'bad_event_id'
  const ownId = givenId === null ? null : idOf(givenId)

  const userId = decodeUser(fields['user_id'] ?? null)
  if (isReason(userId)) return userId.reason
  const loggedIn = fields['logged_in'] ?? null
  if (loggedIn !== null && typeof loggedIn !== 'boolean') return 'bad_logged_in'

  const ip = fields['ip'] ?? null
  const canonical = ip === null ? null : typeof ip === 'string' ? canonicalIp(ip) : undefined
  if (canonical === undefined) return 'bad_ip'

  const userAgent = fields['user_agent'] ?? null
  if (userAgent !== null && typeof userAgent !== 'string') return 'bad_user_agent'
  const referer = fields['referer'] ?? fields['referrer'] ?? null
  if (referer !== null && typeof referer !== 'string') return 'bad_referer'
  if (userAgent?.includes('\0') || referer?.includes('\0')) return 'nul'

  const { now, oldest, result } = message
  const time = fields['timestamp'] ?? fields['viewed_at'] ?? null
  const own = time === null ? null : readTime(time, message.zoneTime)
  if (own === undefined || (own !== null && own > now + MAX_AHEAD_SECONDS)) return 'bad_time'
  const isAhead = own !== null && own > now + CLOCK_MAY_BE_AHEAD_SECONDS
  const instead = own === null ? timeOf(message) : null
  const viewedAt = isAhead ? now : (own ?? instead!.seconds)
  if (viewedAt < oldest) return 'too_old'

  if (ownId === null && (givenId !== null || message.isIdIgnored)) result.idsIgnored++
  if (isAhead) result.timesAhead++
  if (instead?.isNextBest) result.amqpTimesIgnored++
  return {
    eventId: ownId ?? message.eventId,
    postUuid,
    userId,
    loggedIn: userId !== null || loggedIn === true,
    ip: canonical,
    userAgent: cut(userAgent, MAX_USER_AGENT_CHARACTERS),
    referer: cut(referer, MAX_REFERER_CHARACTERS),
    url: decodeUrl(fields['url']),
    viewedAt,
    ownTime: own ?? sentTimeOf(message),
    timeSource: isAhead ? 'receipt' : (instead?.source ?? 'event'),
    index,
  }
}

function decodeUrl(url: unknown): string | null {
  return typeof url === 'string' && !url.includes('\0') ? cut(url, MAX_URL_CHARACTERS) : null
}

function sentTimeOf({ properties }: MessageOfEvents): number | null {
  return (properties.messageId ?? null) === null ? null : readSentTime(properties.timestamp)
}

/** True for a UUID of any version, in upper or lower case. */
export function isUuid(value: unknown): value is string {
  return typeof value === 'string' && UUID.test(value)
}

/**
 * A UUID in lower case; null for the nil and the max UUID (RFC 9562). Programs that set no id send one of these
 * with every view, so all their views would count as one.
 */
export function idOf(uuid: string): string | null {
  const id = uuid.toLowerCase()
  return id === NIL_UUID || id === MAX_UUID ? null : id
}

const NIL_UUID = '00000000-0000-0000-0000-000000000000'
const MAX_UUID = 'ffffffff-ffff-ffff-ffff-ffffffffffff'
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const POST_ID = /^[A-Za-z0-9_-]{1,36}$/
const USER_ID = /^[1-9][0-9]{0,19}$/
const USER_ID_LIMIT = 2n ** 64n

/** An unusable value. An object, to distinguish it from usable texts. */
interface Refused {
  reason: InvalidReason
}

function isReason(value: string | null | Refused): value is Refused {
  return typeof value === 'object' && value !== null
}

function decodePost(post: unknown): string | Refused {
  if (post === undefined || post === null) return { reason: 'no_post' }
  if (typeof post === 'number') return decodeInteger(post, 'bad_post')
  if (typeof post !== 'string') return { reason: 'bad_post' }
  return canonicalPost(post) ?? { reason: post.includes('\0') ? 'nul' : 'bad_post' }
}

/** The one spelling of a post's id (a UUID in lower case, any other as it is), or undefined if it cannot be one. */
export function canonicalPost(post: string): string | undefined {
  if (!POST_ID.test(post)) return undefined
  return UUID.test(post) ? post.toLowerCase() : post
}

function decodeUser(user: unknown): string | null | Refused {
  if (user === null) return null
  if (typeof user === 'number') return decodeInteger(user, 'bad_user')
  return typeof user === 'string' && isUserId(user) ? user : { reason: 'bad_user' }
}

/** Whether the text is the decimal digits of a whole number from 1 to 2^64 - 1. */
export function isUserId(text: string): boolean {
  return USER_ID.test(text) && BigInt(text) < USER_ID_LIMIT
}

function decodeInteger(value: number, reason: InvalidReason): string | Refused {
  if (!Number.isInteger(value) || value <= 0) return { reason }
  return Number.isSafeInteger(value) ? String(value) : { reason: 'imprecise' }
}

// Eight groups, none of them zero: nothing to compress. Most readers have such an address, and a SocketAddress
// takes longer than reading all the rest of a view.
const SPELLED_OUT_IPV6 = /^(?:[1-9a-f][0-9a-f]{0,3}:){7}[1-9a-f][0-9a-f]{0,3}$/

/**
 * The one canonical spelling of an address: IPv6 compressed and in lower case, without a zone; an IPv4 address
 * mapped into IPv6 as plain IPv4. Undefined if it is no address.
 */
export function canonicalIp(ip: string): string | undefined {
  if (isIPv4(ip) || SPELLED_OUT_IPV6.test(ip)) return ip
  if (isIP(ip) !== 6) return undefined
  const { address } = new SocketAddress({ address: ip, family: 'ipv6' })
  return address.startsWith('::ffff:') && isIPv4(address.slice(7)) ? address.slice(7) : address
}

/**
 * Truncates to `maxCharacters` code points; lone surrogates become U+FFFD. The text that was cut off is not kept in memory.
 */
export function cut(text: string | null, maxCharacters: number): string | null {
  if (text === null) return null
  if (text.length <= maxCharacters) return text.toWellFormed()
  let end = 0
  for (let count = 0; count < maxCharacters && end < text.length; count++) {
    end += text.codePointAt(end)! > 0xffff ? 2 : 1
  }
  return ownCopy(text.slice(0, end)).toWellFormed()
}

/** When a message was published, for its events without a time of their own. */
function timeOf(message: MessageOfEvents): MessageTime {
  message.time ??= readMessageTime(message.properties, message.now)
  return message.time
}

/**
 * The text of each element of a JSON array, exactly as written: parsing and serializing it would lose the very
 * digits that made one `imprecise`, and overflow the stack where nesting is deep. `text` must be valid JSON.
 */
export function elementTexts(text: string): string[] {
  const elements: string[] = []
  let depth = 0
  let start = text.indexOf('[') + 1
  for (let at = start; at < text.length; at++) {
    const character = text[at]
    if (character === '"') {
      at = endOfString(text, at)
    } else if (depth === 0 && (character === ',' || character === ']')) {
      elements.push(text.slice(start, at).trim())
      start = at + 1
    } else if (character === '[' || character === '{') {
      depth++
    } else if (character === ']' || character === '}') {
      depth--
    }
  }
  return elements
}

function endOfString(text: string, opening: number): number {
  for (let at = opening + 1; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === '"') return at
  }
  return text.length
}
