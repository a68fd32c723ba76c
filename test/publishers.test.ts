/** Views from publishers that are not ours, in the languages they are written in: every one is counted. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { ARTICLE_QUEUES } from '@postviews/client/src/index.ts'
import type { Options } from 'amqplib'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { findPython } from '../tools/stack/install.ts'
import { MYSQL, SQLITE } from './support/engines.ts'
import { messageCount, onChannel } from './support/published.ts'
import { startService } from './support/service.ts'
import { until } from './support/until.ts'

const run = promisify(execFile)
const PUBLISHERS = join(import.meta.dirname, 'publishers')
const FIREFOX = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
const POST = '0f8fad5b-d9cb-469f-a165-70867728950e'

/** A broker of its own with the service on it, not yet started. */
async function system(t: TestContext, engine = SQLITE) {
  const broker = await testRabbitmq()
  const database = await engine.create(t)
  const env = {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    AMQP_URL: broker.url,
    DATABASE_URL: database.url,
  }
  return {
    broker,
    database,
    start: async () => {
      const service = await startService(t, { amqpUrl: broker.url, databaseUrl: database.url })
      await service.untilReady()
      return service
    },
    publish: (program: string, ...args: string[]) => run(program, args, { env, cwd: PUBLISHERS }),
    /** What is kept of each view, once there are so many. */
    rows: async (count: number) => {
      await until(`${count} views are stored`, async () => {
        const [stored] = await database.query('SELECT COUNT(*) AS views FROM post_views')
        return stored!['views'] === count
      })
      return database.query(
        'SELECT post_uuid, user_id, ip, user_agent, referer, viewed_at, day FROM post_views ORDER BY id',
      )
    },
  }
}

function unix(time: string): number {
  return Date.parse(time) / 1_000
}

test('counts what PHP sends straight to post.viewed, into a queue it made before the service first ran', async t => {
  const { publish, start, rows } = await system(t)
  const before = Math.floor(Date.now() / 1_000)
  await publish('php', 'track-view.php', '42', '7', 'declare')
  await publish('php', 'track-view.php', '42', '', 'declare')
  const service = await start()

  const views = await rows(2)
  const after = Math.floor(Date.now() / 1_000)
  for (const [index, userId] of ['7', null].entries()) {
    const { viewed_at, day, ...view } = views[index]!
    assert.deepEqual(view, {
      post_uuid: '42',
      user_id: userId,
      ip: '203.0.113.7',
      user_agent: FIREFOX,
      referer: null,
    })
    // It has no time of its own: the time of receipt counts.
    assert.ok(Number(viewed_at) >= before && Number(viewed_at) <= after)
    assert.equal(day, new Date(Number(viewed_at) * 1_000).toISOString().slice(0, 10))
  }
  const { as_of, first_viewed_at, last_viewed_at, ...counted } = JSON.parse(
    (await service.get('/api/v1/posts/42/views')).text,
  )
  assert.deepEqual(counted, {
    post_uuid: '42',
    views: 2,
    unique_views: 1,
    logged_in: 1,
    anonymous: 1,
    bots: 0,
  })
})

test('counts what PHP sends straight to analytics.post_views, at the time it gives, however written', async t => {
  const { publish, start, rows } = await system(t)
  const service = await start()
  const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)
  const seconds = unix(`${yesterday}T23:59:59Z`)
  const berlin = new Date((seconds + 3_600) * 1_000).toISOString().slice(0, 19)
  const times = [
    `${yesterday}T23:59:59.000000Z`,
    `${yesterday} 23:59:59`,
    `${yesterday}T23:59:59+00:00`,
    `${berlin}+01:00`,
    String(seconds),
  ]
  for (const [index, time] of times.entries()) {
    await publish('php', 'post-views.php', POST.toUpperCase(), index === 0 ? '' : String(index), time)
  }

  const views = await rows(times.length)
  for (const [index, view] of views.entries()) {
    assert.deepEqual(
      { ...view },
      {
        post_uuid: POST,
        user_id: index === 0 ? null : String(index),
        ip: '2001:db8::7',
        user_agent: FIREFOX,
        referer: 'https://пример.example/статья',
        viewed_at: seconds,
        day: yesterday,
      },
      times[index]!,
    )
  }
  const { days } = JSON.parse(
    (await service.get(`/api/v1/posts/${POST}/views/daily?from=${yesterday}&to=${yesterday}`)).text,
  )
  assert.deepEqual(days, [
    { date: yesterday, views: 5, unique_views: 1, logged_in: 4, anonymous: 1, bots: 0 },
  ])
})

test('lets publishers declare both queues their way after the service made them', async t => {
  const { publish, start, rows, broker } = await system(t)
  await start()
  await publish('php', 'track-view.php', '1', '7', 'declare')
  await publish('php', 'post-views.php', '2', '8', String(Math.floor(Date.now() / 1_000)), 'declare')
  const views = await rows(2)
  assert.deepEqual(views.map(({ post_uuid, user_id }) => [post_uuid, user_id]).sort(), [
    ['1', '7'],
    ['2', '8'],
  ])
  for (const queue of ARTICLE_QUEUES) assert.equal(await messageCount(broker.url, queue), 0)
})

