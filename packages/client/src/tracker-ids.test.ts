/** What `trackView` sends for ids and times that JSON cannot represent, and how the service reads it. */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { createTracker } from './tracker.ts'
import { decodeMessage, type InvalidReason, type View, type ViewEvent } from './view.ts'

/** Nothing listens there. */
const NOWHERE = 'amqp://127.0.0.1:1'
const UUID = '0190163d-8694-739b-aea5-966c26f8ad90'
const ACCOUNT = { id: 7, name: 'Ada Lovelace, who is known here', email: 'ada@blog.example' }
const SECOND = Math.floor(Date.now() / 1_000) - 5

describe('an id is sent as JSON can say it', () => {
  /** What is sent for an event, and how the service reads it. */
  async function sent(t: TestContext, event: object) {
    const given: ViewEvent[] = []
    const tracker = createTracker({ url: NOWHERE, log: () => {}, onDrop: event => given.push(event) })
    t.after(() => tracker.close(0))
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
    ['a user that is a UUID', { post_uuid: 7, user_id: UUID }, { userId: null, loggedIn: true }],
    [
      'a user that is an ObjectId',
      { post_uuid: 7, user_id: new Stringable('65f0c1d2e3a4b5c6d7e8f901'), logged_in: false },
      { userId: null, loggedIn: true },
    ],
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
    ['a document with a long text', { post_uuid: new Stringable(JSON.stringify(ACCOUNT)) }, 'bad_post'],
    ['a user that is a whole account', { post_uuid: 7, user_id: ACCOUNT }, 'bad_user'],
    ['a user that is nothing', { post_uuid: 7, user_id: '' }, 'bad_user'],
    ['a user 0 as text', { post_uuid: 7, user_id: '0' }, 'bad_user'],
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

  for (const field of [
    'post_uuid',
    'post_id',
    'event_id',
    'user_id',
    'logged_in',
    'ip',
    'user_agent',
    'referer',
    'url',
  ]) {
    for (const account of [ACCOUNT, [ACCOUNT], new Stringable(JSON.stringify(ACCOUNT))]) {
      test(`nothing of a whole ${account.constructor.name} in the place of ${field} is sent`, async t => {
        const { event } = await sent(t, { post_uuid: 7, [field]: account })
        assert.doesNotMatch(JSON.stringify(event), /ada@blog\.example/)
      })
    }
  }

  for (const none of ['00000000-0000-0000-0000-000000000000', 'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF']) {
    test(`${none} is none: the event gets one of its own`, async t => {
      const { event } = await sent(t, { post_uuid: 7, event_id: none })
      assert.match(String(event.event_id), /^[0-9a-f]{8}-[0-9a-f]{4}-7/)
    })
  }
})
