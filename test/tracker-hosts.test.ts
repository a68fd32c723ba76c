/** The nodes of a cluster by their URLs: whichever is away, silent, stopped, stuck or refuses, the next one has its turn. */

import assert from 'node:assert/strict'
import { after, before, describe, type TestContext, test } from 'node:test'
import { VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { type Rabbitmq, startRabbitmq } from '../tools/stack/rabbitmq.ts'
import {
  assertAddsUp,
  assertAllThere,
  numbered,
  onChannel,
  takeNumbered,
  testTracker,
  trackSteadily,
} from './support/published.ts'
import { type Frame, refuseChannels } from './support/refusing-channels.ts'
import { startTcpProxy, type TcpProxy } from './support/tcp-proxy.ts'
import { until } from './support/until.ts'

interface Nodes {
  url: string
  /** One URL for each of the proxies in front of the broker: its nodes, as far as the tracker can tell. */
  urls: string[]
  proxies: TcpProxy[]
}

async function nodes(t: TestContext, count: number): Promise<Nodes> {
  const { url } = await testRabbitmq()
  const proxies: TcpProxy[] = []
  for (let n = 0; n < count; n++) {
    const proxy = await startTcpProxy(Number(new URL(url).port))
    t.after(() => proxy.close())
    proxies.push(proxy)
  }
  return { url, urls: proxies.map(proxy => proxy.through(url)), proxies }
}

describe('a host that is no use is passed over', () => {
  const ways: [string, (proxy: TcpProxy) => unknown][] = [
    ['nothing listens there', proxy => proxy.close()],
    ['it resets each connection', proxy => proxy.refuse()],
    ['it takes the connection and says nothing', proxy => proxy.swallow()],
    // The broker's start, and nothing after it.
    ['it falls silent while the channel is opened', proxy => swallowAfter(proxy, 600)],
  ]
  for (const [how, spoil] of ways) {
    test(how, async t => {
      const { url, urls, proxies } = await nodes(t, 3)
      for (const proxy of proxies.slice(0, 2)) await spoil(proxy)
      const limits = { connectTimeoutMs: 500, setUpTimeoutMs: 500 }
      const tracker = testTracker(t, { url: urls.join(','), ...limits })
      const since = performance.now()
      for (let n = 1; n <= 500; n++) tracker.trackView(numbered(n))
      assert.equal(await tracker.flush(10_000), 0)
      assert.ok(performance.now() - since < 5_000)
      assertAllThere(await takeNumbered(url), 500)
      assert.equal(tracker.stats().republished, 0)
    })
  }
})

function swallowAfter(proxy: TcpProxy, limit: number): void {
  proxy.intercept(({ direction, bytesBefore }) =>
    direction === 'to-client' && bytesBefore > limit ? 'swallow' : 'pass',
  )
}

test('nodes that fail one after the other under load: every event arrives, each under one id', async t => {
  const { url, urls, proxies } = await nodes(t, 3)
  const tracker = testTracker(t, { url: urls, maxEventsPerMessage: 5, heartbeatSeconds: 1 })
  const load = trackSteadily(t, tracker)
  for (let round = 0; round < 6; round++) {
    const confirmed = tracker.stats().confirmed
    await until('it publishes', () => tracker.stats().confirmed > confirmed + 100)
    const proxy = proxies.find(({ open }) => open > 0)!
    if (round % 2 === 0) {
      proxy.refuse()
      proxy.reset()
    } else {
      proxy.swallow()
    }
    await until('it has left that node', () => proxies.some(other => other !== proxy && other.open > 0))
    proxy.pass()
  }
  const last = await load.stop()
  assert.equal(await tracker.flush(20_000), 0)
  assert.equal(tracker.stats().dropped, 0)
  assert.ok(proxies.every(({ taken }) => taken > 1))
  assertAllThere(await takeNumbered(url), last)
})

test('a connection that is stuck, its heartbeats in order, is left for the next host when a confirm is late', async t => {
  const { url, urls, proxies } = await nodes(t, 2)
  const confirmTimeoutMs = 1_000
  const tracker = testTracker(t, { url: urls, heartbeatSeconds: 600, confirmTimeoutMs })
  tracker.trackView(numbered(1))
  assert.equal(await tracker.flush(10_000), 0)
  const [stuck, other] = proxies as [TcpProxy, TcpProxy]
  stuck.swallow('to-client')
  const since = performance.now()
  for (let n = 2; n <= 500; n++) tracker.trackView(numbered(n))
  assert.equal(await tracker.flush(10_000), 0)
  const tookMs = performance.now() - since
  assert.ok(tookMs >= confirmTimeoutMs && tookMs < confirmTimeoutMs + 1_000, `${tookMs} ms`)
  // Its `close` is waited for by nobody: there will be none.
  await until('the stuck connection is closed', () => stuck.open === 0)
  assert.equal(other.taken, 1)
  assertAllThere(await takeNumbered(url), 500)
})

describe('what the broker refuses', () => {
  test('is sent again on another channel, half a second later, and never again on the same', async t => {
    const { url, urls, proxies } = await nodes(t, 1)
    const [proxy] = proxies as [TcpProxy]
    let poisoned: number | undefined
    const frames = refuseChannels(proxy, ({ channel }) => {
      // The first channel that anything is published on, for good.
      poisoned ??= channel
      return channel === poisoned
    })
    const tracker = testTracker(t, { url: urls, maxEventsPerMessage: 1 })
    for (let n = 1; n <= 20; n++) tracker.trackView(numbered(n))
    assert.equal(await tracker.flush(10_000), 0)

    const refusedAtMs = frames.find(({ name }) => name === 'refuse')!.atMs
    const later = frames.filter(({ name, atMs }) => name === 'publish' && atMs > refusedAtMs + 50)
    assert.equal(later.length, 20)
    assert.ok(later.every(({ channel }) => channel !== poisoned))
    assert.ok(later[0]!.atMs - refusedAtMs >= 490, `${later[0]!.atMs - refusedAtMs} ms`)
    assert.equal(proxy.taken, 1)
    const { accepted, confirmed, republished } = tracker.stats()
    assert.deepEqual([accepted, confirmed, republished], [20, 20, 20])
    assertAllThere(await takeNumbered(url), 20)
  })

  test('on two channels in a row goes to the next host', async t => {
    const { url, urls, proxies } = await nodes(t, 2)
    const [refusing, other] = proxies as [TcpProxy, TcpProxy]
    const frames = refuseChannels(refusing, () => true)
    const tracker = testTracker(t, { url: urls })
    for (let n = 1; n <= 20; n++) tracker.trackView(numbered(n))
    assert.equal(await tracker.flush(10_000), 0)
    assert.deepEqual([refusing.taken, other.taken], [1, 1])
    assert.equal(channelsOf(frames).size, 2)
    assertAddsUp(tracker)
    assert.equal(tracker.stats().confirmed, 20)
    assertAllThere(await takeNumbered(url), 20)
  })

  test('because a queue is full waits, on one new channel after the other, and arrives as it is emptied', async t => {
    const { url, urls, proxies } = await nodes(t, 2)
    await onChannel(url, async channel => {
      const full = { 'x-max-length': 1, 'x-overflow': 'reject-publish' }
      await channel.assertQueue(VIEWS_QUEUE, { durable: true, arguments: full })
    })
    const frames = proxies.map(proxy => refuseChannels(proxy, () => false))
    const tracker = testTracker(t, { url: urls, maxEventsPerMessage: 1, maxInFlight: 1 })
    for (let n = 1; n <= 10; n++) tracker.trackView(numbered(n))
    await until('each host has refused twice', () =>
      frames.every(each => each.filter(({ name }) => name === 'refuse').length > 1),
    )
    for (const frame of frames.flat()) {
      if (frame.name === 'refuse') assert.equal(publishedAfter(frames.flat(), frame).length, 0)
    }
    assertAddsUp(tracker)
    const there = new Map<number, string>()
    await until('all have arrived', async () => {
      for (const [number, id] of await takeNumbered(url)) there.set(number, id)
      return there.size === 10
    })
    assert.equal(await tracker.flush(10_000), 0)
    assertAllThere(there, 10)
  })
})

function channelsOf(frames: Frame[]): Set<string> {
  return new Set(frames.map(({ connection, channel }) => `${connection} ${channel}`))
}

/** What was published later on the same channel of the same connection, numbers being used again long after. */
function publishedAfter(frames: Frame[], { atMs, channel, connection }: Frame): Frame[] {
  return frames.filter(
    frame =>
      frame.name === 'publish' &&
      frame.connection === connection &&
      frame.channel === channel &&
      frame.atMs > atMs &&
      frame.atMs < atMs + 400,
  )
}

test('with every host silent the buffer fills, drops are told, and close keeps its time', async t => {
  const { urls, proxies } = await nodes(t, 3)
  let told = 0
  const tracker = testTracker(t, { url: urls, maxBufferedEvents: 100, onDrop: () => told++ })
  await until('it is connected', () => tracker.stats().connected)
  for (const proxy of proxies) proxy.swallow()
  for (let n = 1; n <= 1_000; n++) tracker.trackView(numbered(n))
  assert.deepEqual([tracker.stats().pending, tracker.stats().droppedByReason.buffer_full], [100, 900])
  const since = performance.now()
  await tracker.close(1_000)
  const tookMs = performance.now() - since
  assert.ok(tookMs <= 1_100, `${tookMs} ms`)
  assertAddsUp(tracker)
  assert.deepEqual([tracker.stats().pending, told], [0, 1_000])
  await until('no socket is left', () => proxies.every(({ open }) => open === 0))
})

describe('a node that is stopped', () => {
  let stopped: Rabbitmq
  before(async () => {
    stopped = await startRabbitmq()
  })
  after(() => stopped.stop())

  test('before or while it is connected to is left for the next, and nothing is lost when it goes on', async t => {
    const { url, name } = await testRabbitmq()
    const vhost = await stopped.vhost(name)
    const tracker = testTracker(t, { url: [vhost.url, url], heartbeatSeconds: 1, connectTimeoutMs: 1_000 })
    const load = trackSteadily(t, tracker)
    await until('it publishes there', () => tracker.stats().confirmed > 100)
    stopped.pause()
    t.after(() => stopped.resume())
    const { confirmed } = tracker.stats()
    const since = performance.now()
    await until('it publishes on the other', () => tracker.stats().confirmed > confirmed + 100)
    t.diagnostic(`${Math.round(performance.now() - since)} ms`)

    const late = testTracker(t, { url: [vhost.url, url], connectTimeoutMs: 1_000 })
    late.trackView({ post_uuid: 'late' })
    assert.equal(await late.flush(10_000), 0)
    const last = await load.stop()
    assert.equal(await tracker.flush(10_000), 0)
    stopped.resume()
    const there = new Map([...(await takeNumbered(vhost.url)), ...(await takeNumbered(url))])
    there.delete(Number.NaN)
    assertAllThere(there, last)
    assert.equal(tracker.stats().dropped, 0)
  })
})
