import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createServer } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import { inspect, promisify } from 'node:util'
import type { LogEntry } from './log.ts'
import { createTracker, type DropReason, type Tracker, type TrackerOptions } from './tracker.ts'
import { MAX_MESSAGE_BYTES, type ViewEvent } from './view.ts'

/** Nothing listens there. */
const NOWHERE = 'amqp://127.0.0.1:1'

function trackerWithoutBroker(t: TestContext, options: Partial<TrackerOptions> = {}): Tracker {
  const tracker = createTracker({ url: NOWHERE, log: () => {}, ...options })
  t.after(() => tracker.close(0))
  return tracker
}

function assertAddsUp(tracker: Tracker): void {
  const { accepted, confirmed, pending, dropped, droppedByReason } = tracker.stats()
  assert.equal(accepted, confirmed + pending + dropped)
  assert.equal(
    Object.values(droppedByReason).reduce((sum, count) => sum + count),
    dropped,
  )
}

describe('trackView never throws', () => {
  const circular: Record<string, unknown> = { post_uuid: 7 }
  circular['self'] = circular
  const revoked = Proxy.revocable({}, {})
  revoked.revoke()
  const endless: object = { post_uuid: 7, toJSON: () => JSON.stringify(endless) }
  const given: [string, unknown][] = [
    ['nothing', undefined],
    ['null', null],
    ['a number', 7],
    ['a text', '{"post_uuid":7}'],
    ['a symbol', Symbol('post')],
    ['a function', () => ({ post_uuid: 7 })],
    ['an array', [{ post_uuid: 7 }]],
    ['a BigInt that is no id', { post_uuid: 7, more: 7n }],
    ['a circle', circular],
    ['a revoked proxy', revoked.proxy],
    ['a toJSON without an end', endless],
    ['a toJSON that gives nothing', { post_uuid: 7, toJSON: () => undefined }],
    [
      'a getter that throws',
      {
        get post_uuid() {
          throw new Error('no')
        },
      },
    ],
    [
      'a getter that throws nothing',
      {
        get ip() {
          throw undefined
        },
      },
    ],
    [
      'a proxy that refuses',
      new Proxy(
        {},
        {
          ownKeys: () => {
            throw new Error('no')
          },
        },
      ),
    ],
  ]
  for (const [what, event] of given) {
    test(`given ${what}, but drops and tells`, t => {
      const told: [unknown, DropReason][] = []
      const tracker = trackerWithoutBroker(t, { onDrop: (...drop) => told.push(drop) })
      tracker.trackView(event as ViewEvent)
      assert.equal(told.length, 1)
      assert.equal(told[0]![0], event)
      assert.equal(told[0]![1], 'unserializable')
      assert.equal(tracker.stats().dropped, 1)
      assertAddsUp(tracker)
    })
  }

  test('given more than a message may hold, but drops and tells', t => {
    const told: DropReason[] = []
    const tracker = trackerWithoutBroker(t, { onDrop: (_, reason) => told.push(reason) })
    tracker.trackView({ post_uuid: 'x'.repeat(MAX_MESSAGE_BYTES) })
    assert.deepEqual(told, ['too_large'])
    assertAddsUp(tracker)
  })

  const throwing: [string, () => unknown][] = [
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
    ['rejects', () => Promise.reject(new Error('no'))],
  ]
  for (const [what, hook] of throwing) {
    test(`when onDrop or log ${what}`, async t => {
      const tracker = trackerWithoutBroker(t, { onDrop: hook as () => void, log: hook as () => void })
      tracker.trackView(undefined as unknown as ViewEvent)
      tracker.trackView({ post_uuid: 7 })
      await tracker.close(0)
      assert.deepEqual(tracker.stats().droppedByReason, {
        buffer_full: 0,
        unserializable: 1,
        too_large: 0,
        refused: 0,
        closed: 1,
      })
    })
  }

  test('when onDrop tracks again what cannot be tracked', t => {
    let calls = 0
    const tracker: Tracker = trackerWithoutBroker(t, {
      onDrop: event => {
        calls++
        tracker.trackView(event)
        assertAddsUp(tracker)
      },
    })
    tracker.trackView(null as unknown as ViewEvent)
    assert.equal(calls, 1)
    assert.equal(tracker.stats().dropped, 2)
  })

  test('and leaves the event it was given as it was', t => {
    const event = Object.freeze({ post_uuid: 7, user_agent: 'a'.repeat(5_000) })
    const tracker = trackerWithoutBroker(t)
    tracker.trackView(event)
    assert.deepEqual(Object.keys(event), ['post_uuid', 'user_agent'])
    assert.equal(tracker.stats().pending, 1)
  })
})

