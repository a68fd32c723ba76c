import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { INVALID_REASONS } from '@postviews/client/src/index.ts'
import { pino } from 'pino'
import type {
  BrokerHealth,
  ConsumerHealth,
  InHand,
  QueueDepths,
} from '../packages/analytics/src/api/health.ts'
import { NEWEST_RULES } from '../packages/analytics/src/store/zone-rules.ts'
import { NOW, samples, startApi } from './support/api.ts'
import { until } from './support/until.ts'

/** A broker that says the same each time; null: it is away. */
function brokerOf(depths: QueueDepths | null): BrokerHealth {
  return { depths: async () => depths }
}

/** A consumer with this problem, or none, and this in hand. */
function consumerOf(
  problem: () => string | null,
  inHand: InHand = { messages: 0, uncommittedSince: null },
): ConsumerHealth {
  return {
    problem,
    warnings: () => [],
    inHand: () => inHand,
    deadInHand: () => 0,
    deadBytes: () => null,
    storeIsBroken: () => false,
  }
}

test('lives while the process does, whatever else is down', async t => {
  const { app, closeStore } = await startApi(t, {
    broker: brokerOf(null),
    consumer: consumerOf(() => 'broker: away'),
  })
  await closeStore()
  const answer = await app.inject('/livez')
  assert.equal(answer.statusCode, 200)
  assert.deepEqual(answer.json(), { status: 'alive' })
})

test('is ready while the store takes writes, and needs no key for saying so', async t => {
  // As `api` runs: it may ask the broker how much is queued, but does its work without it.
  const { app } = await startApi(t, { broker: brokerOf(null) })
  const ready = await app.inject('/readyz')
  assert.equal(ready.statusCode, 200)
  assert.deepEqual(ready.json(), { status: 'ready' })
})

test('names every part that does not move', async t => {
  let problem: string | null = null
  const { app, closeStore } = await startApi(t, { consumer: consumerOf(() => problem) })
  const ready = async () => {
    const { statusCode, body } = await app.inject('/readyz')
    return [statusCode, JSON.parse(body)]
  }
  problem = 'broker: not connected'
  assert.deepEqual(await ready(), [503, { status: 'unavailable', problems: ['broker: not connected'] }])

  await closeStore()
  await until('both parts are named', async () => (await ready())[1].problems.length === 2)
  assert.deepEqual(await ready(), [
    503,
    { status: 'unavailable', problems: ['store: does not take writes', 'broker: not connected'] },
  ])
})

test('says within seconds that the store hangs, and that it is back', async t => {
  const { app, databasePath } = await startApi(t)
  const other = new DatabaseSync(databasePath)
  other.exec('BEGIN IMMEDIATE')
  const asked = Date.now()
  const [first, second] = await Promise.all([app.inject('/readyz'), app.inject('/readyz')])
  assert.ok(Date.now() - asked < 5_000)
  assert.equal(first.statusCode, 503)
  assert.deepEqual(first.json(), second.json())
  assert.match(first.json().problems[0], /^store: /)
  assert.deepEqual(samples((await app.inject('/metrics')).body, 'postviews_store_up'), { '': '0' })

  other.exec('ROLLBACK')
  other.close()
  await until('ready again', async () => (await app.inject('/readyz')).statusCode === 200)
})

test('asks a part about once a second, however many want to know', async t => {
  let asked = 0
  const { app } = await startApi(t, {
    broker: {
      depths: async () => {
        asked++
        return { queues: {}, dead: 0 }
      },
    },
  })
  const since = performance.now()
  await Promise.all(Array.from({ length: 50 }, () => app.inject('/metrics')))
  const seconds = (performance.now() - since) / 1_000
  assert.ok(asked <= 1 + seconds, `asked ${asked} times in ${seconds} s`)
})

test('a status tells the last 60 minutes, empty ones as zeros', async t => {
  const { get, count } = await startApi(t)
  const view = (timestamp: string) => ({ post_uuid: '42', timestamp })
  await count(
    ['11:34:59', '11:35:00', '12:33:59', '12:34:00', '12:34:56', '12:35:00'].map(time =>
      view(`2026-11-21T${time}Z`),
    ),
  )
  const { minutes } = (await get('/api/v1/status')).json()
  assert.equal(minutes.length, 60)
  assert.deepEqual(minutes[0], { minute: '2026-11-21T11:35:00Z', views: 1 })
  assert.deepEqual(minutes[1], { minute: '2026-11-21T11:36:00Z', views: 0 })
  assert.deepEqual(minutes.slice(-2), [
    { minute: '2026-11-21T12:33:00Z', views: 1 },
    { minute: '2026-11-21T12:34:00Z', views: 2 },
  ])
})

