/** What is published is wrong, repeated, out of order, of other days, or simply a lot: faults 14, 15 and 16. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { InvalidReason } from '@postviews/client/src/index.ts'
import { shiftedClock } from '../support/clock.ts'
import { ENGINES, SQLITE } from '../support/engines.ts'
import { deadLetters, untilStored } from '../support/invariants.ts'
import {
  badEvent,
  goodEvent,
  type PlannedEvent,
  type PlannedView,
  planOf,
  shuffled,
} from '../support/planned.ts'
import { postviews } from '../support/service.ts'
import { createSystem } from '../support/system.ts'
import { unix } from '../support/views.ts'

const DEEP = 50_000

const now = Math.floor(Date.now() / 1_000)
const someView = (): PlannedView => ({ postUuid: 'a-post', viewedAt: now - 60 })

let madeUp = 0
/** A bad event of that field; each is another. */
const wrong = (fields: Record<string, unknown>) =>
  JSON.stringify({ post_uuid: 'a-post', number: ++madeUp, ...fields })

/** Bad as the whole body of a message, and good JSON or not. */
const BAD_MESSAGES: [InvalidReason, string | Buffer][] = [
  ['not_json', ''],
  ['not_json', '{"post_uuid": "a-post"'],
  ['not_json', "{'post_uuid': 'a-post'}"],
  ['not_json', '{"post_uuid": "a\0post"}'],
  ['not_json', '\0'],
  ['not_json', '['.repeat(DEEP)],
  ['not_utf8', Buffer.from([0x22, 0xff, 0xfe, 0x22])],
  ['not_utf8', Buffer.from('{"post_uuid": "a-post", "user_agent": "\xe9"}', 'latin1')],
  ['empty', '[]'],
  ['too_many', `[${Array.from({ length: 1_001 }, () => wrong({})).join(',')}]`],
  ['too_large', wrong({ user_agent: 'a'.repeat(10 * 1_048_576) })],
]

/** Bad as one event, alone or among good ones. */
const BAD_EVENTS: [InvalidReason, string][] = [
  ['not_an_event', 'null'],
  ['not_an_event', '42'],
  ['not_an_event', '"a-post"'],
  ['bad_post', `{"post_uuid": ${'['.repeat(DEEP)}${']'.repeat(DEEP)}}`],
  ['no_post', wrong({ post_uuid: undefined })],
  ['no_post', wrong({ post_uuid: null })],
  ['bad_post', wrong({ post_uuid: '' })],
  ['bad_post', wrong({ post_uuid: 'a post' })],
  ['bad_post', wrong({ post_uuid: 'p'.repeat(37) })],
  ['bad_post', wrong({ post_uuid: {} })],
  ['bad_post', wrong({ post_uuid: -1 })],
  ['imprecise', wrong({ post_uuid: 2 ** 53 })],
  ['nul', wrong({ post_uuid: 'a\0post' })],
  ['nul', wrong({ referer: 'https://example.org/\0' })],
  ['bad_event_id', wrong({ event_id: 7 })],
  ['bad_event_id', wrong({ event_id: 'an-id' })],
  ['bad_user', wrong({ user_id: 0 })],
  ['bad_user', wrong({ user_id: '18446744073709551616' })],
  ['bad_user', wrong({ user_id: 1.5 })],
  ['imprecise', wrong({ user_id: 2 ** 60 })],
  ['bad_logged_in', wrong({ logged_in: 'yes' })],
  ['bad_ip', wrong({ ip: 'localhost' })],
  ['bad_ip', wrong({ ip: 7 })],
  ['bad_user_agent', wrong({ user_agent: ['Firefox'] })],
  ['bad_referer', wrong({ referer: { host: 'example.org' } })],
  ['bad_time', wrong({ timestamp: '2026-02-30 00:00:00' })],
  ['bad_time', wrong({ timestamp: true })],
  ['bad_time', wrong({ timestamp: '2999-01-01T00:00:00Z' })],
  ['bad_time', wrong({ timestamp: { date: '2026-11-21 12:34:56', timezone_type: 2, timezone: 'CST' } })],
  ['too_old', wrong({ timestamp: '1999-12-31T23:59:59Z' })],
]

/** Odd, and to be counted. */
const ODD_VIEWS: PlannedEvent[] = [
  goodEvent(someView(), { anything: 'else', nested: { in: ['it'] } }),
  goodEvent(someView(), { user_agent: '', referer: '' }),
  goodEvent(someView(), {
    user_agent: 'x'.repeat(5_000),
    referer: `https://example.org/${'y'.repeat(5_000)}`,
  }),
  goodEvent(someView(), { user_agent: '\ud800 half of a pair', referer: 'not a URL' }),
  goodEvent(someView(), { user_agent: '🦊'.repeat(3_000), referer: 'https://пример.испытание/' }),
  goodEvent(someView(), { user_id: '18446744073709551615', ip: '::ffff:192.0.2.1' }),
  goodEvent(someView(), {
    timestamp: {
      date: new Date((now - 60 + 9 * 3_600) * 1_000).toISOString().replace('T', ' ').replace('Z', '000'),
      timezone_type: 3,
      timezone: 'asia/tokyo',
    },
  }),
  goodEvent(someView(), { user_agent: "'; DROP TABLE post_views; -- \\' \" \x1a" }),
]

