import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import {
  DEAD_QUEUE,
  declareTopology,
  decodeMessage,
  EXCHANGE,
  QUEUE_OPTIONS,
  VIEWS_QUEUE,
} from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import {
  eventsOf,
  numbered,
  onChannel,
  takeMessages,
  takeNumbered,
  testTracker,
} from './support/published.ts'
import { until } from './support/until.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

describe('what the tracker publishes', () => {
  test('a lone event is one object, with the properties of a good publisher', async t => {
    const { url } = await testRabbitmq()
    const tracker = testTracker(t, { url, appId: 'frontend' })
    const before = Math.floor(Date.now() / 1_000)
    tracker.trackView({ post_uuid: 'hello', user_id: null, ip: '203.0.113.7' })
    assert.equal(await tracker.flush(10_000), 0)

    const messages = await takeMessages(url)
    assert.equal(messages.length, 1)
    const [{ content, properties, fields }] = messages as [(typeof messages)[0]]
    const event = JSON.parse(content.toString())
    assert.match(event.event_id, UUID)
    assert.equal(fields.exchange, EXCHANGE)
    assert.equal(fields.routingKey, 'post.viewed')
    assert.equal(properties.messageId, event.event_id)
    assert.equal(properties.contentType, 'application/json')
    assert.equal(properties.deliveryMode, 2)
    assert.equal(properties.type, 'post.viewed')
    assert.equal(properties.appId, 'frontend')
    assert.ok(properties.timestamp >= before && properties.timestamp <= Date.now() / 1_000)

    const { views, invalid } = decodeMessage(content, properties, {
      receivedAt: Date.now() / 1_000,
      maxAgeSeconds: 60,
    })
    assert.deepEqual(invalid, [])
    assert.equal(views[0]?.timeSource, 'event')
    assert.equal(views[0]?.postUuid, 'hello')
    assert.equal(views[0]?.ip, '203.0.113.7')
  })

  test('events that wait together travel together, each under its own id', async t => {
    const { url } = await testRabbitmq()
    const tracker = testTracker(t, { url })
    for (let n = 1; n <= 250; n++) tracker.trackView(numbered(n))
    assert.equal(await tracker.flush(10_000), 0)

    const messages = await takeMessages(url)
    assert.deepEqual(
      messages.map(({ content }) => JSON.parse(content.toString()).length),
      [100, 100, 50],
    )
    const ids = eventsOf(messages).map(event => String(event.event_id))
    assert.equal(new Set(ids).size, 250)
    // In a message of several, the message_id is nobody's event_id.
    for (const { properties } of messages) {
      assert.match(properties.messageId, UUID)
      assert.ok(!ids.includes(properties.messageId))
    }
  })

  test('a message stays below its size, and an event above it travels alone', async t => {
    const { url } = await testRabbitmq()
    const tracker = testTracker(t, { url, maxMessageBytes: 1_000 })
    tracker.trackView({ post_uuid: 1, referer: 'é'.repeat(500), user_agent: 'ü'.repeat(2_000) })
    for (let n = 0; n < 50; n++) tracker.trackView({ post_uuid: 'é', user_agent: 'ü'.repeat(n) })
    assert.equal(await tracker.flush(10_000), 0)

    const [big, ...others] = await takeMessages(url)
    assert.ok(big!.content.length > 1_000)
    assert.equal(eventsOf(others).length, 50)
    assert.ok(others.length < 50)
    for (const { content } of others) assert.ok(content.length <= 1_000)
  })

  test('the id and the time that the caller gave are kept', async t => {
    const { url } = await testRabbitmq()
    const tracker = testTracker(t, { url, maxEventsPerMessage: 1 })
    const event_id = '0190163D-8694-739B-AEA5-966C26F8AD90'
    tracker.trackView({ post_uuid: 1, event_id, timestamp: 1_700_000_000 })
    tracker.trackView({ post_uuid: 1, viewed_at: '2026-01-01 00:00:00' })
    assert.equal(await tracker.flush(10_000), 0)

    const messages = await takeMessages(url)
    assert.equal(messages[0]?.properties.messageId, event_id)
    const [first, second] = eventsOf(messages)
    assert.deepEqual(first, { post_uuid: 1, event_id, timestamp: 1_700_000_000 })
    assert.equal(second?.viewed_at, '2026-01-01 00:00:00')
    assert.equal(second?.timestamp, undefined)
  })

  test('what breaks the contract is passed on, for the service to keep as a dead letter and somebody to repair', async t => {
    const { url } = await testRabbitmq()
    const tracker = testTracker(t, { url })
    const broken = { postUuid: 7, ip: 'unknown', event_id: 'x', user_id: -1, timestamp: 'now', extra: [1] }
    tracker.trackView(broken as object)
    assert.equal(await tracker.flush(10_000), 0)
    assert.deepEqual(eventsOf(await takeMessages(url)), [broken])
  })

  test('user agent and referer are cut to what the contract keeps', async t => {
    const { url } = await testRabbitmq()
    const tracker = testTracker(t, { url })
    tracker.trackView({ post_uuid: 7, user_agent: '😀'.repeat(10_000), referer: 'r'.repeat(10_000) })
    assert.equal(await tracker.flush(10_000), 0)
    const [event] = eventsOf(await takeMessages(url))
    assert.equal(event?.user_agent, '😀'.repeat(2_000))
    assert.equal(event?.referer, 'r'.repeat(500))
  })

  test('an event leaves by itself, soon', async t => {
    const { url } = await testRabbitmq()
    const tracker = testTracker(t, { url })
    for (let n = 1; n <= 3; n++) {
      tracker.trackView(numbered(n))
      await until(`event ${n} is confirmed`, () => tracker.stats().confirmed === n, 5_000)
    }
  })
})

