/** Views to publish, made up from a seed, with what must come of them: good ones, repeated ones and bad ones. */

import { ARTICLE_QUEUES, EXCHANGE, ROUTING_KEY } from '@postviews/client'
import type { Options } from 'amqplib'
import { uuidv7 } from '../../packages/client/src/uuid.ts'
import { badId, type LedgerMessage } from './ledger.ts'
import { FIREFOX, GOOGLEBOT, SAFARI } from './views.ts'

export interface PlannedView {
  postUuid: string
  /** Unix seconds. */
  viewedAt: number
}

/** What must come of what was published, whatever happened on the way. */
export interface Plan {
  messages: LedgerMessage[]
  /** The good ones, by id. */
  views: Map<string, PlannedView>
  /** The `badId` of each bad one. */
  bad: Set<string>
}

export interface PlanOptions {
  views: number
  /** Of the views, published once more later. 0.1. */
  twice?: number
  /** Bad events beside each view. 0.01. */
  bad?: number
  posts?: number
  /** The views lie within so many seconds before now. Three days. */
  withinSeconds?: number
  /** At most so many events in a message; most messages hold one. 100. */
  eventsPerMessage?: number
  seed?: number
}

const DEFAULTS = {
  twice: 0.1,
  bad: 0.01,
  posts: 50,
  withinSeconds: 3 * 86_400,
  eventsPerMessage: 100,
  seed: 1,
}

/** Of the messages, those of one event. */
const SINGLE = 0.95

/** Where publishers send: the exchange of ours, and the queues of the two articles. */
const WAYS = [
  { exchange: EXCHANGE, routingKey: ROUTING_KEY },
  ...ARTICLE_QUEUES.map(queue => ({ exchange: '', routingKey: queue })),
]

export function plan(options: PlanOptions): Plan {
  const { views, twice, bad, posts, withinSeconds, eventsPerMessage, seed } = { ...DEFAULTS, ...options }
  const random = randomFrom(seed)
  const below = (limit: number) => Math.floor(random() * limit)
  const now = Math.floor(Date.now() / 1_000)
  const planned: Plan = { messages: [], views: new Map(), bad: new Set() }

  const items: Item[] = []
  for (let n = 0; n < views; n++) {
    const id = uuidv7()
    const view = { postUuid: `post-${below(posts)}`, viewedAt: now - below(withinSeconds) }
    planned.views.set(id, view)
    items.push({ id, text: textOf(id, view, below), isGood: true })
    if (random() < bad) items.push(badItem(items.length, below))
  }

  while (items.length > 0) {
    const size = random() < SINGLE ? 1 : 1 + below(eventsPerMessage)
    const together = items.splice(0, size)
    planned.messages.push(messageOf(together, WAYS[below(WAYS.length)]!))
    for (const { id, isGood } of together) if (!isGood) planned.bad.add(id)
  }
  // To the byte the same once more: that is what publishers do that saw no confirm.
  for (const message of [...planned.messages])
    if (random() < twice) planned.messages.splice(below(planned.messages.length), 0, message)
  return planned
}

/** A random order of the same. */
export function shuffled<T>(items: readonly T[], seed = 1): T[] {
  const random = randomFrom(seed)
  return items
    .map(item => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)
}

interface Item {
  id: string
  text: string
  isGood: boolean
}

function textOf(id: string, { postUuid, viewedAt }: PlannedView, below: (limit: number) => number): string {
  return JSON.stringify({
    event_id: id,
    post_uuid: postUuid,
    user_id: below(3) === 0 ? 1 + below(1_000) : null,
    ip: `192.0.2.${below(200)}`,
    user_agent: [FIREFOX, SAFARI, GOOGLEBOT][below(3)],
    referer: ['https://www.example.org/a', 'https://news.example.com/', null][below(3)],
    timestamp: new Date(viewedAt * 1_000).toISOString(),
  })
}

function badItem(n: number, below: (limit: number) => number): Item {
  const wrong = [
    { post_uuid: 'not a post!' },
    { post_uuid: undefined },
    { event_id: 'not-a-uuid' },
    { ip: '256.1.1.1' },
    { user_id: -1 },
    { timestamp: 'yesterday' },
    { user_agent: 'a\0b' },
  ][below(7)]
  const text = JSON.stringify({ event_id: uuidv7(), post_uuid: `post-${n}`, number: n, ...wrong })
  return { id: badId(text), text, isGood: false }
}

function messageOf(items: Item[], way: { exchange: string; routingKey: string }): LedgerMessage {
  const isArray = items.length > 1
  const properties: Options.Publish = { contentType: 'application/json', type: ROUTING_KEY, appId: 'test' }
  const texts = items.map(({ text }) => text)
  return {
    ...way,
    body: Buffer.from(isArray ? `[${texts.join(',')}]` : texts[0]!),
    properties,
    ids: items.map(({ id }) => id),
  }
}

/** The same numbers from 0 to 1 for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
