import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createServer } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import { inspect, promisify } from 'node:util'
import type { LogEntry } from './log.ts'
import { createTracker, type DropReason, type Tracker, type TrackerOptions } from './tracker.ts'
import { decodeMessage, type InvalidReason, MAX_MESSAGE_BYTES, type View, type ViewEvent } from './view.ts'

const UUID = '0190163d-8694-739b-aea5-966c26f8ad90'
const SECOND = Math.floor(Date.now() / 1_000) - 5
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

describe('an id is sent as JSON can say it', () => {
  /** What is sent for an event, and what the service makes of it. */
  async function sent(t: TestContext, event: object) {
    const given: ViewEvent[] = []
    const tracker = trackerWithoutBroker(t, { onDrop: event => given.push(event) })
    tracker.trackView(event)
    assert.equal(tracker.stats().pending, 1)
    await tracker.close(0)
    const body = Buffer.from(JSON.stringify(given[0]))
    const decoded = decodeMessage(body, {}, { receivedAt: Date.now() / 1_000, maxAgeSeconds: 60 })
    return { event: given[0]!, view: decoded.views[0], reason: decoded.invalid[0]?.reason }
  }
  class Stringable {
    readonly #text: string
    constructor(text: string) {
      this.#text = text
    }
    toString() {
      return this.#text
    }
  }
  class NumberId extends Stringable {
    toJSON() {
      return { $id: this.toString() }
    }
  }
  const good: [string, object, Partial<View>][] = [
    ['a BigInt user', { post_uuid: 7, user_id: 2n ** 64n - 1n }, { userId: '18446744073709551615' }],
    ['a BigInt post', { post_id: 9007199254740993n }, { postUuid: '9007199254740993' }],
    [
      'a post with a text',
      { post_uuid: new Stringable('65f0c1d2e3a4b5c6d7e8f901') },
      { postUuid: '65f0c1d2e3a4b5c6d7e8f901' },
    ],
    ['a user with a text', { post_uuid: 7, user_id: new Stringable('42') }, { userId: '42' }],
    ['a text and other JSON', { post_uuid: new NumberId('42') }, { postUuid: '42' }],
    ['a String object', { post_uuid: Object('abc') }, { postUuid: 'abc' }],
    ['an event id with a text', { post_uuid: 7, event_id: new Stringable(UUID) }, { eventId: UUID }],
    [
      'a Date',
      { post_uuid: 7, timestamp: new Date(SECOND * 1_000) },
      { viewedAt: SECOND, timeSource: 'event' },
    ],
    ['BigInt nanoseconds', { post_uuid: 7, timestamp: BigInt(SECOND) * 10n ** 9n }, { viewedAt: SECOND }],
    ['logged_in', { post_uuid: 7, logged_in: true }, { userId: null, loggedIn: true }],
  ]
  for (const [what, event, expected] of good) {
    test(what, async t => {
      const { view } = await sent(t, event)
      assert.ok(view)
      assert.deepEqual({ ...view, ...expected }, view)
    })
  }

  const bad: [string, object, InvalidReason][] = [
    ['0n', { post_uuid: 0n }, 'bad_post'],
    ['-5n', { post_uuid: -5n }, 'bad_post'],
    ['-5n as post_id', { post_id: -5n }, 'bad_post'],
    ['a BigInt far below 0', { post_uuid: -(10n ** 400n) }, 'bad_post'],
    ['0', { post_uuid: 0 }, 'bad_post'],
    ['-5', { post_uuid: -5 }, 'bad_post'],
    ['a Number object of 0', { post_uuid: Object(0) }, 'bad_post'],
    ['NaN', { post_uuid: Number.NaN }, 'bad_post'],
    ['an array', { post_uuid: ['a'] }, 'bad_post'],
    ['bytes', { post_uuid: Uint8Array.of(7) }, 'bad_post'],
    ['an object without a text', { post_uuid: { id: 7 } }, 'bad_post'],
    ['an object without anything', { post_uuid: Object.create(null) }, 'bad_post'],
    ['a method', { post_uuid: () => 7 }, 'bad_post'],
    ['a user 0n', { post_uuid: 7, user_id: 0n }, 'bad_user'],
    ['a user -5n', { post_uuid: 7, user_id: -5n }, 'bad_user'],
    ['a user far below 0', { post_uuid: 7, user_id: -(10n ** 400n) }, 'bad_user'],
    ['a user above 2^64', { post_uuid: 7, user_id: 2n ** 64n }, 'bad_user'],
    ['a user NaN', { post_uuid: 7, user_id: Number.NaN }, 'bad_user'],
    ['a user Infinity', { post_uuid: 7, user_id: Infinity }, 'bad_user'],
    ['a user that is a method', { post_uuid: 7, user_id: () => 7 }, 'bad_user'],
    ['a user that is a symbol', { post_uuid: 7, user_id: Symbol('7') }, 'bad_user'],
    ['a negative BigInt time', { post_uuid: 7, timestamp: -5n }, 'bad_time'],
  ]
  for (const [what, event, why] of bad) {
    test(`${what} stays wrong, and is nobody's`, async t => assert.equal((await sent(t, event)).reason, why))
  }

  for (const none of ['00000000-0000-0000-0000-000000000000', 'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF']) {
    test(`${none} is none: the event gets one of its own`, async t => {
      const { event } = await sent(t, { post_uuid: 7, event_id: none })
      assert.match(String(event.event_id), /^[0-9a-f]{8}-[0-9a-f]{4}-7/)
    })
  }
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
    assert.match(logged[0]!.detail, /not ready within 50 ms/)
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
    ['no URL', { url: 'broker' }, /url is not an amqp/],
    ['another protocol', { url: 'https://user:s3cr3t@broker' }, /url is not an amqp/],
    ['a password with a bare #', { url: 'amqp://user:1#s3cr3t@broker' }, /%23/],
    ['a port out of range', { url: 'amqp://user:s3cr3t@broker:99999' }, /url is not an amqp/],
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