describe('bad input', () => {
  for (const engine of ENGINES) {
    test(`of every kind becomes a dead letter with its reason, and harms no neighbour, on ${engine.name}`, async t => {
      const system = await createSystem(t, { database: await engine.create(t) })
      const service = await system.start()
      const bad = [...BAD_MESSAGES, ...BAD_EVENTS].map(([, text]) => [badEvent(text)])
      const among = BAD_EVENTS.filter(([, text]) => text.startsWith('{')).map(([, text]) => [
        goodEvent(someView()),
        // With a blank, it is another text than the one that comes alone.
        badEvent(text.replace('{', '{ ')),
        goodEvent(someView()),
      ])
      // First a batch of nothing else.
      await system.publish(planOf(bad))
      await system.publish(planOf([...among, ...ODD_VIEWS.map(view => [view]), ODD_VIEWS]))
      await untilStored(system.database, 2 * among.length + ODD_VIEWS.length)
      assert.equal(service.isRunning, true)
      await system.check()
      const reasons = new Map(
        (await deadLetters(system.surroundings.amqpUrl)).map(({ body, reason }) => [String(body), reason]),
      )
      for (const [reason, text] of [...BAD_MESSAGES, ...BAD_EVENTS])
        assert.equal(reasons.get(String(text)), reason, String(text).slice(0, 80))
      assert.equal(system.tap.refused, 0)
    })
  }
})

describe('the time of a view decides its day', () => {
  // Local midnights round both changes of the clock, and what the day is there.
  const TIMES: [time: string, day: string][] = [
    ['2026-03-28T22:59:59Z', '2026-03-28'],
    ['2026-03-28T23:00:00Z', '2026-03-29'],
    ['2026-03-29T00:59:59Z', '2026-03-29'],
    ['2026-03-29T01:00:00Z', '2026-03-29'],
    ['2026-03-29T21:59:59Z', '2026-03-29'],
    ['2026-03-29T22:00:00Z', '2026-03-30'],
    ['2026-10-24T21:59:59Z', '2026-10-24'],
    ['2026-10-24T22:00:00Z', '2026-10-25'],
    ['2026-10-25T00:59:59Z', '2026-10-25'],
    ['2026-10-25T01:00:00Z', '2026-10-25'],
    ['2026-10-25T22:59:59Z', '2026-10-25'],
    ['2026-10-25T23:00:00Z', '2026-10-26'],
  ]
  const VIEWS_EACH = 20
  const READERS = 4

  for (const engine of ENGINES) {
    test(`whatever its order, its repetitions and the consumers' clocks, on ${engine.name}`, async t => {
      const settings = {
        STATS_TIMEZONE: 'Europe/Warsaw',
        EVENT_MAX_AGE: '9000d',
        RAW_RETENTION_DAYS: '0',
        BATCH_EVENTS: '50',
      }
      const system = await createSystem(t, { database: await engine.create(t), settings })
      await postviews(system.surroundings, 'migrate')
      const views = TIMES.flatMap(([time]) =>
        Array.from({ length: VIEWS_EACH }, (_, n) =>
          goodEvent({ postUuid: 'a-post', viewedAt: unix(time) }, { ip: `192.0.2.${n % READERS}` }),
        ),
      )
      // Each one to five times, in any order, and three to a message.
      const repeated = shuffled(views.flatMap((view, n) => Array.from({ length: 1 + (n % 5) }, () => view)))
      const messages = repeated.map((view, n) => [view, ...repeated.slice(n + 1, n + 3)])
      await system.publish(planOf(messages.filter((_, n) => n % 3 === 0)))

      for (const seconds of [30 * 3_600, -30 * 3_600]) {
        const clock = await shiftedClock(t)
        await clock.set(seconds)
        await system.start({ command: 'consume', settings: { ...settings, ...clock.settings } })
      }
      await untilStored(system.database, views.length)
      const days = Map.groupBy(TIMES, ([, day]) => day)
      const expected = [...days].map(([day, times]) => [day, times.length * VIEWS_EACH, READERS])
      const found = await system.database.query(
        'SELECT date, view_count, unique_views FROM post_view_aggregates ORDER BY date',
      )
      assert.deepEqual(
        found.map(({ date, view_count, unique_views }) => [date, Number(view_count), Number(unique_views)]),
        expected,
      )
      await system.check()
    })
  }

  test('in a batch of more days than there are keys at hand', async t => {
    const settings = { EVENT_MAX_AGE: '9000d', RAW_RETENTION_DAYS: '0' }
    const system = await createSystem(t, { database: await SQLITE.create(t), settings })
    const noon = unix('2024-12-31T12:00:00Z')
    const views = Array.from({ length: 1_500 }, (_, n) =>
      goodEvent({ postUuid: 'a-post', viewedAt: noon - n * 86_400 }, { ip: '192.0.2.1' }),
    )
    await system.publish(planOf([0, 500, 1_000].map(from => views.slice(from, from + 500))))
    await system.start()
    await untilStored(system.database, views.length)
    await system.check()
  })
})
