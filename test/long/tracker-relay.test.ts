/** A tracker whose `url` begins with a relay: what it tracks is counted once, whatever becomes of the relay. */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { DropReason, Tracker, TrackerOptions, ViewEvent } from '@postviews/client/src/index.ts'
import { testRabbitmq } from '../../tools/stack/for-tests.ts'
import { atEnd } from '../support/at-end.ts'
import {
  assertAddsUp,
  assertAllThere,
  numbered,
  takeNumbered,
  testTracker,
  trackSteadily,
} from '../support/published.ts'
import { type Relay, startRelay } from '../support/relay.ts'
import { declareQueues } from '../support/system.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

/** Nothing listens there. */
const NOWHERE = 'amqp://127.0.0.1:1'

interface Surroundings {
  /** The broker's URL. */
  url: string
  /** The same, through the proxy. */
  fallback: string
  /** Between the tracker and its fallback. */
  proxy: TcpProxy
  /** `unix:` and the path of the relay's socket, whether a relay is there or not. */
  relayUrl: string
  /** Starts a relay, with the spool of the one before it. */
  relay(options?: { amqpUrl?: string; settings?: Record<string, string> }): Promise<Relay>
}

async function surroundings(t: TestContext): Promise<Surroundings> {
  const folder = mkdtempSync(join(tmpdir(), 'postviews-relay-'))
  atEnd(t, () => rmSync(folder, { recursive: true }))
  const { url } = await testRabbitmq()
  // They are looked at before the relay, which has the events by then, may have come to the broker.
  await declareQueues(url)
  const proxy = await startTcpProxy(Number(new URL(url).port))
  atEnd(t, () => proxy.close())
  return {
    url,
    fallback: proxy.through(url),
    proxy,
    relayUrl: `unix:${join(folder, 'relay.sock')}`,
    relay: async ({ amqpUrl = url, settings = {} } = {}) => {
      const relay = await startRelay(t, { amqpUrl, folder, settings })
      assert.ok(relay.isRunning, relay.output())
      return relay
    },
  }
}

/** Waits until the events 1 to `last` are at the broker, each under one id. */
async function allArrive(url: string, last: number): Promise<void> {
  const there = new Map<number, string>()
  await until(`${last} events have arrived`, async () => {
    for (const [number, id] of await takeNumbered(url)) {
      assert.equal(there.get(number) ?? id, id, `event ${number} was sent under two ids`)
      there.set(number, id)
    }
    return there.size >= last
  })
  assertAllThere(there, last)
}

const count = (relay: Relay) => relay.metric('accepted_total')

describe('the relay is killed with views on their way, again and again: each arrives under one id', () => {
  for (const hasFallback of [false, true]) {
    test(hasFallback ? 'with a fallback' : 'without one', async t => {
      const { url, fallback, relayUrl, relay } = await surroundings(t)
      let running = await relay()
      const tracker = testTracker(t, { url: hasFallback ? [relayUrl, fallback] : relayUrl })
      const load = trackSteadily(t, tracker, 1)
      for (let time = 1; time <= 4; time++) {
        // What this relay has taken, so that it dies in the middle of its work.
        await until('the relay takes views', async () => (await count(running)) > 100 * time)
        await running.end('SIGKILL')
        if (hasFallback) {
          const { confirmed } = tracker.stats()
          await until('the broker takes views', () => tracker.stats().confirmed > confirmed + 100)
        }
        running = await relay()
      }
      const last = await load.stop()
      assert.equal(await tracker.flush(20_000), 0)
      const { confirmed, dropped, republished } = tracker.stats()
      assert.deepEqual([confirmed, dropped], [last, 0])
      t.diagnostic(`${last} events, of which ${republished} were sent again`)
      await allArrive(url, last)
    })
  }
})

