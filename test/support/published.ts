/** A tracker under test, and its events that reached the broker. */

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  createTracker,
  type LogEntry,
  type Tracker,
  type TrackerOptions,
  VIEWS_QUEUE,
  type ViewEvent,
} from '@postviews/client/src/index.ts'
import { type Channel, connect, type GetMessage } from 'amqplib'

export type TestTracker = Tracker & { logged: LogEntry[] }

/** A tracker with a quiet log and fast retries. It is closed when the test ends. */
export function testTracker(t: TestContext, options: TrackerOptions): TestTracker {
  const logged: LogEntry[] = []
  const quick = { retryMinMs: 10, retryMaxMs: 300, log: (entry: LogEntry) => logged.push(entry) }
  const tracker = createTracker({ ...quick, ...options })
  t.after(() => tracker.close(0))
  return { ...tracker, logged }
}

/** The n-th event of a test: its `user_id` identifies it everywhere. */
export function numbered(n: number): ViewEvent {
  const post_uuid = `0190163d-8694-739b-aea5-${String(n % 100).padStart(12, '0')}`
  return {
    post_uuid,
    user_id: n,
    ip: '203.0.113.7',
    user_agent: 'Mozilla/5.0',
    referer: 'https://example.org/',
  }
}

/**
 * Tracks numbered events, a few each millisecond, until stopped, and checks at each step that the counts add up. `stop` returns
 * the last number.
 */
export function trackSteadily(
  t: TestContext,
  tracker: Tracker,
  eventsPerStep = 3,
): { stop(): Promise<number> } {
  let last = 0
  let isStopped = false
  // A test that fails before calling `stop` must still end.
  t.after(() => {
    isStopped = true
  })
  const running = (async () => {
    while (!isStopped) {
      for (let n = 0; n < eventsPerStep; n++) {
        tracker.trackView(numbered(++last))
        assertAddsUp(tracker)
      }
      await sleep(1)
      assertAddsUp(tracker)
    }
    return last
  })()
  return {
    stop: () => {
      isStopped = true
      return running
    },
  }
}

export function assertAddsUp(tracker: Tracker): void {
  const { accepted, confirmed, pending, dropped } = tracker.stats()
  assert.equal(accepted, confirmed + pending + dropped)
}

/** Takes all messages out of a queue. */
export async function takeMessages(url: string, queue: string = VIEWS_QUEUE): Promise<GetMessage[]> {
  const messages: GetMessage[] = []
  await onChannel(url, async channel => {
    for (;;) {
      const message = await channel.get(queue, { noAck: true })
      if (message === false) return
      messages.push(message)
    }
  })
  return messages
}

export function eventsOf(messages: GetMessage[]): ViewEvent[] {
  return messages.flatMap(({ content }) => JSON.parse(content.toString()))
}

/** Takes all events out of a queue: the number of each (see `numbered`) with its only id. */
export async function takeNumbered(url: string, queue: string = VIEWS_QUEUE): Promise<Map<number, string>> {
  const ids = new Map<number, string>()
  for (const { user_id, event_id } of eventsOf(await takeMessages(url, queue))) {
    const number = Number(user_id)
    const id = String(event_id)
    assert.equal(ids.get(number) ?? id, id, `event ${number} was sent under two ids`)
    ids.set(number, id)
  }
  return ids
}

/** Asserts that exactly the events 1 to `last` are there. */
export function assertAllThere(ids: Map<number, string>, last: number): void {
  const missing: number[] = []
  for (let n = 1; n <= last; n++) if (!ids.has(n)) missing.push(n)
  assert.deepEqual(missing, [])
  assert.equal(ids.size, last)
  assert.equal(new Set(ids.values()).size, last)
}

export async function messageCount(url: string, queue: string = VIEWS_QUEUE): Promise<number> {
  let count = 0
  await onChannel(url, async channel => {
    count = (await channel.checkQueue(queue)).messageCount
  })
  return count
}

/** The broker's version: `[4, 3]`. */
export async function versionOf(url: string): Promise<[number, number]> {
  const connection = await connect(url)
  const { version } = connection.connection.serverProperties
  await connection.close()
  const [major, minor] = String(version).split('.').map(Number)
  return [major!, minor!]
}

/** Sends one message to each queue. */
export async function sendTo(url: string, queues: readonly string[], body: string): Promise<void> {
  const connection = await connect(url)
  const channel = await connection.createConfirmChannel()
  for (const queue of queues) channel.sendToQueue(queue, Buffer.from(body))
  await channel.waitForConfirms()
  await connection.close()
}

/** Runs a step on its own channel and connection. */
export async function onChannel(url: string, step: (channel: Channel) => Promise<unknown>): Promise<void> {
  const connection = await connect(url)
  // The step rejects anyway.
  connection.on('error', () => {})
  try {
    const channel = await connection.createChannel()
    channel.on('error', () => {})
    await step(channel)
  } finally {
    await connection.close()
  }
}
