/** Views to publish, generated from a seed, with the expected outcome: good, repeated and bad ones. */

import { ARTICLE_QUEUES, EXCHANGE, ROUTING_KEY } from '@postviews/client/src/index.ts'
import type { Options } from 'amqplib'
import { uuidv7 } from '../../packages/client/src/uuid.ts'
import { badId, type LedgerMessage } from './ledger.ts'
import { FIREFOX, GOOGLEBOT, SAFARI } from './views.ts'

export interface PlannedView {
  postUuid: string
  /** Unix seconds. */
  viewedAt: number
}

/** What must become of the published messages, whatever happens on the way. */
export interface Plan {
  messages: LedgerMessage[]
  /** The good views, by id. */
  views: Map<string, PlannedView>
  /** The `badId` of each bad event. */
  bad: Set<string>
}

export interface PlanOptions {
  views: number
  /** Share of messages that are published again later. Default 0.1. */
  twice?: number
  /** Bad events per view. Default 0.01. */
  bad?: number
  posts?: number
  /** The views lie within this many seconds before now. Default three days. */
  withinSeconds?: number
  /** Most events in a message; most messages hold one. Default 100. */
  eventsPerMessage?: number
  /** Extra bytes in each view that are not stored. Default 0. */
  paddingBytes?: number
  /** Only through the exchange, not directly to the articles' queues. Default false. */
  byExchange?: boolean
  seed?: number
}

const DEFAULTS = {
  twice: 0.1,
  bad: 0.01,
  posts: 50,
  withinSeconds: 3 * 86_400,
  eventsPerMessage: 100,
  paddingBytes: 0,
  byExchange: false,
  seed: 1,
}

/** Share of messages with a single event. */
const SINGLE = 0.95

/** The publishers' destinations: our exchange, and the queues of the two articles. */
const WAYS = [
  { exchange: EXCHANGE, routingKey: ROUTING_KEY },
  ...ARTICLE_QUEUES.map(queue => ({ exchange: '', routingKey: queue })),
]

export function plan(options: PlanOptions): Plan {
  const settings = { ...DEFAULTS, ...options }
  const { views, twice, bad, posts, withinSeconds, eventsPerMessage, paddingBytes, seed } = settings
  const random = randomFrom(seed)
  const below = (limit: number) => Math.floor(random() * limit)
  const now = Math.floor(Date.now() / 1_000)
  const padding = paddingBytes > 0 ? { padding: 'p'.repeat(paddingBytes) } : {}
  const events: PlannedEvent[] = []
  for (let n = 0; n < views; n++) {
    const view = { postUuid: `post-${below(posts)}`, viewedAt: now - below(withinSeconds) }
    events.push(goodEvent(view, { ...someReader(below), ...padding }))
    if (random() < bad) events.push(badEvent(somethingWrong(events.length, below)))
  }
  const messages: PlannedEvent[][] = []
  for (let at = 0; at < events.length; at += messages.at(-1)!.length) {
    messages.push(events.slice(at, at + (random() < SINGLE ? 1 : 1 + below(eventsPerMessage))))
  }
  const planned = planOf(shuffled(messages, seed), settings.byExchange ? WAYS.slice(0, 1) : WAYS)
  // The same bytes again: publishers do that when they saw no confirm.
  for (const message of [...planned.messages])
    if (random() < twice) planned.messages.splice(below(planned.messages.length), 0, message)
  return planned
}

/** One event; a bad one has no view. */
export interface PlannedEvent {
  id: string
  text: string | Buffer
  view?: PlannedView
}

/** A good event, with any additional fields. */
export function goodEvent(view: PlannedView, more: Record<string, unknown> = {}): PlannedEvent {
  const id = uuidv7()
  const timestamp = new Date(view.viewedAt * 1_000).toISOString()
  return { id, text: JSON.stringify({ event_id: id, post_uuid: view.postUuid, timestamp, ...more }), view }
}

/** A bad event or message; its text must be unique. */
export function badEvent(text: string | Buffer): PlannedEvent {
  return { id: badId(text), text }
}

/** Each inner list becomes a message; the messages take turns in the ways, in order. */
export function planOf(messages: Iterable<readonly PlannedEvent[]>, ways = WAYS): Plan {
  const planned: Plan = { messages: [], views: new Map(), bad: new Set() }
  for (const events of messages) {
    planned.messages.push(messageOf(events, ways[planned.messages.length % ways.length]!))
    for (const { id, view } of events) {
      if (view === undefined) planned.bad.add(id)
      else planned.views.set(id, view)
    }
  }
  return planned
}

/** The same items in random order. */
export function shuffled<T>(items: readonly T[], seed = 1): T[] {
  const random = randomFrom(seed)
  return items
    .map(item => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)
}

function someReader(below: (limit: number) => number): Record<string, unknown> {
  return {
    user_id: below(3) === 0 ? 1 + below(1_000) : null,
    ip: `192.0.2.${below(200)}`,
    user_agent: [FIREFOX, SAFARI, GOOGLEBOT][below(3)],
    referer: ['https://www.example.org/a', 'https://news.example.com/', null][below(3)],
  }
}

function somethingWrong(n: number, below: (limit: number) => number): string {
  const wrong = [
    { post_uuid: 'not a post!' },
    { post_uuid: undefined },
    { event_id: 'not-a-uuid' },
    { ip: '256.1.1.1' },
    { user_id: -1 },
    { timestamp: 'yesterday' },
    { user_agent: 'a\0b' },
  ][below(7)]
  return JSON.stringify({ event_id: uuidv7(), post_uuid: `post-${n}`, number: n, ...wrong })
}

function messageOf(
  events: readonly PlannedEvent[],
  way: { exchange: string; routingKey: string },
): LedgerMessage {
  const texts = events.map(({ text }) => text)
  const properties: Options.Publish = { contentType: 'application/json', type: ROUTING_KEY, appId: 'test' }
  const body = Buffer.from(events.length === 1 ? texts[0]! : `[${texts.join(',')}]`)
  return { ...way, body, properties, ids: events.map(({ id }) => id) }
}

/** Numbers from 0 to 1; the same seed gives the same sequence (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
