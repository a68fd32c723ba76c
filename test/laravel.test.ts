/**
 * What packages/laravel publishes with (src/Publishing), run by plain PHP: a page tracks its views, and what Laravel calls after the
 * response sends them. Laravel itself is not here; test/laravel/ has it.
 */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  DEAD_QUEUE,
  declareTopology,
  decodeMessage,
  EXCHANGE,
  isUuid,
  VIEWS_QUEUE,
  type ViewEvent,
} from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { encodedUrl } from './support/encoded-url.ts'
import { SQLITE } from './support/engines.ts'
import {
  BY_ID,
  BY_UUID,
  LONGEST_FLUSH_MS,
  php,
  restFolder,
  restsIn,
  showPages,
  startSilent,
  WAITED_FOR_NOTHING_MS,
} from './support/php-pages.ts'
import { eventsOf, messageCount, onChannel, takeMessages } from './support/published.ts'
import { refuseChannels } from './support/refusing-channels.ts'
import { startService } from './support/service.ts'
import { declareQueues } from './support/system.ts'
import { startTcpProxy } from './support/tcp-proxy.ts'
import { until } from './support/until.ts'
import { FIREFOX, POST } from './support/views.ts'

test('counts what a page tracks, in the shape of either article, with reader and day', async t => {
  const broker = await testRabbitmq()
  const database = await SQLITE.create(t)
  const startedAt = Math.floor(Date.now() / 1_000)
  // Before the service has ever run: there is no exchange yet.
  const { pages, log } = await showPages(broker.url, { pages: [[BY_ID], [BY_UUID]] })
  assert.deepEqual(log, [])
  assert.ok(pages.every(({ track_ms }) => track_ms < WAITED_FOR_NOTHING_MS))

  const settings = { EVENT_MAX_AGE: '10000d', RAW_RETENTION_DAYS: '0' }
  const service = await startService(t, { amqpUrl: broker.url, databaseUrl: database.url, settings })
  await service.untilReady()
  await showPages(broker.url, { pages: [[{ ...BY_ID, user_id: 8 }]] })
  const counted = async () => {
    const [row] = await database.query('SELECT COUNT(*) AS views FROM post_views')
    return row!['views']
  }
  await until('three views are stored', async () => (await counted()) === 3)

  const rows = await database.query(
    'SELECT post_uuid, user_id, ip, user_agent, referer, viewed_at, day, event_id FROM post_views ORDER BY id',
  )
  const shown = rows.map(({ viewed_at, day, event_id, ...row }) => row)
  const article = { post_uuid: '42', ip: '203.0.113.7', user_agent: FIREFOX, referer: null }
  assert.deepEqual(
    shown,
    [
      { ...article, user_id: null },
      { ...BY_UUID, user_id: '7', timestamp: undefined },
      { ...article, user_id: '8' },
    ].map(({ timestamp, ...row }: { timestamp?: unknown; [name: string]: unknown }) => row),
  )
  assert.equal(new Set(rows.map(({ event_id }) => String(event_id))).size, 3)
  assert.equal(rows[1]!['day'], '2026-11-20')
  for (const row of [rows[0]!, rows[2]!]) {
    assert.ok(Number(row['viewed_at']) >= startedAt && Number(row['viewed_at']) <= Date.now() / 1_000)
  }
})

test('finds the broker by a URL whose user, password and virtual host are encoded', async t => {
  const { url, broker } = await encodedUrl(t)
  const { log } = await showPages(url, { pages: [[BY_ID]] })
  assert.deepEqual(log, [])
  assert.equal(await messageCount(broker.url, VIEWS_QUEUE), 1)
})

test('publishes persistently, with ids and times, once connected and in one message', async t => {
  const broker = await testRabbitmq()
  await declareQueues(broker.url)
  const proxy = await startTcpProxy(Number(new URL(broker.url).port))
  t.after(() => proxy.close())
  const strange: ViewEvent = {
    post_uuid: POST,
    user_id: Number.MAX_SAFE_INTEGER,
    user_agent: `${'ü'.repeat(3_000)}`,
    referer: `https://example.org/${'x'.repeat(600)}`,
  }
  const { log } = await showPages(proxy.through(broker.url), { pages: [[BY_ID, strange], [BY_UUID]] })
  assert.deepEqual(log, [])
  assert.equal(proxy.taken, 1)

  const messages = await takeMessages(broker.url)
  assert.equal(messages.length, 2)
  for (const { properties, fields } of messages) {
    assert.equal(properties.deliveryMode, 2)
    assert.equal(properties.contentType, 'application/json')
    assert.equal(properties.type, 'post.viewed')
    assert.ok(isUuid(properties.messageId))
    assert.ok(Math.abs(properties.timestamp - Date.now() / 1_000) < 60)
    assert.equal(fields.routingKey, 'post.viewed')
  }
  const events = eventsOf(messages)
  assert.equal(messages[1]!.properties.messageId, events[2]!.event_id)
  for (const { event_id } of events)
    assert.match(String(event_id), /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]/)
  const [first, second, third] = events
  assert.ok(Math.abs(Date.parse(String(first!.timestamp)) - Date.now()) < 60_000)
  assert.equal(third!.timestamp, BY_UUID.timestamp)
  assert.equal(second!.user_id, String(Number.MAX_SAFE_INTEGER))
  assert.deepEqual([second!.user_agent?.length, second!.referer?.length], [2_000, 500])
})