describe('without a broker', () => {
  test('events wait up to maxBufferedEvents, then the new one is dropped as buffer_full', t => {
    const dropped: [ViewEvent, DropReason][] = []
    const tracker = trackerWithoutBroker(t, {
      maxBufferedEvents: 250,
      onDrop: (...drop) => {
        dropped.push(drop)
        assertAddsUp(tracker)
      },
    })
    for (let n = 1; n <= 300; n++) tracker.trackView({ post_uuid: n })
    assert.equal(tracker.stats().pending, 250)
    assert.deepEqual(
      dropped,
      Array.from({ length: 50 }, (_, n) => [{ post_uuid: 251 + n }, 'buffer_full']),
    )
    assertAddsUp(tracker)
  })

  test('events wait up to maxBufferedBytes', t => {
    const tracker = trackerWithoutBroker(t, { maxBufferedBytes: 10_000 })
    for (let n = 1; n <= 100; n++) tracker.trackView({ post_uuid: n, referer: 'é'.repeat(400) })
    const { pending, pendingBytes, droppedByReason } = tracker.stats()
    assert.ok(pendingBytes <= 10_000 && pendingBytes > 9_000)
    assert.equal(pending, 10)
    assert.equal(droppedByReason.buffer_full, 90)
    assertAddsUp(tracker)
  })

  test('the longest user agents take no more memory than the contract keeps of them', t => {
    const tracker = trackerWithoutBroker(t)
    const long = 'b'.repeat(1e6)
    tracker.trackView({ post_uuid: 1, user_agent: 'a'.repeat(1e6), referer: long, referrer: long })
    assert.ok(tracker.stats().pendingBytes < 3_500)
  })

  test('flush gives what is still pending at its deadline', async t => {
    const tracker = trackerWithoutBroker(t)
    for (let n = 1; n <= 3; n++) tracker.trackView({ post_uuid: n })
    assert.equal(await tracker.flush(20), 3)
  })

  test('close drops what is pending, under the ids it would have had', async t => {
    const dropped: [ViewEvent, DropReason][] = []
    const tracker = trackerWithoutBroker(t, {
      maxEventsPerMessage: 2,
      onDrop: (...drop) => {
        dropped.push(drop)
        assertAddsUp(tracker)
      },
    })
    for (let n = 1; n <= 5; n++) tracker.trackView({ post_uuid: n, referer: '"é😀,[' })
    const waiting = tracker.flush(60_000)
    await tracker.close(10)
    assert.equal(await waiting, 0)
    assert.deepEqual(
      dropped.map(([{ post_uuid, referer }, reason]) => [post_uuid, referer, reason]),
      [1, 2, 3, 4, 5].map(n => [n, '"é😀,[', 'closed']),
    )
    assert.equal(new Set(dropped.map(([{ event_id }]) => event_id)).size, 5)
    for (const [{ event_id, timestamp }] of dropped) assert.ok(event_id && timestamp)
    assert.deepEqual([tracker.stats().pending, tracker.stats().dropped], [0, 5])
  })

  test('each kind of trouble is logged once in a while, with how often it was left out', async t => {
    const logged: LogEntry[] = []
    const tracker = trackerWithoutBroker(t, { maxBufferedEvents: 1, log: entry => logged.push(entry) })
    for (let n = 0; n < 100; n++) tracker.trackView({ post_uuid: 1 })
    assert.deepEqual(logged, [{ event: 'event.dropped', detail: 'buffer_full', suppressed: 0 }])
  })

  test('a broker that says nothing is given up after connectTimeoutMs, and tried again', async t => {
    let connections = 0
    const silent = createServer(socket => {
      connections++
      socket.on('error', () => {})
    })
    await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve))
    t.after(() => silent.close())
    const address = silent.address()
    assert.ok(typeof address === 'object' && address !== null)
    const { promise: second, resolve } = Promise.withResolvers<void>()
    silent.on('connection', () => connections === 2 && resolve())
    const logged: LogEntry[] = []
    const tracker = trackerWithoutBroker(t, {
      url: `amqp://127.0.0.1:${address.port}`,
      connectTimeoutMs: 50,
      retryMinMs: 1,
      log: entry => logged.push(entry),
    })
    await second
    assert.match(logged[0]!.detail, /did not answer within 50 ms/)
    await tracker.close(0)
  })

  test('is tried again for ever, after pauses that grow up to retryMaxMs', async t => {
    const attemptsMs: number[] = []
    const refusing = createServer(socket => {
      attemptsMs.push(performance.now())
      socket.on('error', () => {})
      socket.resetAndDestroy()
    })
    await new Promise<void>(resolve => refusing.listen(0, '127.0.0.1', resolve))
    t.after(() => refusing.close())
    const address = refusing.address()
    assert.ok(typeof address === 'object' && address !== null)
    const enough = new Promise<void>(resolve => {
      refusing.on('connection', () => attemptsMs.length === 10 && resolve())
    })
    trackerWithoutBroker(t, { url: `amqp://127.0.0.1:${address.port}`, retryMinMs: 8, retryMaxMs: 128 })
    await enough
    const pausesMs = attemptsMs.slice(1).map((ms, n) => ms - attemptsMs[n]!)
    // 8, 16, 32, 64, 128, 128, … each shortened by up to a half; a busy machine can only make them longer.
    for (const [n, pauseMs] of pausesMs.entries()) {
      assert.ok(pauseMs >= Math.min(128, 8 * 2 ** n) / 2 - 2, `pause ${n} of ${pausesMs}`)
    }
    assert.ok(attemptsMs.at(-1)! - attemptsMs[0]! < 10_000)
  })

  test('a process that ends without close is not held up', async () => {
    const program = `
      import { createTracker } from ${JSON.stringify(new URL('./tracker.ts', import.meta.url).href)}
      const tracker = createTracker({ url: '${NOWHERE}', retryMinMs: 600000, retryMaxMs: 600000, log: () => {} })
      tracker.trackView({ post_uuid: 7 })
    `
    const run = promisify(execFile)
    await run(process.execPath, ['--input-type=module', '--eval', program], { timeout: 20_000 })
  })
})

