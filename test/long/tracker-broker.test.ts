/** What is published survives a broker that is restarted, killed, or out of memory or disk: faults 3 and 10. */

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Rabbitmq, startRabbitmq } from '../../tools/stack/rabbitmq.ts'
import { ownVhost } from '../support/own-vhost.ts'
import {
  assertAddsUp,
  assertAllThere,
  numbered,
  takeNumbered,
  testTracker,
  trackSteadily,
} from '../support/published.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

// Not the run's shared broker: what is done to this one is felt by all its users.
let broker: Rabbitmq
before(async () => {
  broker = await startRabbitmq()
})
after(() => broker.stop())

describe('the broker goes away under load and comes back: every event arrives, under one id', () => {
  const ways: [string, () => Promise<void>][] = [
    [
      'stopped and started',
      async () => {
        await broker.ctl('stop_app')
        await broker.ctl('start_app')
      },
    ],
    ['killed and started', () => broker.restart()],
  ]
  for (const [how, bounce] of ways) {
    test(how, async t => {
      const url = await ownVhost(t, broker)
      const tracker = testTracker(t, { url, heartbeatSeconds: 1 })
      const load = trackSteadily(t, tracker)
      await until('it publishes', () => tracker.stats().confirmed > 100)
      await broker.settle()
      await bounce()
      const { confirmed } = tracker.stats()
      await until('it publishes again', () => tracker.stats().confirmed > confirmed + 100)
      const last = await load.stop()
      assert.equal(await tracker.flush(20_000), 0)
      assert.ok(tracker.logged.some(({ event }) => event === 'broker.lost'))
      assert.equal(tracker.stats().dropped, 0)
      assertAllThere(await takeNumbered(url), last)
    })
  }

  test('away when the tracker is created', async t => {
    const url = await ownVhost(t, broker)
    await broker.settle()
    await broker.kill()
    const tracker = testTracker(t, { url })
    for (let n = 1; n <= 500; n++) tracker.trackView(numbered(n))
    await until('it has tried', () => tracker.logged.some(({ event }) => event === 'broker.lost'))
    await broker.restart()
    assert.equal(await tracker.flush(20_000), 0)
    assertAllThere(await takeNumbered(url), 500)
  })
})

describe('the broker blocks publishers', () => {
  const alarms: [string, string[], string[]][] = [
    ['memory', ['set_vm_memory_high_watermark', 'absolute', '1MB'], ['set_vm_memory_high_watermark', '0.6']],
    ['disk', ['set_disk_free_limit', '100000GB'], ['set_disk_free_limit', '1MB']],
  ]
  for (const [alarm, raise, lift] of alarms) {
    test(`${alarm}: the tracker says so, keeps its connection, and goes on when the alarm is lifted`, async t => {
      const url = await ownVhost(t, broker)
      const proxy = await startTcpProxy(broker.port)
      t.after(() => proxy.close())
      const options = { url: proxy.through(url), heartbeatSeconds: 1, confirmTimeoutMs: 1_000 }
      const tracker = testTracker(t, options)
      const load = trackSteadily(t, tracker)
      await until('it publishes', () => tracker.stats().confirmed > 100)
      t.after(() => broker.ctl(...lift))
      await broker.ctl(...raise)
      await until('it is blocked', () => tracker.stats().blocked)
      let sentBytes = 0
      proxy.intercept(({ direction, bytes }) => {
        if (direction === 'to-server') sentBytes += bytes.length
        return 'pass'
      })
      // Longer than three heartbeats, and than the confirm timeout: neither may take this for a dead connection.
      await sleep(4_000)
      assert.equal(tracker.stats().blocked, true)
      assert.ok(sentBytes < 1_000, `${sentBytes} bytes are more than heartbeats`)
      await broker.ctl(...lift)
      await until('it is no longer blocked', () => !tracker.stats().blocked)
      const last = await load.stop()
      assert.equal(await tracker.flush(20_000), 0)
      assert.ok(!tracker.logged.some(({ event }) => event === 'broker.lost'))
      assertAllThere(await takeNumbered(url), last)
    })
  }

  test('and the caller neither waits nor grows: the buffer is bounded, what is too much is dropped', async t => {
    const url = await ownVhost(t, broker)
    const [maxBufferedBytes, dropped] = [8 * 1_048_576, new Set<unknown>()]
    const tracker = testTracker(t, {
      url,
      maxBufferedBytes,
      onDrop: ({ user_id }, reason) => dropped.add(reason) && dropped.add(user_id),
    })
    t.after(() => broker.ctl('set_vm_memory_high_watermark', '0.6'))
    await broker.ctl('set_vm_memory_high_watermark', 'absolute', '1MB')
    tracker.trackView(numbered(1))
    await until('it is blocked', () => tracker.stats().blocked)

    const before = memoryBytes()
    const callsMs: number[] = []
    const LAST = 300_000
    for (let n = 2; n <= LAST; n++) {
      const event = numbered(n)
      const since = performance.now()
      tracker.trackView(event)
      callsMs.push(performance.now() - since)
      if (n % 1_000 === 0) {
        assertAddsUp(tracker)
        assert.ok(tracker.stats().pendingBytes <= maxBufferedBytes)
        await sleep(1)
      }
    }
    const grownBytes = memoryBytes() - before
    const p99Ms = callsMs.sort((a, b) => a - b)[Math.floor(callsMs.length * 0.99)]!
    t.diagnostic(`trackView p99 ${(p99Ms * 1_000).toFixed(1)} us; memory grew by ${grownBytes >> 20} MiB`)
    // The numbers kept by this test itself, calls and drops, are some 20 MiB of it.
    assert.ok(grownBytes < 2 * maxBufferedBytes + 24 * 1_048_576, `${grownBytes} bytes`)
    const { droppedByReason, pending } = tracker.stats()
    assert.equal(droppedByReason.buffer_full + pending, LAST)

    await broker.ctl('set_vm_memory_high_watermark', '0.6')
    assert.equal(await tracker.flush(30_000), 0)
    const there = await takeNumbered(url)
    assert.equal(there.size, pending)
    for (let n = 1; n <= LAST; n++) assert.ok(there.has(n) !== dropped.has(n), `event ${n}`)
  })
})

/** What the process holds on to. */
function memoryBytes(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
