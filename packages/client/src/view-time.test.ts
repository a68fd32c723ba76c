/** The time at which a view counts: its own, its message's, or that of its receipt. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { decodeMessage, type InvalidReason, type MessageProperties, type View } from './view.ts'

const RECEIVED_AT = Date.UTC(2026, 2, 1, 12, 0, 0) / 1_000
const MAX_AGE_SECONDS = 30 * 86_400
const NO_FLAGS = { idsIgnored: 0, timesAhead: 0, amqpTimesIgnored: 0 }

function decode(content: unknown, properties: MessageProperties = {}) {
  const options = { receivedAt: RECEIVED_AT, maxAgeSeconds: MAX_AGE_SECONDS }
  return decodeMessage(Buffer.from(JSON.stringify(content)), properties, options)
}

/** The one view of an event for post 7 with these fields. */
function view(fields: object, properties: MessageProperties = {}): View {
  const { views, invalid } = decode({ post_uuid: 7, ...fields }, properties)
  assert.deepEqual(invalid, [])
  assert.equal(views.length, 1)
  return views[0]!
}

/** Why an event for post 7 with these fields is a dead letter. */
function reason(fields: object, properties: MessageProperties = {}): InvalidReason {
  const { views, invalid } = decode({ post_uuid: 7, ...fields }, properties)
  assert.deepEqual(views, [])
  assert.equal(invalid.length, 1)
  return invalid[0]!.reason
}