describe('the relay is away when the tracker is created', () => {
  test('without a fallback views wait for it, and the log says for what', async t => {
    const { url, relayUrl, relay } = await surroundings(t)
    const tracker = testTracker(t, { url: relayUrl })
    for (let n = 1; n <= 2_000; n++) tracker.trackView(numbered(n))
    await until('it has tried', () => tracker.logged.length > 0)
    const [{ event, detail }] = tracker.logged as [(typeof tracker.logged)[0]]
    assert.equal(event, 'relay.lost')
    assert.match(detail, /^there is no relay at \/.*relay\.sock: no such file; views wait/)
    assert.deepEqual([tracker.stats().pending, tracker.stats().connected], [2_000, false])
    await relay()
    assert.equal(await tracker.flush(20_000), 0)
    assert.ok(tracker.logged.some(entry => entry.event === 'relay.connected'))
    await allArrive(url, 2_000)
  })

  test('with a fallback the broker takes them; the relay once it is there, and the broker again once it is not', async t => {
    const { url, fallback, proxy, relayUrl, relay } = await surroundings(t)
    const tracker = testTracker(t, { url: `${relayUrl},${fallback}` })
    for (let n = 1; n <= 1_000; n++) tracker.trackView(numbered(n))
    assert.equal(await tracker.flush(20_000), 0)
    assert.match(tracker.logged[0]!.detail, /views go to the broker/)
    assert.ok(tracker.logged.some(({ event }) => event === 'broker.connected'))
    assert.equal(proxy.open, 1)

    const running = await relay()
    let n = 1_000
    await until('the relay takes them, and the broker is left', async () => {
      tracker.trackView(numbered(++n))
      return proxy.open === 0
    })
    assert.equal(await tracker.flush(20_000), 0)
    assert.ok(tracker.logged.some(({ event }) => event === 'relay.connected'))
    const taken = await count(running)
    while (n < 2_000) tracker.trackView(numbered(++n))
    assert.equal(await tracker.flush(20_000), 0)
    assert.ok((await count(running)) - taken > 500)
    await running.end('SIGTERM')
    while (n < 3_000) tracker.trackView(numbered(++n))
    assert.equal(await tracker.flush(20_000), 0)
    assert.equal(proxy.open, 1)
    const { confirmed, dropped } = tracker.stats()
    assert.deepEqual([confirmed, dropped], [3_000, 0])
    await relay()
    await allArrive(url, 3_000)
  })

  test('what the broker has not confirmed goes to the relay when the broker is lost, though nothing new comes', async t => {
    const { url, fallback, proxy, relayUrl, relay } = await surroundings(t)
    const tracker = testTracker(t, { url: [relayUrl, fallback] })
    await until('the broker is there', () => tracker.stats().connected)
    proxy.swallow('to-client')
    for (let n = 1; n <= 10; n++) tracker.trackView(numbered(n))
    const running = await relay()
    await until('it is connected to the relay', async () => (await running.metric('connections')) === 1)
    proxy.refuse()
    proxy.reset()
    assert.equal(await tracker.flush(20_000), 0)
    assert.ok(tracker.logged.some(({ event }) => event === 'relay.connected'))
    await allArrive(url, 10)
  })
})