test('costs a page nothing while the broker is away, and drops nothing without saying so', async t => {
  const folder = await restFolder(t)
  const silent = await startSilent(t)
  const first = await showPages(silent.url, { pages: [[BY_ID], [BY_ID], [BY_ID]], rest_folder: folder })
  const [tried, ...spared] = first.pages
  assert.ok(tried!.flush_ms < LONGEST_FLUSH_MS)
  for (const { track_ms, flush_ms } of spared) assert.ok(track_ms + flush_ms < WAITED_FOR_NOTHING_MS)
  assert.equal(first.log.length, 1)
  assert.equal(first.log[0]![0], 'broker.lost')
  assert.match(first.lastWords, /^view\.dropped: 3 views/)
  assert.ok(!JSON.stringify(first).includes('hidden'))
  const connections = silent.taken()

  // Every other process of the machine knows, too.
  const second = await showPages(silent.url, { pages: [[BY_UUID]], rest_folder: folder })
  assert.ok(second.pages[0]!.flush_ms < WAITED_FOR_NOTHING_MS)
  assert.equal(silent.taken(), connections)
  assert.match(second.lastWords, /^view\.dropped: 1 view:/)
})

test('tries one node of a cluster after the other, and takes no longer for it than a page may', async t => {
  const broker = await testRabbitmq()
  await declareQueues(broker.url)
  const silent = await startSilent(t)
  const down = 'amqp://guest:hidden@127.0.0.1:1'
  const vhost = new URL(broker.url).pathname
  const away = [down, silent.url].map(url => url + vhost)
  const { pages, log } = await showPages([...away, broker.url].join(', '), { pages: [[BY_ID], [BY_UUID]] })
  assert.deepEqual(log, [])
  assert.ok(pages[0]!.flush_ms < LONGEST_FLUSH_MS)
  // The process stays with the one that answers.
  assert.ok(pages[1]!.flush_ms < WAITED_FOR_NOTHING_MS)
  assert.equal(silent.taken(), 1)
  assert.equal(eventsOf(await takeMessages(broker.url)).length, 2)

  const allSilent = Array.from({ length: 20 }, () => silent.url).join(',')
  const nowhere = await showPages(allSilent, { pages: [[BY_ID]] })
  assert.ok(nowhere.pages[0]!.flush_ms < LONGEST_FLUSH_MS + 1_000, `${nowhere.pages[0]!.flush_ms} ms`)
  assert.equal(nowhere.log.length, 1)
  const apart = await showPages(`${broker.url},${down}/elsewhere`, { pages: [[BY_ID]] })
  assert.deepEqual(apart.log, [['broker.lost', 'the brokers do not all have the same virtual host']])
  for (const run of [nowhere, apart]) assert.ok(!JSON.stringify(run).includes('hidden'))
})

test('goes to the next node when a confirm is late or refused, with the same ids', async t => {
  const broker = await testRabbitmq()
  await declareQueues(broker.url)
  const [stuck, other] = [
    await startTcpProxy(Number(new URL(broker.url).port)),
    await startTcpProxy(Number(new URL(broker.url).port)),
  ]
  t.after(() => Promise.all([stuck.close(), other.close()]))
  const urls = [stuck, other].map(proxy => proxy.through(broker.url)).join(',')
  let isPublished = false
  stuck.intercept(({ direction, bytes }) => {
    if (direction === 'to-client' && isPublished) return 'swallow'
    if (bytes.includes('"post_uuid"')) isPublished = true
    return 'pass'
  })
  const late = await showPages(urls, { pages: [[BY_UUID]] })
  refuseChannels(stuck, () => true)
  const refused = await showPages(urls, { pages: [[BY_UUID]] })
  for (const { log, lastWords, pages } of [late, refused]) {
    assert.deepEqual([log, lastWords], [[], ''])
    assert.ok(pages[0]!.flush_ms < LONGEST_FLUSH_MS)
  }
  assert.equal(other.taken, 2)
  const ids = eventsOf(await takeMessages(broker.url)).map(({ event_id }) => event_id)
  assert.deepEqual([ids.length, new Set(ids).size], [4, 2])
})