describe('the time', () => {
  const noon = '2026-02-28T12:00:00Z'
  const seconds = Date.parse(noon) / 1_000
  const spellings: [unknown, number][] = [
    [noon, seconds],
    ['2026-02-28 12:00:00', seconds],
    ['2026-02-28T12:00:00', seconds],
    ['2026-02-28t12:00:00z', seconds],
    ['2026-02-28T12:00', seconds],
    ['2026-02-28T12:00Z', seconds],
    ['2026-02-28T12:00:00.999Z', seconds],
    ['2026-02-28T12:00:00,5Z', seconds],
    ['2026-02-28 12:00:00.123456', seconds],
    ['2026-02-28T14:00:00+02:00', seconds],
    ['2026-02-28T14:00:00.999+0200', seconds],
    ['2026-02-28 14:00:00+02', seconds],
    ['2026-02-28T06:30:00-05:30', seconds],
    ['2026-03-01T01:45:00+13:45', seconds],
    ['2026-02-27T24:00:00Z', Number.NaN],
    ['2026-02-28T11:59:60Z', seconds],
    [seconds, seconds],
    [seconds + 0.999, seconds],
    [seconds * 1_000, seconds],
    [seconds * 1_000 + 999, seconds],
    [String(seconds), seconds],
    [String(seconds * 1_000), seconds],
    [`${seconds}.25`, seconds],
    ['2026-02-29T12:00:00Z', Number.NaN],
    ['2026-02-30T12:00:00Z', Number.NaN],
    ['2026-13-01T12:00:00Z', Number.NaN],
    ['2026-00-01T12:00:00Z', Number.NaN],
    ['2026-02-00T12:00:00Z', Number.NaN],
    ['2026-02-28T25:00:00Z', Number.NaN],
    ['2026-02-28T12:60:00Z', Number.NaN],
    ['2026-02-28T12:00:61Z', Number.NaN],
    ['2026-02-28T12:00:00+24:00', Number.NaN],
    ['2026-02-28T12:00:00+02:60', Number.NaN],
    ['2026-02-28T12:00:00 Z', Number.NaN],
    ['2026-02-28T12:00:00Z\n', Number.NaN],
    ['2026-02-28', Number.NaN],
    ['28.02.2026 12:00', Number.NaN],
    ['yesterday', Number.NaN],
    ['', Number.NaN],
    ['-1', Number.NaN],
    ['1e9', Number.NaN],
    [-1, Number.NaN],
    [true, Number.NaN],
    [{}, Number.NaN],
    [[noon], Number.NaN],
  ]
  for (const [timestamp, expected] of spellings) {
    const bad = Number.isNaN(expected)
    test(`${JSON.stringify(timestamp)} is ${bad ? 'bad_time' : expected}`, () => {
      if (bad) return assert.equal(reason({ timestamp }), 'bad_time')
      for (const fields of [{ timestamp }, { viewed_at: timestamp }]) {
        const { viewedAt, timeSource } = view(fields)
        assert.deepEqual({ viewedAt, timeSource }, { viewedAt: expected, timeSource: 'event' })
      }
    })
  }

  test('knows the leap days', () => {
    const at = (timestamp: string) =>
      decodeMessage(
        Buffer.from(JSON.stringify({ post_uuid: 7, timestamp })),
        {},
        { receivedAt: Date.UTC(2026, 0) / 1_000, maxAgeSeconds: 3e9 },
      )
    for (const year of [2000, 2004, 2024]) assert.equal(at(`${year}-02-29T00:00:00Z`).views.length, 1)
    for (const year of [2001, 2023, 2025]) assert.equal(at(`${year}-02-29T00:00:00Z`).invalid.length, 1)
    assert.equal(at('2000-02-29T00:00:00Z').views[0]?.viewedAt, Date.UTC(2000, 1, 29) / 1_000)
  })

  test('agrees with Date on a time of every month of 60 years', () => {
    for (let year = 1970; year < 2030; year++) {
      for (let month = 0; month < 12; month++) {
        const last = new Date(Date.UTC(year, month + 1, 0, 23, 59, 59))
        const options = { receivedAt: Date.UTC(2030, 0) / 1_000, maxAgeSeconds: 3e9 }
        const body = Buffer.from(JSON.stringify({ post_uuid: 7, timestamp: last.toISOString() }))
        assert.equal(decodeMessage(body, {}, options).views[0]?.viewedAt, last.getTime() / 1_000)
      }
    }
  })

  test('is the same whatever the zone of this process, in the hours that summer time skips or repeats', () => {
    const before = process.env['TZ']
    try {
      for (const zone of ['UTC', 'Europe/Warsaw', 'America/New_York', 'Australia/Lord_Howe']) {
        process.env['TZ'] = zone
        for (const timestamp of ['2025-03-30 02:30:00', '2025-10-26 02:30:00', '2025-11-02T01:30:00']) {
          const body = Buffer.from(JSON.stringify({ post_uuid: 7, timestamp }))
          const options = { receivedAt: RECEIVED_AT, maxAgeSeconds: 3e8 }
          const expected = Date.parse(`${timestamp.replace(' ', 'T')}Z`) / 1_000
          assert.equal(decodeMessage(body, {}, options).views[0]?.viewedAt, expected)
        }
      }
    } finally {
      if (before === undefined) delete process.env['TZ']
      else process.env['TZ'] = before
    }
  })

  test('absent, is the AMQP timestamp, then the time the broker stamped, then that of receipt', () => {
    const amqp = { timestamp: RECEIVED_AT - 50 }
    const broker = { headers: { timestamp_in_ms: (RECEIVED_AT - 60) * 1_000 + 999 } }
    const source = (fields: object, properties: MessageProperties) => {
      const { viewedAt, timeSource } = view(fields, properties)
      return [viewedAt - RECEIVED_AT, timeSource]
    }
    assert.deepEqual(source({ timestamp: RECEIVED_AT - 40 }, { ...amqp, ...broker }), [-40, 'event'])
    assert.deepEqual(source({}, { ...amqp, ...broker }), [-50, 'amqp'])
    assert.deepEqual(source({ timestamp: null }, broker), [-60, 'broker'])
    assert.deepEqual(source({}, { headers: { timestamp_in_ms: 'soon' } }), [0, 'receipt'])
    assert.deepEqual(source({}, { timestamp: undefined, headers: undefined }), [0, 'receipt'])
    assert.deepEqual(source({}, { timestamp: null, headers: { timestamp_in_ms: null } }), [0, 'receipt'])
  })

  test('of a message is read in every unit, as a number, a bigint or digits', () => {
    const at = RECEIVED_AT - 70
    const ns = BigInt(at) * 1_000_000_000n + 999_999_999n
    const spellings = [
      at,
      at * 1e3 + 999,
      at * 1e6 + 999_999,
      at * 1e9,
      BigInt(at),
      ns,
      String(at),
      String(ns),
    ]
    for (const time of spellings) {
      const amqp = view({}, { timestamp: time })
      assert.deepEqual([amqp.viewedAt, amqp.timeSource], [at, 'amqp'], String(time))
      const broker = view({}, { headers: { timestamp_in_ms: time } })
      assert.deepEqual([broker.viewedAt, broker.timeSource], [at, 'broker'], String(time))
    }
  })

  test('of a message that cannot be one is passed over for the next, and said to be', () => {
    const good = RECEIVED_AT - 60
    const year2000 = Date.UTC(2000, 0) / 1_000
    const wrong = [
      0,
      255,
      0n,
      '0',
      -1,
      -1n,
      year2000 - 1,
      (year2000 - 1) * 1e6,
      RECEIVED_AT + 301,
      (RECEIVED_AT + 301) * 1e3,
      2n ** 63n,
      2 ** 53,
      Number.NaN,
      'soon',
      '',
      new Date(good * 1_000).toISOString(),
      true,
      Buffer.from('1'),
      { '!': 'timestamp', value: good },
    ]
    const told = ({ views, invalid, ...flags }: ReturnType<typeof decode>) => {
      assert.deepEqual(invalid, [])
      return [views[0]?.viewedAt, views[0]?.timeSource, flags]
    }
    const ignored = { ...NO_FLAGS, amqpTimesIgnored: 1 }
    for (const time of wrong) {
      const broker = { headers: { timestamp_in_ms: good * 1_000 } }
      const both = decode({ post_uuid: 7 }, { timestamp: time, headers: { timestamp_in_ms: time } })
      assert.deepEqual(told(decode({ post_uuid: 7 }, { timestamp: time, ...broker })), [
        good,
        'broker',
        ignored,
      ])
      assert.deepEqual(told(decode({ post_uuid: 7 }, { timestamp: time })), [RECEIVED_AT, 'receipt', ignored])
      assert.deepEqual(told(both), [RECEIVED_AT, 'receipt', ignored])
      // The message's time is not read if the event has its own.
      const own = { post_uuid: 7, timestamp: good }
      assert.deepEqual(told(decode(own, { timestamp: time })), [good, 'event', NO_FLAGS])
    }
    const several = [{ post_uuid: 7 }, { post_uuid: 8, timestamp: good }, { post_uuid: 9 }, { post_uuid: '' }]
    assert.equal(decode(several, { timestamp: 0 }).amqpTimesIgnored, 2)
  })

  test('of a message is good from 2000 on and up to 5 minutes ahead', () => {
    const options = { receivedAt: RECEIVED_AT, maxAgeSeconds: RECEIVED_AT }
    for (const timestamp of [Date.UTC(2000, 0) / 1_000, RECEIVED_AT + 300]) {
      const { views } = decodeMessage(Buffer.from('{"post_uuid":7}'), { timestamp }, options)
      assert.deepEqual([views[0]?.viewedAt, views[0]?.timeSource], [timestamp, 'amqp'])
    }
  })

  test('a wrong one is a dead letter although the message has another', () => {
    assert.equal(reason({ timestamp: 'soon' }, { timestamp: RECEIVED_AT }), 'bad_time')
  })

  test('of receipt is cut to the second', () => {
    const body = Buffer.from('{"post_uuid":7}')
    const { views } = decodeMessage(body, {}, { receivedAt: RECEIVED_AT + 0.9, maxAgeSeconds: 60 })
    assert.equal(views[0]?.viewedAt, RECEIVED_AT)
  })

  test('up to 5 minutes ahead counts as it is, up to a day as the time of receipt, and is said to', () => {
    const day = 86_400
    for (const ahead of [300, 300.999]) {
      const { views, timesAhead } = decode({ post_uuid: 7, timestamp: RECEIVED_AT + ahead })
      assert.deepEqual(
        [views[0]?.viewedAt, views[0]?.timeSource, timesAhead],
        [RECEIVED_AT + 300, 'event', 0],
      )
    }
    for (const timestamp of [
      RECEIVED_AT + 301,
      (RECEIVED_AT + 301) * 1_000,
      RECEIVED_AT + day,
      (RECEIVED_AT + day) * 1e6 + 999_999,
      new Date((RECEIVED_AT + day) * 1_000 + 999).toISOString(),
    ]) {
      // The message's time does not replace the event's own.
      const { views, timesAhead } = decode({ post_uuid: 7, timestamp }, { timestamp: RECEIVED_AT - 50 })
      assert.deepEqual([views[0]?.viewedAt, views[0]?.timeSource, timesAhead], [RECEIVED_AT, 'receipt', 1])
    }
    for (const timestamp of [
      RECEIVED_AT + day + 1,
      (RECEIVED_AT + day + 1) * 1e3,
      '9999-12-31T23:59:59Z',
      1e300,
    ])
      assert.equal(reason({ timestamp }), 'bad_time')
    const mixed = [RECEIVED_AT + 301, RECEIVED_AT + 400, RECEIVED_AT].map(timestamp => ({
      post_uuid: 7,
      timestamp,
    }))
    assert.equal(decode(mixed).timesAhead, 2)
  })

  test('over EVENT_MAX_AGE ago is too_old, whoever told it', () => {
    const oldest = RECEIVED_AT - MAX_AGE_SECONDS
    assert.equal(view({ timestamp: oldest }).viewedAt, oldest)
    assert.equal(reason({ timestamp: oldest - 1 }), 'too_old')
    assert.equal(reason({ timestamp: 0 }), 'too_old')
    assert.equal(reason({ timestamp: '0050-01-01T00:00:00Z' }), 'too_old')
    assert.equal(reason({}, { timestamp: oldest - 1 }), 'too_old')
    assert.equal(reason({}, { headers: { timestamp_in_ms: oldest * 1_000 - 1 } }), 'too_old')
  })
})