describe('the relay hangs', () => {
  test('and the broker takes its views: nothing is lost, and the relay has them again once it goes on', async t => {
    const { url, fallback, proxy, relayUrl, relay } = await surroundings(t)
    const running = await relay()
    const tracker = testTracker(t, {
      url: [relayUrl, fallback],
      confirmTimeoutMs: 300,
      connectTimeoutMs: 300,
    })
    const load = trackSteadily(t, tracker, 1)
    await until('the relay takes views', () => tracker.stats().confirmed > 100)
    running.kill('SIGSTOP')
    await until('it is noticed', () => tracker.logged.some(({ event }) => event === 'relay.lost'))
    assert.match(
      tracker.logged.find(({ event }) => event === 'relay.lost')!.detail,
      /^the relay at .* has not answered for 300 ms; views go to the broker/,
    )
    const { confirmed } = tracker.stats()
    await until('the broker takes views', () => tracker.stats().confirmed > confirmed + 200)
    running.kill('SIGCONT')
    await until('the broker is left', () => proxy.open === 0)
    const last = await load.stop()
    assert.equal(await tracker.flush(20_000), 0)
    assert.equal(tracker.stats().dropped, 0)
    await allArrive(url, last)
  })

  test('and has the one view that tries it: a flush leaves that to the broker as well', async t => {
    const { url, fallback, relayUrl, relay } = await surroundings(t)
    const running = await relay()
    running.kill('SIGSTOP')
    const limits = { connectTimeoutMs: 2_000, retryMinMs: 1, retryMaxMs: 1 }
    const tracker = testTracker(t, { url: [relayUrl, fallback], ...limits })
    const load = trackSteadily(t, tracker, 1)
    await until('the broker takes views', () => tracker.stats().confirmed > 200)
    const last = await load.stop()
    await until('all but the one are confirmed', () => tracker.stats().pending <= 1)
    assert.equal(await tracker.flush(1_000), 0)
    for (let n = last + 1; n <= last + 500; n++) tracker.trackView(numbered(n))
    assert.equal(await tracker.flush(1_000), 0)
    await allArrive(url, last + 500)
  })

  test('without a fallback: views wait until it goes on', async t => {
    const { url, relayUrl, relay } = await surroundings(t)
    const running = await relay()
    const tracker = testTracker(t, { url: relayUrl, confirmTimeoutMs: 200, connectTimeoutMs: 200 })
    const load = trackSteadily(t, tracker)
    await until('the relay takes views', () => tracker.stats().confirmed > 300)
    running.kill('SIGSTOP')
    await until('it was tried again', () => tracker.stats().republished > 0)
    const last = await load.stop()
    assert.equal(await tracker.flush(500), tracker.stats().pending)
    assert.ok(tracker.stats().pending > 0)
    running.kill('SIGCONT')
    assert.equal(await tracker.flush(20_000), 0)
    await allArrive(url, last)
  })
})

describe('the relay is full', () => {
  /** The least that it can be given: some 3,400 views. */
  const FULL = { RELAY_MAX_BYTES: '1MiB' }
  const LAST = 5_000

  test('and the broker takes what it refuses, which nobody else has', async t => {
    const { url, fallback, relayUrl, relay } = await surroundings(t)
    const full = await relay({ amqpUrl: NOWHERE, settings: FULL })
    const tracker = testTracker(t, { url: [relayUrl, fallback] })
    for (let n = 1; n <= LAST; n++) tracker.trackView(numbered(n))
    assert.equal(await tracker.flush(20_000), 0)
    const { confirmed, dropped } = tracker.stats()
    assert.deepEqual([confirmed, dropped], [LAST, 0])
    assert.match(
      tracker.logged.find(({ event }) => event === 'relay.lost')!.detail,
      /refuses views: full; views go to the broker/,
    )
    const kept = await count(full)
    assert.ok(kept > 1_000 && kept < LAST - 500, `${kept} are in the spool`)
    await full.end('SIGKILL')
    await relay()
    await allArrive(url, LAST)
  })

  test('without a fallback: views wait until there is room', async t => {
    const { url, relayUrl, relay } = await surroundings(t)
    const full = await relay({ amqpUrl: NOWHERE, settings: FULL })
    const tracker = testTracker(t, { url: relayUrl })
    for (let n = 1; n <= LAST; n++) tracker.trackView(numbered(n))
    await until('it is refused', () => tracker.logged.some(({ event }) => event === 'relay.lost'))
    assert.match(tracker.logged.at(-1)!.detail, /refuses views: full; views wait/)
    assertAddsUp(tracker)
    assert.ok(tracker.stats().pending > 500)
    assert.equal(tracker.stats().dropped, 0)
    await full.end('SIGKILL')
    await relay()
    assert.equal(await tracker.flush(20_000), 0)
    await allArrive(url, LAST)
  })
})