describe('the topology', () => {
  test('what is published before Analytics ever ran waits for it, in a queue with the right arguments', async t => {
    const { url, name, api } = await testRabbitmq()
    const tracker = testTracker(t, { url })
    tracker.trackView(numbered(1))
    assert.equal(await tracker.flush(10_000), 0)
    for (const queue of [VIEWS_QUEUE, DEAD_QUEUE]) {
      const found = (await api('GET', `/queues/${name}/${queue}`)) as Record<string, unknown>
      assert.equal(found['durable'], true)
      assert.deepEqual(found['arguments'], QUEUE_OPTIONS[queue]?.arguments)
    }
    assert.equal((await takeNumbered(url)).size, 1)
  })

  test('is used as it is where it exists', async t => {
    const { url, name, api } = await testRabbitmq()
    const theirs = { durable: true, arguments: { 'x-max-length': 1_000 } }
    await onChannel(url, async channel => {
      await channel.assertExchange(EXCHANGE, 'topic', { durable: true, autoDelete: false })
      await channel.assertQueue(VIEWS_QUEUE, theirs)
      await channel.assertQueue('untouched', theirs)
    })
    const tracker = testTracker(t, { url })
    tracker.trackView(numbered(1))
    assert.equal(await tracker.flush(10_000), 0)
    const argumentsOf = async (queue: string) =>
      ((await api('GET', `/queues/${name}/${queue}`)) as { arguments: Record<string, unknown> }).arguments
    const found = await argumentsOf(VIEWS_QUEUE)
    assert.equal(found['x-max-length'], 1_000)
    // RabbitMQ 4 adds the type to what was declared, 3.10 does not.
    assert.deepEqual(found, await argumentsOf('untouched'))
    assert.equal((await takeNumbered(url)).size, 1)
  })

  test('may be declared by somebody else, for a user who is only allowed to publish', async t => {
    const { url, name, api } = await testRabbitmq()
    const connection = await connect(url)
    await declareTopology(connection, [VIEWS_QUEUE, DEAD_QUEUE])
    await connection.close()
    await api('PUT', `/users/writer-of-${name}`, { password: 'secret', tags: '' })
    t.after(() => api('DELETE', `/users/writer-of-${name}`))
    const permissions = { configure: '', write: `^${EXCHANGE.replace('.', '\\.')}$`, read: '' }
    await api('PUT', `/permissions/${name}/writer-of-${name}`, permissions)

    const tracker = testTracker(t, { url: url.replace('guest:guest', `writer-of-${name}:secret`) })
    tracker.trackView(numbered(1))
    assert.equal(await tracker.flush(10_000), 0)
    assert.ok(tracker.logged.some(({ event }) => event === 'topology.refused'))
    assert.equal((await takeNumbered(url)).size, 1)
  })

  test('two trackers that declare it at once do not disturb each other', async t => {
    const { url } = await testRabbitmq()
    const trackers = Array.from({ length: 5 }, () => testTracker(t, { url }))
    for (const [n, tracker] of trackers.entries()) tracker.trackView(numbered(n + 1))
    for (const tracker of trackers) assert.equal(await tracker.flush(10_000), 0)
    assert.equal((await takeNumbered(url)).size, 5)
    for (const { logged } of trackers) assert.ok(!logged.some(({ event }) => event === 'broker.lost'))
  })
})

describe('closing', () => {
  test('waits for the confirms, and drops nothing', async t => {
    const { url } = await testRabbitmq()
    const tracker = testTracker(t, { url })
    for (let n = 1; n <= 5_000; n++) tracker.trackView(numbered(n))
    await tracker.close()
    const { accepted, confirmed, pending, dropped, connected } = tracker.stats()
    assert.deepEqual([accepted, confirmed, pending, dropped, connected], [5_000, 5_000, 0, 0, false])
    assert.equal((await takeNumbered(url)).size, 5_000)
  })

  test('disconnects, and what comes later is dropped as closed', async t => {
    const { url, name, api } = await testRabbitmq()
    const dropped: unknown[] = []
    const tracker = testTracker(t, { url, onDrop: (event, reason) => dropped.push([event, reason]) })
    tracker.trackView(numbered(1))
    await tracker.flush(10_000)
    await Promise.all([tracker.close(), tracker.close()])
    tracker.trackView(numbered(2))
    assert.deepEqual(dropped, [[numbered(2), 'closed']])
    assert.equal(tracker.stats().pending, 0)
    await until('the broker has no connection of it', async () => {
      const connections = (await api('GET', `/vhosts/${name}/connections`)) as unknown[]
      return connections.length === 0
    })
  })
})

test('a wrong password is tried again for ever, and shows up nowhere', async t => {
  const { url } = await testRabbitmq()
  const tracker = testTracker(t, { url: url.replace('guest:guest', 'guest:s3cr3t-p4ss') })
  tracker.trackView(numbered(1))
  await until('it has tried and failed', () => tracker.logged.some(({ event }) => event === 'broker.lost'))
  assert.match(tracker.logged[0]!.detail, /ACCESS_REFUSED|403/)
  assert.doesNotMatch(inspect(tracker.logged, { depth: 9 }), /s3cr3t-p4ss/)
  assert.equal(tracker.stats().pending, 1)
})
