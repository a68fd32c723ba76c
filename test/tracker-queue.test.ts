/** A confirm is not the end of it: queues that are full, unbound, deleted or missing. Fault 17. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  DEAD_QUEUE,
  declareTopology,
  EXCHANGE,
  ROUTING_KEY,
  VIEWS_QUEUE,
} from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import {
  assertAddsUp,
  assertAllThere,
  messageCount,
  numbered,
  onChannel,
  takeMessages,
  takeNumbered,
  testTracker,
  trackSteadily,
} from './support/published.ts'
import { until } from './support/until.ts'

test('a full queue refuses: what it refused stays pending, and arrives as it is emptied', async t => {
  const { url } = await testRabbitmq()
  await onChannel(url, async channel => {
    const full = { 'x-max-length': 10, 'x-overflow': 'reject-publish' }
    await channel.assertQueue(VIEWS_QUEUE, { durable: true, arguments: full })
  })
  const tracker = testTracker(t, { url, maxEventsPerMessage: 1 })
  for (let n = 1; n <= 60; n++) tracker.trackView(numbered(n))
  await until('it is refused again and again', () => tracker.stats().republished > 3)
  assertAddsUp(tracker)
  assert.equal(tracker.stats().confirmed, await messageCount(url))
  assert.ok(tracker.stats().pending > 45)

  const there = new Map<number, string>()
  await until('all have arrived', async () => {
    for (const [number, id] of await takeNumbered(url)) there.set(number, id)
    return there.size === 60
  })
  assert.equal(await tracker.flush(10_000), 0)
  assertAllThere(there, 60)
  assert.equal(tracker.stats().dropped, 0)
})

test('an event that comes back as unroutable is never counted as confirmed, and arrives once it can', async t => {
  const { url, name, api } = await testRabbitmq()
  // A user who may not declare, so that nothing is bound until this test does it.
  await onChannel(url, channel => channel.assertExchange(EXCHANGE, 'topic', { durable: true }))
  await api('PUT', `/users/writer-of-${name}`, { password: 'secret', tags: '' })
  t.after(() => api('DELETE', `/users/writer-of-${name}`))
  await api('PUT', `/permissions/${name}/writer-of-${name}`, { configure: '', write: '.*', read: '' })

  const writer = url.replace('guest:guest', `writer-of-${name}:secret`)
  const tracker = testTracker(t, { url: writer, maxEventsPerMessage: 1 })
  await until('it is connected', () => tracker.stats().connected)
  // Two of one id in flight together: each comes back by itself.
  const twin = { ...numbered(1), event_id: '0190163d-8694-739b-aea5-966c26f8ad90' }
  for (const event of [twin, twin, numbered(2)]) tracker.trackView(event)
  await until('they came back several times', () => tracker.stats().republished > 3)
  assert.equal(tracker.stats().confirmed, 0)
  assert.equal(tracker.stats().pending, 3)
  assert.ok(tracker.logged.some(({ event }) => event === 'message.returned'))

  const connection = await connect(url)
  await declareTopology(connection, [VIEWS_QUEUE, DEAD_QUEUE])
  await connection.close()
  assert.equal(await tracker.flush(10_000), 0)
  assert.equal((await takeMessages(url)).length, 3)
  assert.equal(tracker.stats().confirmed, 3)
})

test('a queue that is unbound under load is bound again, and nothing is lost', async t => {
  const { url } = await testRabbitmq()
  const tracker = testTracker(t, { url })
  const load = trackSteadily(t, tracker)
  for (let time = 1; time <= 3; time++) {
    const { confirmed } = tracker.stats()
    await until('it publishes', () => tracker.stats().confirmed > confirmed + 20)
    await onChannel(url, channel => channel.unbindQueue(VIEWS_QUEUE, EXCHANGE, ROUTING_KEY))
  }
  await until('events came back', () => tracker.logged.some(({ event }) => event === 'message.returned'))
  const last = await load.stop()
  assert.equal(await tracker.flush(20_000), 0)
  assertAllThere(await takeNumbered(url), last)
})

test('a queue that is deleted is declared again for what comes later', async t => {
  const { url } = await testRabbitmq()
  const tracker = testTracker(t, { url })
  tracker.trackView(numbered(1))
  assert.equal(await tracker.flush(10_000), 0)
  await onChannel(url, channel => channel.deleteQueue(VIEWS_QUEUE))
  for (let n = 2; n <= 500; n++) tracker.trackView(numbered(n))
  assert.equal(await tracker.flush(20_000), 0)
  const there = await takeNumbered(url)
  assertAllThere(new Map([...there, [1, 'went with the queue']]), 500)
})

test('a queue that is deleted under load loses what it held, and nothing that came after', async t => {
  const { url } = await testRabbitmq()
  const tracker = testTracker(t, { url, confirmTimeoutMs: 2_000 })
  const load = trackSteadily(t, tracker)
  await until('it publishes', () => tracker.stats().confirmed > 100)
  await onChannel(url, channel => channel.deleteQueue(VIEWS_QUEUE))
  const first = tracker.stats().accepted + 1
  const { confirmed } = tracker.stats()
  await until('it publishes again', () => tracker.stats().confirmed > confirmed + 100)
  const last = await load.stop()
  assert.equal(await tracker.flush(20_000), 0)
  const there = await takeNumbered(url)
  for (let n = first; n <= last; n++) assert.ok(there.has(n), `event ${n} of ${first} to ${last}`)
})

test('an exchange that is deleted under load is declared again, and nothing is lost', async t => {
  const { url } = await testRabbitmq()
  const tracker = testTracker(t, { url })
  const load = trackSteadily(t, tracker)
  await until('it publishes', () => tracker.stats().confirmed > 100)
  await onChannel(url, channel => channel.deleteExchange(EXCHANGE))
  await until('it noticed', () => tracker.logged.some(({ event }) => event === 'broker.lost'))
  const { confirmed } = tracker.stats()
  await until('it publishes again', () => tracker.stats().confirmed > confirmed + 100)
  const last = await load.stop()
  assert.equal(await tracker.flush(20_000), 0)
  assertAllThere(await takeNumbered(url), last)
})
