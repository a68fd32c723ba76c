import assert, { AssertionError } from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type FakeTracker, fakeTracker } from './fake.ts'
import { createTracker } from './tracker.ts'
import { decodeMessage, INVALID_REASONS, MAX_MESSAGE_BYTES, type ViewEvent } from './view.ts'

const UUID = '0F8FAD5B-d9cb-469f-a165-70867728950e'

function fakeWith(...events: ViewEvent[]): FakeTracker {
  const tracker = fakeTracker()
  for (const event of events) tracker.trackView(event)
  return tracker
}

function says(pattern: RegExp) {
  return (error: Error) => error instanceof AssertionError && pattern.test(error.message)
}

test('a view is told as it is counted', () => {
  const tracker = fakeWith({
    post_id: UUID,
    user_id: 7n,
    ip: '::ffff:203.0.113.7',
    user_agent: 'x'.repeat(3_000),
    referrer: 'https://news.example/',
    url: '/posts/7?token=secret&ref=news',
    viewed_at: new Date(),
  })
  const [{ event_id, timestamp, ...view }] = tracker.tracked() as [ReturnType<FakeTracker['tracked']>[0]]
  assert.match(event_id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/)
  assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$/)
  assert.deepEqual(view, {
    post_uuid: UUID.toLowerCase(),
    user_id: '7',
    logged_in: true,
    ip: '203.0.113.7',
    user_agent: 'x'.repeat(2_000),
    referer: 'https://news.example/',
    url: '/posts/7?ref=news',
  })
})

describe('the assertions', () => {
  const tracker = fakeWith(
    { post_uuid: 7, user_id: 42 },
    { post_uuid: 'hello' },
    { post_uuid: '7' },
    { post_uuid: UUID },
  )

  test('hold where the views are there', () => {
    for (const post of [7, '7', 7n, 'hello', UUID, UUID.toLowerCase()]) tracker.assertTracked(post)
    tracker.assertTracked(({ user_id }) => user_id === '42')
    tracker.assertTrackedTimes(7, 2)
    tracker.assertTrackedTimes('hello', 1)
    tracker.assertTrackedTimes('none', 0)
    tracker.assertTrackedTimes(({ logged_in }) => !logged_in, 3)
    tracker.assertNotTracked('none')
    tracker.assertNotTracked(({ ip }) => ip !== null)
    fakeTracker().assertNothingTracked()
  })

  test('fail where they are not, and say what was tracked', () => {
    const others = new RegExp(`never, not at least once; tracked posts: 7, hello, 7, ${UUID.toLowerCase()}$`)
    assert.throws(() => tracker.assertTracked('none'), says(others))
    assert.throws(() => tracker.assertTracked(() => false), says(/never/))
    assert.throws(() => fakeTracker().assertTracked(7), says(/no view was tracked$/))
    assert.throws(() => tracker.assertTrackedTimes(7, 1), says(/2 times, not once/))
    assert.throws(() => tracker.assertTrackedTimes('hello', 0), says(/once, not never/))
    assert.throws(() => tracker.assertTrackedTimes('hello', 2), says(/once, not 2 times/))
    assert.throws(() => tracker.assertNotTracked('hello'), says(/once, not never/))
    assert.throws(() => tracker.assertNotTracked(({ user_id }) => user_id === '42'), says(/once, not never/))
    assert.throws(() => tracker.assertNothingTracked(), says(/no view was expected; tracked posts: 7/))
  })

  test('take nothing that would hold or fail whatever was tracked', () => {
    const wrong = [{ id: 7 }, undefined, null, 'not an id', '', -7, async () => false, () => undefined]
    for (const given of wrong as never[]) {
      assert.throws(() => tracker.assertTracked(given), TypeError)
      assert.throws(() => tracker.assertNotTracked(given), TypeError)
      assert.throws(() => tracker.assertTrackedTimes(given, 0), TypeError)
    }
    for (const times of [-1, 0.5, Number.NaN, undefined] as number[])
      assert.throws(() => tracker.assertTrackedTimes(7, times), TypeError)
  })

  test('look at what was tracked, not at what somebody changed since', () => {
    const event = { post_uuid: 'hello' }
    const tracker = fakeWith(event)
    event.post_uuid = 'other'
    tracker.tracked()[0]!.post_uuid = 'other'
    tracker.assertTracked('hello')
  })
})

