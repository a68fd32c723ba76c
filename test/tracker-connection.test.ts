/** What is published survives a network that misbehaves: faults 7, 8 and 9. */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { DEAD_QUEUE, declareTopology, VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import {
  assertAddsUp,
  assertAllThere,
  eventsOf,
  messageCount,
  numbered,
  takeMessages,
  takeNumbered,
  testTracker,
  trackSteadily,
} from './support/published.ts'
import { startTcpProxy, type TcpProxy, type Verdict } from './support/tcp-proxy.ts'
import { certificate, startTlsFront } from './support/tls-front.ts'
import { until } from './support/until.ts'

/** A virtual host, and a proxy in front of it. */
async function brokerBehindProxy(t: TestContext): Promise<{ url: string; proxied: string; proxy: TcpProxy }> {
  const { url } = await testRabbitmq()
  const proxy = await startTcpProxy(Number(new URL(url).port))
  t.after(() => proxy.close())
  return { url, proxied: proxy.through(url), proxy }
}

describe('the confirm is lost', () => {
  for (const how of ['cut', 'reset'] as const) {
    test(`by a ${how}: the event is sent again under the same id`, async t => {
      const { url, proxied, proxy } = await brokerBehindProxy(t)
      const tracker = testTracker(t, { url: proxied })
      await until('it is connected', () => tracker.stats().connected)
      proxy.swallow('to-client')
      tracker.trackView(numbered(1))
      await until('the event has arrived', async () => (await messageCount(url)) === 1)
      assert.equal(tracker.stats().confirmed, 0)
      proxy.pass()
      proxy[how]()
      assert.equal(await tracker.flush(10_000), 0)

      const { confirmed, republished } = tracker.stats()
      assert.deepEqual([confirmed, republished], [1, 1])
      const messages = await takeMessages(url)
      assert.equal(messages.length, 2)
      assert.deepEqual(messages[0]?.content, messages[1]?.content)
      assert.equal(messages[0]?.properties.messageId, messages[1]?.properties.messageId)
    })
  }

  test('because the event itself was lost: it is sent again, and arrives once', async t => {
    const { url, proxied, proxy } = await brokerBehindProxy(t)
    const tracker = testTracker(t, { url: proxied })
    await until('it is connected', () => tracker.stats().connected)
    let lost = 0
    proxy.intercept(({ direction }) => {
      if (direction === 'to-client') return 'pass'
      lost++
      return 'swallow'
    })
    tracker.trackView(numbered(1))
    await until('it was sent', () => lost > 0)
    assert.deepEqual([tracker.stats().confirmed, tracker.stats().pending], [0, 1])
    proxy.pass()
    proxy.reset()
    assert.equal(await tracker.flush(10_000), 0)
    assert.equal(eventsOf(await takeMessages(url)).length, 1)
  })

  test('and nothing else shows it: after confirmTimeoutMs the connection is given up', async t => {
    const { url, proxied, proxy } = await brokerBehindProxy(t)
    const tracker = testTracker(t, { url: proxied, heartbeatSeconds: 600, confirmTimeoutMs: 300 })
    await until('it is connected', () => tracker.stats().connected)
    proxy.swallow('to-client')
    tracker.trackView(numbered(1))
    await until('the event has arrived', async () => (await messageCount(url)) === 1)
    proxy.pass()
    assert.equal(await tracker.flush(10_000), 0)
    assert.equal(eventsOf(await takeMessages(url)).length, 2)
    await until('the connection that was given up is closed', () => proxy.open === 1)
  })

  test('many times under load: every event arrives, each under one id', async t => {
    const { url, proxied, proxy } = await brokerBehindProxy(t)
    const tracker = testTracker(t, { url: proxied, maxEventsPerMessage: 5 })
    const load = trackSteadily(t, tracker)
    for (let cut = 1; cut <= 8; cut++) {
      const before = tracker.stats().confirmed
      await until('it publishes', () => tracker.stats().confirmed > before)
      proxy.swallow('to-client')
      await until('something is in flight', async () => tracker.stats().pending > 20)
      proxy.pass()
      proxy.reset()
    }
    const last = await load.stop()
    assert.equal(await tracker.flush(20_000), 0)
    assert.equal(tracker.stats().dropped, 0)
    assertAllThere(await takeNumbered(url), last)
  })
})

describe('a half-open connection', () => {
  const HEARTBEAT_SECONDS = 1

  for (const what of ['idle', 'busy'] as const) {
    test(`that is ${what} is noticed within three heartbeats, and its socket is not kept`, async t => {
      const { url, proxied, proxy } = await brokerBehindProxy(t)
      const tracker = testTracker(t, { url: proxied, heartbeatSeconds: HEARTBEAT_SECONDS })
      await until('it is connected', () => tracker.stats().connected)
      const load = what === 'busy' ? trackSteadily(t, tracker) : undefined
      await until('what there is is confirmed', () => load === undefined || tracker.stats().confirmed > 0)

      proxy.swallow()
      const since = performance.now()
      await until('it is noticed', () => !tracker.stats().connected)
      const noticedMs = performance.now() - since
      assert.ok(noticedMs < 3 * HEARTBEAT_SECONDS * 1_000 + 1_000, `${noticedMs} ms`)
      await until('the dead socket is closed', () => proxy.open <= 1)

      proxy.pass()
      proxy.reset()
      await until('it is connected again', () => tracker.stats().connected)
      const last = (await load?.stop()) ?? 1
      if (load === undefined) tracker.trackView(numbered(1))
      assert.equal(await tracker.flush(10_000), 0)
      assertAllThere(await takeNumbered(url), last)
    })
  }

  for (const [what, events, isSilentFromTheStart] of [
    ['that is idle', 0, false],
    ['with events in flight', 20_000, false],
    ['that never answered, with a full buffer', 100_000, true],
  ] as const) {
    test(`${what} does not hold up close beyond its deadline, and all is accounted for`, async t => {
      const { proxied, proxy } = await brokerBehindProxy(t)
      if (isSilentFromTheStart) proxy.swallow('to-client')
      let told = 0
      const tracker = testTracker(t, { url: proxied, onDrop: () => told++ })
      if (isSilentFromTheStart) await until('it connects', () => proxy.open > 0)
      else await until('it is connected', () => tracker.stats().connected)
      proxy.swallow()
      for (let n = 1; n <= events; n++) tracker.trackView(numbered(n))

      const deadlineMs = 1_500
      const since = performance.now()
      await tracker.close(deadlineMs)
      const tookMs = performance.now() - since
      // Nothing else here ends as soon, however late timers are on a busy machine: connecting alone may take 5 s.
      assert.ok(tookMs <= 2 * deadlineMs, `${tookMs} ms`)
      const { accepted, confirmed, pending, droppedByReason } = tracker.stats()
      assert.deepEqual([accepted, confirmed, pending, droppedByReason.closed], [events, 0, 0, events])
      assert.equal(told, events)
      await until('the socket is closed', () => proxy.open === 0)
    })
  }
})

describe('a connection that fails while it is being set up', () => {
  /** Fails the n-th connection at its n-th chunk from the broker, until one has no such chunk before it works. */
  function failOneStepLaterEachTime(proxy: TcpProxy, verdict: Verdict): void {
    const chunks = new Map<number, number>()
    proxy.intercept(({ direction, connection }) => {
      if (direction === 'to-server') return 'pass'
      const chunk = (chunks.get(connection) ?? 0) + 1
      chunks.set(connection, chunk)
      return chunk === connection ? verdict : 'pass'
    })
  }

  for (const verdict of ['reset', 'cut', 'pass-then-reset', 'swallow'] as const) {
    test(`with a ${verdict} at each step in turn is opened in the end, and the event arrives`, async t => {
      const { url, proxied, proxy } = await brokerBehindProxy(t)
      failOneStepLaterEachTime(proxy, verdict)
      const limits = { connectTimeoutMs: 300, setUpTimeoutMs: 300, confirmTimeoutMs: 300 }
      const quick = { retryMinMs: 1, retryMaxMs: 5, ...limits }
      const tracker = testTracker(t, { url: proxied, ...quick })
      tracker.trackView(numbered(1))
      assert.equal(await tracker.flush(60_000), 0)
      assertAddsUp(tracker)
      assert.ok(proxy.taken > 10, `${proxy.taken} connections`)
      assertAllThere(await takeNumbered(url), 1)
    })
  }

  test('refused for a while, is tried again', async t => {
    const { url, proxied, proxy } = await brokerBehindProxy(t)
    proxy.refuse()
    const tracker = testTracker(t, { url: proxied })
    const load = trackSteadily(t, tracker)
    await until('it has tried several times', () => proxy.taken > 3)
    proxy.pass()
    await until('it is connected', () => tracker.stats().connected)
    const last = await load.stop()
    assert.equal(await tracker.flush(10_000), 0)
    assertAllThere(await takeNumbered(url), last)
  })
})

test('declaring the topology never waits for ever, whichever answer of the broker the connection dies at', async t => {
  const { url, proxied, proxy } = await brokerBehindProxy(t)
  const setUp = await connect(url)
  await declareTopology(setUp, [VIEWS_QUEUE, DEAD_QUEUE])
  await setUp.close()
  for (let dieAt = 1, isDone = false; !isDone; dieAt++) {
    const connection = await connect(proxied)
    connection.on('error', () => {})
    let answers = 0
    proxy.intercept(({ direction }) => (direction === 'to-client' && ++answers === dieAt ? 'reset' : 'pass'))
    await Promise.race([
      declareTopology(connection, [VIEWS_QUEUE, DEAD_QUEUE]).catch(() => {}),
      sleep(5_000, undefined, { ref: false }).then(() => assert.fail(`it waits still for answer ${dieAt}`)),
    ])
    isDone = answers < dieAt
    proxy.pass()
    proxy.reset()
  }
})

test('a slow network slows the confirms, not the caller', async t => {
  const { url, proxied, proxy } = await brokerBehindProxy(t)
  const tracker = testTracker(t, { url: proxied })
  await until('it is connected', () => tracker.stats().connected)
  proxy.delay(200)
  const since = performance.now()
  for (let n = 1; n <= 1_000; n++) tracker.trackView(numbered(n))
  assert.ok(performance.now() - since < 200)
  assert.equal(await tracker.flush(20_000), 0)
  assert.ok(performance.now() - since > 400)
  proxy.pass()
  assertAllThere(await takeNumbered(url), 1_000)
})

test('amqps works, with the certificates it is told to trust and no others', async t => {
  const { url } = await testRabbitmq()
  const front = await startTlsFront(Number(new URL(url).port))
  t.after(() => front.close())
  const secure = new URL(url.replace('amqp:', 'amqps:'))
  secure.port = String(front.port)

  const trusting = testTracker(t, { url: secure.href, tls: { ca: certificate } })
  trusting.trackView(numbered(1))
  assert.equal(await trusting.flush(10_000), 0)
  const wary = testTracker(t, { url: secure.href })
  wary.trackView(numbered(2))
  await until('it refuses to connect', () => wary.logged.some(({ event }) => event === 'broker.lost'))
  assert.match(wary.logged[0]!.detail, /self-signed/)
  assert.deepEqual([...(await takeNumbered(url)).keys()], [1])
})