test('keeps what it could not send while its process lives, and sends it once the broker is back', async t => {
  const folder = await restFolder(t)
  const broker = await testRabbitmq()
  await declareQueues(broker.url)
  const proxy = await startTcpProxy(Number(new URL(broker.url).port))
  t.after(() => proxy.close())
  proxy.refuse()
  const running = showPages(proxy.through(broker.url), {
    pages: [[BY_ID], [BY_UUID]],
    rest_folder: folder,
    rest_seconds: 1,
    pause_ms: 2_200,
  })
  await until('it has failed', () => restsIn(folder).length === 1)
  proxy.pass()
  const { log, lastWords } = await running
  assert.deepEqual(
    log.map(([event]) => event),
    ['broker.lost'],
  )
  assert.equal(lastWords, '')
  assert.deepEqual(
    eventsOf(await takeMessages(broker.url)).map(({ post_uuid }) => post_uuid),
    ['42', POST],
  )
  assert.deepEqual(restsIn(folder), [])
})

test('sends again under the same id when the confirm was lost, and it is counted once', async t => {
  const broker = await testRabbitmq()
  const database = await SQLITE.create(t)
  const service = await startService(t, { amqpUrl: broker.url, databaseUrl: database.url })
  await service.untilReady()
  const proxy = await startTcpProxy(Number(new URL(broker.url).port))
  t.after(() => proxy.close())
  let isPublished = false
  proxy.intercept(({ connection, direction, bytes }) => {
    if (connection !== 1) return 'pass'
    if (direction === 'to-client' && isPublished) return 'cut'
    if (bytes.includes('"post_uuid"')) isPublished = true
    return 'pass'
  })
  const { timestamp: _, ...view } = BY_UUID
  const { log, lastWords } = await showPages(proxy.through(broker.url), { pages: [[view]] })
  assert.deepEqual([log, lastWords], [[], ''])
  assert.equal(proxy.taken, 2)
  let metrics = ''
  await until('both deliveries are accounted for', async () => {
    metrics = (await service.get('/metrics')).text
    return /^postviews_events_total\{outcome="duplicate",reason=""\} 1$/m.test(metrics)
  })
  const { views } = JSON.parse((await service.get(`/api/v1/posts/${POST}/views`)).text)
  assert.equal(views, 1)
})

test('uses what others have declared, and says when nothing takes its views', async () => {
  const made = await testRabbitmq()
  await onChannel(made.url, async channel => {
    await channel.assertExchange(EXCHANGE, 'topic', { durable: true })
    await channel.assertQueue(VIEWS_QUEUE, { durable: true, arguments: { 'x-max-length': 1_000 } })
  })
  assert.deepEqual((await showPages(made.url, { pages: [[BY_ID]] })).log, [])
  assert.equal(await messageCount(made.url), 1)
  assert.equal(await messageCount(made.url, DEAD_QUEUE), 0)

  const full = await testRabbitmq()
  const options = { durable: true, arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } }
  await onChannel(full.url, async channel => {
    await channel.assertQueue(VIEWS_QUEUE, options)
  })
  const connection = await connect(full.url)
  await declareTopology(connection, [VIEWS_QUEUE])
  await connection.close()
  // Two messages of them, of which it takes the first.
  const { log, lastWords } = await showPages(full.url, { pages: [Array(60).fill(BY_ID)] })
  assert.deepEqual(log, [['broker.lost', 'the queue accepts no more messages']])
  assert.match(lastWords, /^view\.dropped: 10 views/)
})

test('takes no view for confirmed that no queue has: it declares what is missing and sends it again', async () => {
  const unbound = await testRabbitmq()
  await onChannel(unbound.url, async channel => {
    await channel.assertExchange(EXCHANGE, 'topic', { durable: true })
  })
  const { log, lastWords } = await showPages(unbound.url, { pages: [[BY_ID], [BY_ID]] })
  assert.deepEqual([log, lastWords], [[], ''])
  assert.equal(await messageCount(unbound.url, VIEWS_QUEUE), 2)
})