/** Valid and invalid events. */
const EVENTS: Record<string, ViewEvent> = {
  'a number': { post_uuid: 7 },
  'a slug': { post_id: 'hello', user_id: null },
  'a user with a UUID': { post_uuid: UUID, user_id: UUID },
  'a view of four weeks ago': { post_uuid: 7, timestamp: Date.now() - 29 * 86_400_000 },
  'no post': {},
  'an empty post': { post_uuid: '' },
  'a title': { post_uuid: 'hello world' },
  'a long slug': { post_uuid: 'x'.repeat(37) },
  'post 0': { post_uuid: 0 },
  'post -5': { post_uuid: -5 },
  'post NaN': { post_uuid: Number.NaN },
  'a number that lost digits': { post_uuid: 2 ** 60 },
  'a whole post': { post_uuid: { id: 7 } as unknown as string },
  'a post with a NUL': { post_uuid: 'a\0' },
  'an id that is no UUID': { post_uuid: 7, event_id: 'x' },
  'user 0': { post_uuid: 7, user_id: 0 },
  'an empty user': { post_uuid: 7, user_id: '' },
  'a user of 2^64': { post_uuid: 7, user_id: 2n ** 64n },
  'logged in 1': { post_uuid: 7, logged_in: 1 as unknown as boolean },
  'an unknown address': { post_uuid: 7, ip: 'unknown' },
  'an address with a port': { post_uuid: 7, ip: '203.0.113.7:80' },
  'an empty address': { post_uuid: 7, ip: '' },
  'a user agent 7': { post_uuid: 7, user_agent: 7 as unknown as string },
  'a user agent with a NUL': { post_uuid: 7, user_agent: '\0' },
  'a list of referers': { post_uuid: 7, referer: ['x'] as unknown as string },
  'the time now, as a word': { post_uuid: 7, timestamp: 'now' },
  'the day after tomorrow': { post_uuid: 7, timestamp: Date.now() + 2 * 86_400_000 },
  'a view of last month': { post_uuid: 7, timestamp: Date.now() - 31 * 86_400_000 },
  null: null as unknown as ViewEvent,
  'an array': [{ post_uuid: 7 }] as ViewEvent,
  'a BigInt that is no id': { post_uuid: 7, more: 7n } as ViewEvent,
  'more than a message may hold': { post_uuid: 7, more: 'x'.repeat(MAX_MESSAGE_BYTES) } as ViewEvent,
}

/** The outcome of an event: dropped by the real tracker, a dead letter, or counted. */
async function fateOf(event: ViewEvent): Promise<string> {
  const dropped: [ViewEvent, string][] = []
  const tracker = createTracker({
    url: 'amqp://127.0.0.1:1',
    log: () => {},
    onDrop: (...drop) => dropped.push(drop),
  })
  tracker.trackView(event)
  await tracker.close(0)
  const [sent, reason] = dropped[0]!
  // Nobody listens there, so the tracker hands back at `close` what it has accepted.
  if (reason !== 'closed') return `dropped as ${reason}`
  const body = Buffer.from(JSON.stringify(sent))
  const now = { receivedAt: Date.now() / 1_000, maxAgeSeconds: 30 * 86_400 }
  return decodeMessage(body, {}, now).invalid[0]?.reason ?? 'counted'
}

describe('what would not be counted makes every assertion fail, with the reason', () => {
  for (const [what, event] of Object.entries(EVENTS)) {
    test(what, async () => {
      const fate = await fateOf(event)
      const tracker = fakeWith({ post_uuid: 'good' }, event)
      if (fate === 'counted') {
        assert.equal(tracker.tracked().length, 2)
        return
      }
      const rule = INVALID_REASONS[fate as keyof typeof INVALID_REASONS] ?? fate
      const told = (error: Error) => error instanceof AssertionError && error.message.includes(rule)
      assert.equal(tracker.tracked().length, 1)
      assert.throws(() => tracker.assertTracked('good'), told)
      assert.throws(() => tracker.assertTrackedTimes('good', 1), told)
      assert.throws(() => tracker.assertNotTracked('other'), told)
      assert.throws(() => fakeWith(event).assertNothingTracked(), told)
    })
  }

  test('some are counted, and some for every reason that one event can have', async () => {
    const fates = new Set(await Promise.all(Object.values(EVENTS).map(fateOf)))
    const ofMessages = ['too_large', 'not_utf8', 'not_json', 'empty', 'too_many', 'not_an_event']
    const reasons = Object.keys(INVALID_REASONS).filter(reason => !ofMessages.includes(reason))
    assert.deepEqual(
      fates,
      new Set(['counted', 'dropped as unserializable', 'dropped as too_large', ...reasons]),
    )
  })
})

test('never throws, and adds up, as the tracker does', async () => {
  const events = Object.values(EVENTS)
  const tracker = fakeWith(...events)
  const { accepted, confirmed, pending, dropped, droppedByReason } = tracker.stats()
  assert.equal(accepted, events.length)
  assert.equal(accepted, confirmed + pending + dropped)
  assert.deepEqual(droppedByReason, {
    buffer_full: 0,
    unserializable: 3,
    too_large: 1,
    refused: 0,
    closed: 0,
  })
  assert.equal(await tracker.flush(1), 0)
})

test('a view that comes after close is told', async () => {
  const tracker = fakeWith({ post_uuid: 7 })
  await tracker.close()
  tracker.assertTrackedTimes(7, 1)
  tracker.trackView({ post_uuid: 7 })
  assert.throws(() => tracker.assertTrackedTimes(7, 1), says(/dropped as closed/))
  assert.equal(tracker.stats().connected, false)
})

test('a service that takes older views has a fake that does', () => {
  const tracker = fakeTracker({ maxAgeSeconds: 400 * 86_400 })
  tracker.trackView({ post_uuid: 7, timestamp: Date.now() - 399 * 86_400_000 })
  tracker.assertTracked(7)
})