test('uses queues of any make that publishers declared before it, and counts what waits in them', async t => {
  const { publish, start, rows, broker } = await system(t)
  await onChannel(broker.url, async channel => {
    await channel.assertQueue('post.viewed', { durable: true, arguments: { 'x-queue-type': 'quorum' } })
    await channel.assertQueue('analytics.post_views', { durable: true, arguments: { 'x-max-priority': 5 } })
  })
  await publish('php', 'track-view.php', '1', '7')
  await publish('php', 'post-views.php', '2', '8', String(Math.floor(Date.now() / 1_000)))
  await start()
  assert.equal((await rows(2)).length, 2)
})

test('counts what amqp-publish sends through the exchange', async t => {
  const { publish, start, rows, broker } = await system(t)
  await start()
  const view = JSON.stringify({
    post_uuid: 'hello-world',
    user_id: '18446744073709551615',
    ip: '198.51.100.4',
  })
  const to = ['-e', 'post.events', '-r', 'post.viewed', '-p', '-C', 'application/json']
  await publish('amqp-publish', `--url=${broker.url}`, ...to, '-b', view)
  const [stored] = await rows(1)
  assert.equal(stored!['post_uuid'], 'hello-world')
  assert.equal(stored!['user_id'], '18446744073709551615')
  assert.equal(stored!['ip'], '198.51.100.4')
})

test('counts once what Python sends twice under one message_id, and each view that has another', async t => {
  const { publish, start, rows } = await system(t)
  const service = await start()
  const python = findPython()
  assert.ok(python !== undefined, 'python3-pika is not installed')
  const id = randomUUID()
  for (const eventId of [id, id, randomUUID()]) await publish(python, 'track_view.py', POST, '9', eventId)
  const views = await rows(2)
  assert.deepEqual(
    views.map(({ post_uuid, user_id, ip }) => ({ post_uuid, user_id, ip })),
    Array(2).fill({ post_uuid: POST, user_id: '9', ip: '203.0.113.9' }),
  )
  let metrics = ''
  await until('all three are accounted for', async () => {
    metrics = (await service.get('/metrics')).text
    return /^postviews_time_source_total\{source="amqp"\} 3$/m.test(metrics)
  })
  assert.match(metrics, /^postviews_events_total\{outcome="duplicate",reason=""\} 1$/m)
})

test('counts each view whose id or time is none, as of a time that can be, and tells of them', async t => {
  const { start, rows, broker, database } = await system(t)
  const service = await start()
  const nil = '00000000-0000-0000-0000-000000000000'
  const at = Math.floor(Date.now() / 1_000) - 7_200
  const publish = (event: object | object[], properties: Options.Publish = {}) =>
    onChannel(broker.url, async channel => {
      channel.publish('post.events', 'post.viewed', Buffer.from(JSON.stringify(event)), properties)
      // A connection that closes throws away what was not read yet.
      await channel.close()
    })
  await publish([
    { post_id: 1, event_id: nil, timestamp: at * 1e6 },
    { post_id: 2, event_id: nil, timestamp: `${at}999999999` },
  ])
  await publish(
    { post_id: 3, event_id: nil, logged_in: true },
    { messageId: randomUUID(), timestamp: at * 1e6 },
  )
  await publish({ post_id: 4 }, { timestamp: 0, headers: { timestamp_in_ms: at * 1_000 } })
  await publish({ post_id: 5, timestamp: at + 3 * 7_200 })

  const views = await rows(5)
  const now = Date.now() / 1_000
  assert.deepEqual(
    views.map(({ post_uuid, viewed_at }) => [post_uuid, viewed_at === at]).sort(),
    ['1', '2', '3', '4', '5'].map(post => [post, post !== '5']),
  )
  const ahead = Number(views.find(({ post_uuid }) => post_uuid === '5')!['viewed_at'])
  assert.ok(ahead > now - 600 && ahead <= now)
  const known = await database.query(
    'SELECT post_uuid, user_id FROM post_views WHERE logged_in = 1 AND event_id IS NOT NULL',
  )
  assert.deepEqual({ ...known[0] }, { post_uuid: '3', user_id: null })
  const { text: metrics } = await service.get('/metrics')
  assert.match(metrics, /^postviews_ids_ignored_total 3$/m)
  assert.match(metrics, /^postviews_times_ahead_total 1$/m)
  assert.match(metrics, /^postviews_amqp_times_ignored_total 1$/m)
})

test(`an older service reads the tables in ${MYSQL.name} with the statements it has`, async t => {
  const { publish, start, rows } = await system(t, MYSQL)
  await start()
  const now = Math.floor(Date.now() / 1_000)
  const yesterday = now - 86_400
  await publish('php', 'post-views.php', POST, '7', String(now))
  await publish('php', 'post-views.php', POST, '', String(yesterday))
  await publish('php', 'track-view.php', '42', '7')
  await rows(3)

  const read = JSON.parse((await publish('php', 'read-tables.php', POST)).stdout)
  const row = {
    post_uuid: POST,
    ip: '2001:db8::7',
    user_agent: FIREFOX,
    referer: 'https://пример.example/статья',
  }
  assert.deepEqual(read, {
    rows: [
      { ...row, user_id: 7, viewed_at: dateTime(now) },
      { ...row, user_id: null, viewed_at: dateTime(yesterday) },
    ],
    days: [
      { date: dateTime(yesterday).slice(0, 10), view_count: 1 },
      { date: dateTime(now).slice(0, 10), view_count: 1 },
    ],
    top: [
      { post_uuid: POST, views: '2' },
      { post_uuid: '42', views: '1' },
    ],
  })
})

function dateTime(unixSeconds: number): string {
  return new Date(unixSeconds * 1_000).toISOString().slice(0, 19).replace('T', ' ')
}