test('views that break the contract are dropped and told; their neighbours arrive', async t => {
  const { url, relayUrl, relay } = await surroundings(t)
  await relay()
  const told = new Map<number, DropReason>()
  const tracker = testTracker(t, {
    url: relayUrl,
    onDrop: ({ user_id, post_uuid }, reason) => {
      told.set(Number(user_id ?? post_uuid), reason)
      assertAddsUp(tracker)
    },
  })
  const wrong: ViewEvent[] = [
    { ...numbered(1_001), ip: '203.0.113.7:443' },
    { ...numbered(1_002), event_id: 'no-uuid' },
    { ...numbered(1_003), timestamp: 'yesterday' },
    { ...numbered(1_004), referer: 'a\0b' },
    { ...numbered(1_005), post_uuid: 'a title' },
  ]
  for (let n = 1; n <= 500; n++) {
    tracker.trackView(numbered(n))
    if (n % 100 === 0) tracker.trackView(wrong[n / 100 - 1]!)
  }
  assert.equal(await tracker.flush(20_000), 0)
  const { confirmed, droppedByReason, dropped } = tracker.stats()
  assert.deepEqual([confirmed, droppedByReason.refused, dropped], [500, 5, 5])
  assert.deepEqual(
    [...told],
    [1_001, 1_002, 1_003, 1_004, 1_005].map(n => [n, 'refused']),
  )
  assert.deepEqual(
    tracker.logged.filter(({ event }) => event === 'event.dropped').map(({ detail }) => detail),
    ['refused as bad_ip'],
  )
  await allArrive(url, 500)
})

test('the largest event that the tracker sends is taken', async t => {
  const { url, relayUrl, relay } = await surroundings(t)
  await relay()
  const tracker = testTracker(t, { url: relayUrl })
  const timestamp = new Date().toISOString()
  const largest = { ...numbered(1), event_id: '0192f3a4-7b1c-7d2e-8f30-5a6b7c8d9e0f', timestamp, more: '' }
  largest.more = 'é'.repeat(Math.floor((65_536 - JSON.stringify(largest).length) / 2))
  if (Buffer.byteLength(JSON.stringify(largest)) % 2 === 1) largest.more += '.'
  tracker.trackView(largest)
  assert.ok(tracker.stats().pendingBytes >= 65_535)
  assert.equal(await tracker.flush(20_000), 0)
  assert.deepEqual([tracker.stats().confirmed, tracker.stats().dropped], [1, 0])
  await allArrive(url, 1)
})

