/** The events that every contender gets: the same seed gives the same events, except for the random bits of their ids. */

import type { ViewEvent } from '@postviews/client/src/index.ts'
import { Outbox } from '../packages/client/src/outbox.ts'
import { uuidv7 } from '../packages/client/src/uuid.ts'
import { Random } from '../tools/life/random.ts'
import { botAgent, browserAgent } from './agents.ts'

export interface EventsOptions {
  seed: string
  count: number
  /** The time of the last event; Unix milliseconds. */
  untilMs: number
  /** Default 1,000. */
  posts?: number
  /** The events are spread evenly over this many days, in order. Default 3. */
  days?: number
}

/** An event with every field that our publishers write. */
export type BenchEvent = Required<
  Pick<ViewEvent, 'event_id' | 'user_id' | 'ip' | 'user_agent' | 'referer'>
> & {
  post_uuid: string
  /** ISO 8601. */
  timestamp: string
}

/** Events that travel in one message. */
export interface BenchMessage {
  /** The AMQP message_id. */
  id: string
  body: Buffer
  events: number
}

const DAY_MS = 86_400_000
/** Readers who come back. */
const READERS = 5_000
const RETURNING_SHARE = 0.65
/** 30 % of all views: only readers who come back are signed in. */
const SIGNED_IN_SHARE = 0.3 / RETURNING_SHARE
const BOT_SHARE = 0.06
const IPV4_SHARE = 0.6
const REFERER_SHARE = 0.6

const SITES = [
  'https://www.google.com/',
  'https://www.bing.com/',
  'https://duckduckgo.com/',
  'https://news.ycombinator.com/item?id=',
  'https://www.reddit.com/r/programming/comments/',
  'https://t.co/',
  'https://www.facebook.com/l.php?u=https%3A%2F%2Fblog.example%2Fposts%2F',
  'https://lobste.rs/s/',
  'https://mastodon.social/@reader/',
  'https://blog.example/posts/',
  'https://blog.example/',
  'https://wykop.pl/link/',
  'android-app://com.google.android.googlequicksearchbox/',
] as const

/** Oldest first, as in a queue. */
export function makeEvents(options: EventsOptions): BenchEvent[] {
  return [...generateEvents(options)]
}

/** As `makeEvents`, for more events than should be in memory at once. */
export function* generateEvents(options: EventsOptions): Generator<BenchEvent> {
  const { seed, count, untilMs, posts: postCount = 1_000, days = 3 } = options
  const random = new Random(seed)
  const posts = postUuids(postCount)
  const readers = Array.from({ length: READERS }, (_, number) => newReader(random, number))
  const fromMs = untilMs - days * DAY_MS
  for (let number = 0; number < count; number++) {
    const atMs = Math.floor(fromMs + ((number + random.fraction()) / count) * (untilMs - fromMs))
    const reader = random.chance(RETURNING_SHARE)
      ? readers[Math.floor(random.fraction() ** 2 * READERS)]!
      : newReader(random, undefined)
    yield {
      post_uuid: posts[zipf(random, postCount)]!,
      user_id: reader.userId,
      ip: reader.ip,
      user_agent: reader.agent,
      referer: random.chance(REFERER_SHARE) ? referer(random) : null,
      event_id: uuidv7(atMs),
      timestamp: new Date(atMs).toISOString(),
    }
  }
}

/** The same posts in every process. */
export function postUuids(count: number): string[] {
  const random = new Random('posts')
  return Array.from({ length: count }, () => random.uuid())
}

/** Few posts are popular, most are hardly read: rank r has a probability of about r^-1 (Zipf). Ranks start at 0. */
export function zipf(random: Random, count: number): number {
  return Math.min(count - 1, Math.floor(Math.exp(random.fraction() * Math.log(count + 1))) - 1)
}

/** One message per event, as the client sends it when configured so. */
export function oneByOne(events: readonly BenchEvent[]): BenchMessage[] {
  return events.map(event => ({
    id: event.event_id!,
    body: Buffer.from(JSON.stringify(event)),
    events: 1,
  }))
}

/** Groups events as the client does, with its own code and defaults (see `createTracker`). */
export function grouped(events: readonly BenchEvent[]): BenchMessage[] {
  const outbox = new Outbox({
    maxBufferedEvents: Number.POSITIVE_INFINITY,
    maxBufferedBytes: Number.POSITIVE_INFINITY,
    maxEventsPerMessage: 100,
    maxMessageBytes: 65_536,
  })
  for (const event of events) {
    const json = JSON.stringify(event)
    outbox.add(json, Buffer.byteLength(json), event.event_id!)
  }
  outbox.seal()
  const messages: BenchMessage[] = []
  for (let message = outbox.take(); message !== undefined; message = outbox.take()) {
    messages.push({ id: message.id, body: Buffer.from(message.json), events: message.events })
  }
  return messages
}

interface Reader {
  ip: string
  agent: string
  userId: number | null
}

function newReader(random: Random, number: number | undefined): Reader {
  if (number === undefined && random.chance(BOT_SHARE / (1 - RETURNING_SHARE))) {
    return { ip: address(random), agent: botAgent(random), userId: null }
  }
  const isSignedIn = number !== undefined && random.chance(SIGNED_IN_SHARE)
  return { ip: address(random), agent: browserAgent(random), userId: isSignedIn ? 1_000 + number : null }
}

function referer(random: Random): string {
  const site = random.pick(SITES)
  return /[=/]$/.test(site) && random.chance(0.7) ? site + random.below(1e7).toString(36) : site
}

/**
 * Addresses that belong to nobody: 198.18.0.0/15 is reserved for tests, 2001:db8::/32 for documentation. Readers' IPv6 addresses
 * are random to the last bit.
 */
function address(random: Random): string {
  if (random.chance(IPV4_SHARE))
    return `198.${18 + random.below(2)}.${random.below(256)}.${1 + random.below(254)}`
  const group = () => (1 + random.below(65_535)).toString(16)
  const groups = Array.from({ length: 6 }, group)
  return `2001:db8:${groups.join(':')}`
}