test('a status tells the zone rules that days are counted by, and the clocks they make', async t => {
  const { get } = await startApi(t, { settings: { timeZone: 'America/Winnipeg' } })
  const { timezone, zone_rules, offsets } = (await get('/api/v1/status')).json()
  assert.equal(timezone, 'America/Winnipeg')
  assert.deepEqual(zone_rules, { source: 'moment-timezone', release: NEWEST_RULES.release })
  assert.deepEqual(offsets[0], { from: '1970-01-01T00:00:00Z', seconds: -21_600 })
  const since2025 = offsets.filter(({ from }: { from: string }) => from >= '2025-06')
  assert.deepEqual(since2025.slice(0, 2), [
    { from: '2025-11-02T07:00:00Z', seconds: -21_600 },
    { from: '2026-03-08T08:00:00Z', seconds: -18_000 },
  ])
  const utc = await startApi(t)
  assert.deepEqual((await utc.get('/api/v1/status')).json().offsets, [
    { from: '1970-01-01T00:00:00Z', seconds: 0 },
  ])
})

test('the metrics tell the zone rules that days are counted by', async t => {
  const { app } = await startApi(t)
  assert.deepEqual(samples((await app.inject('/metrics')).body, 'postviews_zone_rules_info'), {
    [`{source="moment-timezone",release="${NEWEST_RULES.release}"}`]: '1',
  })
})