describe('options', () => {
  const wrong: [string, Partial<TrackerOptions>, RegExp][] = [
    ['no URL', { url: 'broker' }, /^url is not a URL of the form/],
    ['another protocol', { url: 'https://user:s3cr3t@broker' }, /^url is not a URL of the form/],
    ['a password with a bare #', { url: 'amqp://user:1#s3cr3t@broker' }, /%23/],
    ['a port out of range', { url: 'amqp://user:s3cr3t@broker:99999' }, /^url is not a URL of the form/],
    ['no room', { maxBufferedEvents: 0 }, /maxBufferedEvents must be/],
    ['half an event', { maxEventsPerMessage: 1.5 }, /maxEventsPerMessage must be/],
    ['more events than a message may hold', { maxEventsPerMessage: 1_001 }, /maxEventsPerMessage must be/],
    [
      'more bytes than a message may hold',
      { maxMessageBytes: MAX_MESSAGE_BYTES + 1 },
      /maxMessageBytes must/,
    ],
    ['no number', { maxWaitMs: Number.NaN }, /maxWaitMs must be/],
    ['an app_id that AMQP has no room for', { appId: 'é'.repeat(128) }, /appId/],
  ]
  for (const [what, options, message] of wrong) {
    test(`with ${what} are refused, and the password is not told`, () => {
      assert.throws(
        () => createTracker({ url: NOWHERE, ...options }),
        (error: Error) => {
          assert.match(error.message, message)
          assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), /s3cr3t/)
          return true
        },
      )
    })
  }

  test('that are undefined have their defaults', t => {
    const options = { maxBufferedEvents: undefined, onDrop: undefined }
    const tracker = trackerWithoutBroker(t, options as object)
    tracker.trackView({ post_uuid: 7 })
    assert.equal(tracker.stats().pending, 1)
  })
})