describe('close keeps its time, drops what is left, and no socket stays', () => {
  const LIMIT = { confirmTimeoutMs: 60_000, connectTimeoutMs: 60_000 }

  /** Tracks, closes within `deadlineMs`, and looks at what was told. */
  async function closes(tracker: Tracker, told: () => number, deadlineMs: number): Promise<void> {
    const since = performance.now()
    await tracker.close(deadlineMs)
    const tookMs = performance.now() - since
    // Nothing else here ends as soon, however late timers are on a busy machine.
    assert.ok(tookMs <= 2 * deadlineMs, `${tookMs} ms`)
    const { pending, connected, droppedByReason } = tracker.stats()
    assert.deepEqual([pending, connected, droppedByReason.closed], [0, false, told()])
    assertAddsUp(tracker)
  }

  const states: [string, (at: Surroundings) => Promise<TrackerOptions['url']>, number][] = [
    ['nothing is there', async ({ relayUrl }) => relayUrl, 5_000],
    [
      'nothing is there, and the broker hangs',
      async ({ relayUrl, fallback, proxy }) => {
        proxy.swallow()
        return [relayUrl, fallback]
      },
      5_000,
    ],
    [
      'the relay hangs',
      async ({ relayUrl, relay }) => {
        const running = await relay()
        running.kill('SIGSTOP')
        return relayUrl
      },
      5_000,
    ],
    [
      'the relay is full',
      async ({ relayUrl, relay }) => {
        await relay({ amqpUrl: NOWHERE, settings: { RELAY_MAX_BYTES: '1MiB' } })
        return relayUrl
      },
      1_000,
    ],
  ]
  for (const [what, prepare, leastDropped] of states) {
    test(what, async t => {
      const at = await surroundings(t)
      const url = await prepare(at)
      let told = 0
      const tracker = testTracker(t, { url, ...LIMIT, onDrop: () => told++ })
      for (let n = 1; n <= 5_000; n++) tracker.trackView(numbered(n))
      await closes(tracker, () => told, 1_000)
      assert.ok(told >= leastDropped, `${told}`)
      await until('no socket is left', () => at.proxy.open === 0)
    })
  }

  test('the relay hangs with lines on their way', async t => {
    const { relayUrl, relay } = await surroundings(t)
    const running = await relay()
    let told = 0
    const tracker = testTracker(t, { url: relayUrl, ...LIMIT, onDrop: () => told++ })
    const load = trackSteadily(t, tracker)
    await until('the relay takes views', () => tracker.stats().confirmed > 300)
    running.kill('SIGSTOP')
    await sleep(50)
    await load.stop()
    await closes(tracker, () => told, 1_000)
    assert.ok(told > 0)
  })

  test('the relay works: nothing is dropped', async t => {
    const { url, relayUrl, relay } = await surroundings(t)
    await relay()
    const tracker = testTracker(t, { url: relayUrl })
    for (let n = 1; n <= 5_000; n++) tracker.trackView(numbered(n))
    await tracker.close(20_000)
    const { confirmed, connected } = tracker.stats()
    assert.deepEqual([confirmed, connected], [5_000, false])
    await allArrive(url, 5_000)
  })

  test('the broker has just been left for the relay', async t => {
    const { url, fallback, proxy, relayUrl, relay } = await surroundings(t)
    const tracker = testTracker(t, { url: [relayUrl, fallback] })
    tracker.trackView(numbered(1))
    assert.equal(await tracker.flush(20_000), 0)
    // It never answers the farewell.
    proxy.swallow('to-client')
    await relay()
    let n = 1
    await until('the relay takes views', () => {
      tracker.trackView(numbered(++n))
      return tracker.logged.some(({ event }) => event === 'relay.connected')
    })
    await closes(tracker, () => 0, 1_000)
    // By itself it would wait for a second.
    await until('no socket is left', () => proxy.open === 0, 500)
    await allArrive(url, n)
  })
})

test('while the relay hangs memory is bounded, and what is too much is dropped', async t => {
  const { url, relayUrl, relay } = await surroundings(t)
  const running = await relay()
  running.kill('SIGSTOP')
  const [maxBufferedBytes, dropped] = [8 * 1_048_576, new Set<number>()]
  const tracker = testTracker(t, {
    url: relayUrl,
    maxBufferedBytes,
    onDrop: ({ user_id }) => dropped.add(Number(user_id)),
  })
  const before = memoryBytes()
  const LAST = 200_000
  for (let n = 1; n <= LAST; n++) {
    tracker.trackView(numbered(n))
    if (n % 1_000 !== 0) continue
    assertAddsUp(tracker)
    assert.ok(tracker.stats().pendingBytes <= maxBufferedBytes)
    await sleep(1)
  }
  const grownBytes = memoryBytes() - before
  const { droppedByReason, pending } = tracker.stats()
  assert.equal(droppedByReason.buffer_full + pending, LAST)
  t.diagnostic(`memory grew by ${grownBytes >> 20} MiB for ${pending} events`)
  // As the option says, with what this test keeps of the drops itself.
  assert.ok(grownBytes < 2 * maxBufferedBytes + 200 * pending + 16 * 1_048_576, `${grownBytes} bytes`)
  running.kill('SIGCONT')
  assert.equal(await tracker.flush(30_000), 0)
  const there = new Set<number>()
  await until('all that was confirmed has arrived', async () => {
    for (const number of (await takeNumbered(url)).keys()) there.add(number)
    return there.size >= pending
  })
  for (let n = 1; n <= LAST; n++) assert.ok(there.has(n) !== dropped.has(n), `event ${n}`)
})

/** What the process holds on to. */
function memoryBytes(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