test('a status tells how far behind the numbers are, and null for what it cannot know', async t => {
  for (const [depths, expected] of [
    [null, { queued: null, dead: null, lag_seconds: null }],
    [
      { queues: { a: 0, b: 0 }, dead: 3 },
      { queued: 0, dead: 3, lag_seconds: 0 },
    ],
    [
      { queues: { a: 2, b: 5 }, dead: 0 },
      { queued: 7, dead: 0, lag_seconds: null },
    ],
  ] as const) {
    const { get } = await startApi(t, { broker: brokerOf(depths) })
    const { queued, dead, lag_seconds, last_committed_at } = (await get('/api/v1/status')).json()
    assert.deepEqual({ queued, dead, lag_seconds }, expected)
    assert.equal(last_committed_at, null)
  }

  const { get, count } = await startApi(t, { broker: brokerOf({ queues: { a: 1 }, dead: 0 }) })
  const before = Date.now()
  await count([{ post_uuid: '42', timestamp: '2026-11-21T12:34:00Z' }])
  const { lag_seconds, last_committed_at } = (await get('/api/v1/status')).json()
  assert.equal(lag_seconds, 56)
  assert.match(last_committed_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  assert.ok(Math.abs(Date.parse(last_committed_at) - before) < 10_000)
})

test('is behind with empty queues while a consumer has something in hand for long', async t => {
  const nowSeconds = Date.parse(NOW) / 1_000
  for (const [uncommittedSince, expected] of [
    [null, 0],
    [nowSeconds - 9, 0],
    [nowSeconds - 11, 56],
  ] as const) {
    const { app, get, count } = await startApi(t, {
      broker: brokerOf({ queues: { a: 0 }, dead: 0 }),
      consumer: consumerOf(() => null, { messages: 7, uncommittedSince }),
    })
    await count([{ post_uuid: '42', timestamp: '2026-11-21T12:34:00Z' }])
    const { queued, lag_seconds } = (await get('/api/v1/status')).json()
    assert.deepEqual({ queued, lag_seconds }, { queued: 0, lag_seconds: expected })
    const { body } = await app.inject('/metrics')
    assert.deepEqual(samples(body, 'postviews_lag_seconds'), { '': String(expected) })
    assert.deepEqual(samples(body, 'postviews_unacknowledged_messages'), { '': '7' })
  }
})

test('a status does not wait for a broker that never answers', async t => {
  const { get } = await startApi(t, { broker: { depths: () => new Promise(() => {}) } })
  const asked = Date.now()
  const answer = await get('/api/v1/status')
  assert.equal(answer.statusCode, 200)
  assert.equal(answer.json().queued, null)
  assert.ok(Date.now() - asked < 5_000)
})

test('metrics tell what is known, and never 0 for what is not', async t => {
  const { app } = await startApi(t)
  const { headers, body } = await app.inject('/metrics')
  assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
  assert.deepEqual(samples(body, 'postviews_store_up'), { '': '1' })
  assert.deepEqual(samples(body, 'postviews_counted_age_seconds'), { '': '0' })
  assert.deepEqual(samples(body, 'postviews_rolls_failed_total'), { '': '0' })
  for (const name of [
    'postviews_broker_up',
    'postviews_lag_seconds',
    'postviews_dead_messages',
    'postviews_queue_messages',
    'postviews_unacknowledged_messages',
    'postviews_retention_last_success_timestamp_seconds',
  ]) {
    assert.deepEqual(samples(body, name), {}, name)
  }

  const events = samples(body, 'postviews_events_total')
  assert.equal(events['{outcome="counted",reason=""}'], '0')
  assert.equal(events['{outcome="duplicate",reason=""}'], '0')
  for (const reason of Object.keys(INVALID_REASONS)) {
    assert.equal(events[`{outcome="dead_lettered",reason="${reason}"}`], '0', reason)
    assert.equal(events[`{outcome="discarded",reason="${reason}"}`], '0', reason)
  }
  assert.deepEqual(Object.values(samples(body, 'postviews_time_source_total')), ['0', '0', '0', '0'])
})

test('metrics tell of each part that the process needs whether it is ready, as /readyz does', async t => {
  let problem: string | null = null
  const api = await startApi(t)
  const consuming = await startApi(t, { consumer: consumerOf(() => problem) })
  const ready = async ({ app }: typeof api) => samples((await app.inject('/metrics')).body, 'postviews_ready')
  assert.deepEqual(await ready(api), { '{part="store"}': '1' })
  const all = { '{part="store"}': '1', '{part="broker"}': '1', '{part="consumer"}': '1' }
  assert.deepEqual(await ready(consuming), all)

  for (const part of ['store', 'broker', 'consumer']) {
    problem = `${part}: away`
    assert.deepEqual(await ready(consuming), { ...all, [`{part="${part}"}`]: '0' })
  }
  problem = null
  assert.deepEqual(await ready(consuming), all)

  await api.closeStore()
  await until('the store is missed', async () => (await ready(api))['{part="store"}'] === '0')
})

test('counts the dead letters that this process has taken from their queue to look at', async t => {
  const consumer = { ...consumerOf(() => null), deadInHand: () => 5 }
  const asked = async (dead: number | null) => {
    const { get, app } = await startApi(t, { broker: brokerOf({ queues: {}, dead }), consumer })
    const { body } = await app.inject('/metrics')
    return [(await get('/api/v1/status')).json().dead, samples(body, 'postviews_dead_messages')]
  }
  assert.deepEqual(await asked(2), [7, { '': '7' }])
  // How many wait is not known, so neither is the sum.
  assert.deepEqual(await asked(null), [null, {}])
})

test('metrics tell the depth of each queue, and forget it when the broker goes away', async t => {
  let depths: QueueDepths | null = { queues: { 'postviews.views': 4, 'post.viewed': 0 }, dead: 2 }
  const { app } = await startApi(t, { broker: { depths: async () => depths } })
  const { body } = await app.inject('/metrics')
  assert.deepEqual(samples(body, 'postviews_queue_messages'), {
    '{queue="postviews.views"}': '4',
    '{queue="post.viewed"}': '0',
  })
  assert.deepEqual(samples(body, 'postviews_dead_messages'), { '': '2' })
  assert.deepEqual(samples(body, 'postviews_broker_up'), { '': '1' })

  depths = null
  let later = body
  await until('the broker is missed', async () => {
    later = (await app.inject('/metrics')).body
    return samples(later, 'postviews_broker_up')[''] === '0'
  })
  assert.deepEqual(samples(later, 'postviews_queue_messages'), {})
  assert.deepEqual(samples(later, 'postviews_dead_messages'), {})
  assert.deepEqual(samples(later, 'postviews_lag_seconds'), {})
})

test('metrics count requests by route, not by URL', async t => {
  const { app, get } = await startApi(t)
  for (const post of ['1', '2', '3']) await get(`/api/v1/posts/${post}/views`)
  await get('/api/v1/posts/a%20b/views')
  await app.inject('/api/v1/views')
  await get('/nothing')
  const counted = samples((await app.inject('/metrics')).body, 'postviews_http_request_seconds_count')
  assert.deepEqual(counted, {
    '{route="/api/v1/posts/:uuid/views",method="GET",status="200"}': '3',
    '{route="/api/v1/posts/:uuid/views",method="GET",status="400"}': '1',
    '{route="/api/v1/views",method="GET",status="401"}': '1',
    '{route="none",method="GET",status="404"}': '1',
  })
})

test('what nobody expected is a 500 that tells nothing, and a line in the log that names no secret', async t => {
  const lines: string[] = []
  const log = pino({ messageKey: 'event', base: null }, { write: line => lines.push(line) })
  const consumer = consumerOf(() => {
    throw new Error('SELECT secret FROM keys')
  })
  const { app, get, closeStore } = await startApi(t, { log, consumer })
  const headers = { 'X-Internal-Api-Key': 'hunter2-hunter2' }
  const failed = await app.inject({ url: '/readyz?token=hunter2', headers })
  assert.equal(failed.statusCode, 500)
  assert.deepEqual(failed.json(), {
    type: 'about:blank',
    title: 'Internal Server Error',
    status: 500,
    detail: 'an unexpected error occurred; it was logged',
  })
  assert.deepEqual(
    lines.map(line => JSON.parse(line)).map(({ event, route, status }) => ({ event, route, status })),
    [{ event: 'request.failed', route: '/readyz', status: 500 }],
  )

  await closeStore()
  await get('/api/v1/posts/top?limit=7&offset=3')
  await get('/api/v1/posts/views?uuids=a-post-that-nobody-may-know')
  assert.equal(lines.length, 3)
  assert.doesNotMatch(lines.join(''), /hunter2|a key that tests may use|limit=7|nobody-may-know/)
})