test('sends what PHP has and JSON has not: texts, integers, DateTimes; and says which views it does not send', async () => {
  const broker = await testRabbitmq()
  await declareQueues(broker.url)
  const { stdout, stderr } = await php(['analytics-api-values.php'], '', { AMQP_URL: broker.url })
  assert.equal(stderr, '')
  const { at, shown, logged }: { at: number; shown: boolean[]; logged: string[] } = JSON.parse(stdout)
  assert.deepEqual(shown, [true, true, ...Array(6).fill(false)])

  const [message, ...others] = await takeMessages(broker.url)
  assert.equal(others.length, 0)
  const options = { receivedAt: Date.now() / 1_000, maxAgeSeconds: 86_400 }
  const { views, invalid, idsIgnored } = decodeMessage(message!.content, message!.properties, options)
  const of = (post: string) => views.find(({ postUuid }) => postUuid === post)
  assert.equal(of('texts')?.userId, '42')
  assert.equal(of('42')?.userId, '9223372036854775807')
  assert.deepEqual([of('logged-in')?.userId, of('logged-in')?.loggedIn], [null, true])
  assert.equal(of('logged-in')?.referer?.length, 500)
  assert.ok(message!.content.length < 10 * 500)
  assert.deepEqual([of('in-berlin')?.viewedAt, of('in-chicago')?.viewedAt], [at, at])
  // An id that is none is replaced; one that is there twice is sent twice, for the service to decide.
  assert.equal(idsIgnored, 0)
  assert.equal(
    new Set(['nil-1', 'nil-2', 'all-f', 'twin-1', 'twin-2'].map(post => of(post)?.eventId)).size,
    4,
  )
  // As text, -5 would be the name of a post.
  assert.deepEqual([invalid, views.length], [[], 10])
  const posts = /^view\.invalid: (?:2 more views: )?post_uuid .* a positive integer; it is 0 or below/
  const users = /^view\.invalid: (?:1 more view: )?user_id is not a positive integer below 2\^64/
  const [post, user, morePosts, moreUsers, ...others_] = logged
  for (const line of [post, morePosts]) assert.match(line!, posts)
  for (const line of [user, moreUsers]) assert.match(line!, users)
  assert.deepEqual(others_, [])
})

test('contains whatever it is given and whatever goes wrong', async t => {
  const broker = await testRabbitmq()
  await declareQueues(broker.url)
  for (const url of ['', 'http://guest:hidden@127.0.0.1', 'amqp://', 'amqp://guest:hidden@127.0.0.1:1/x']) {
    const { log } = await showPages(url, { pages: [[BY_ID]] })
    assert.equal(log[0]?.[0], 'broker.lost')
    assert.ok(!JSON.stringify(log).includes('hidden'))
  }
  const unwritable = join(await restFolder(t), 'no', 'such', 'folder')
  const { log } = await showPages('amqp://127.0.0.1:1', { pages: [[BY_ID]], rest_folder: unwritable })
  assert.deepEqual(
    log.map(([event]) => event),
    ['rest.unshared', 'broker.lost'],
  )

  const endless = await showPages(broker.url, { pages: [[{ ...BY_ID, event_id: 'x'.repeat(300) }], [BY_ID]] })
  assert.deepEqual(endless.log, [['view.invalid', 'event_id is not a UUID (bad_event_id)']])
  assert.equal(eventsOf(await takeMessages(broker.url)).length, 1)

  // RabbitMQ 4 closes the channel on a message of more than 16 MiB, and the service counts none of more than 1 MiB.
  const large = { ...BY_ID, padding: 'p'.repeat(17 * 1_048_576) }
  const unpadded = await showPages(broker.url, { pages: [[large, BY_ID], [BY_ID]] })
  assert.deepEqual(unpadded.log, [])
  const events = eventsOf(await takeMessages(broker.url))
  assert.equal(events.length, 3)
  assert.ok(JSON.stringify(events).length < 2_000)
  // As long as what is cut can be, as JSON.
  const longest = {
    ...BY_ID,
    user_agent: '\u0001'.repeat(3_000),
    referer: '\u0001'.repeat(3_000),
    url: `/${'\u0001'.repeat(3_000)}`,
  }
  const full = await showPages(broker.url, { pages: [Array.from({ length: 50 }, () => longest)] })
  assert.deepEqual(full.log, [])
  const [message] = await takeMessages(broker.url)
  assert.equal(
    decodeMessage(message!.content, {}, { receivedAt: Date.now() / 1_000, maxAgeSeconds: 86_400 }).views
      .length,
    50,
  )
})
