/** What counts against the delivery limit of a quorum queue, which gives up a message that comes back too often. */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { DEAD_QUEUE } from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { purgeOldDead } from '../packages/analytics/src/ingest/dead.ts'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { commandLine } from './support/command.ts'
import { SQLITE } from './support/engines.ts'
import { untilStored } from './support/invariants.ts'
import { plan } from './support/planned.ts'
import { messageCount, onChannel, sendTo, versionOf } from './support/published.ts'
import { startService } from './support/service.ts'
import { createSystem } from './support/system.ts'
import { until } from './support/until.ts'

const TRIED_SOON = ['--import', join(import.meta.dirname, 'support/tried-soon.ts')]
const QUORUM = { 'x-queue-type': 'quorum' }
const MESSAGES = 150

/** How often each message counts as delivered by now; the queue is emptied. */
async function deliveryCounts(url: string, queue: string): Promise<number[]> {
  const counts: number[] = []
  await onChannel(url, async channel => {
    for (;;) {
      const message = await channel.get(queue, { noAck: true })
      if (message === false) return
      counts.push(Number(message.properties.headers?.['x-delivery-count'] ?? 0))
    }
  })
  return counts
}

/** Only from RabbitMQ 4.3 on can a message be returned without being counted. */
async function countOf(url: string, times: number): Promise<number> {
  const [major, minor] = await versionOf(url)
  return major > 4 || (major === 4 && minor >= 3) ? 0 : times
}

describe('where the broker allows it, no delivery is spent on what is only looked at, or given back', () => {
  async function deadQueue(_: TestContext): Promise<string> {
    const { url } = await testRabbitmq()
    // Somebody else's declaration: on RabbitMQ 4 it gives up a message after 20 deliveries.
    await onChannel(url, channel => channel.assertQueue(DEAD_QUEUE, { durable: true, arguments: QUORUM }))
    const connection = await connect(url)
    const channel = await connection.createConfirmChannel()
    const headers = { reason: 'bad_ip', 'set-aside-at': new Date().toISOString() }
    for (let n = 0; n < MESSAGES; n++) channel.sendToQueue(DEAD_QUEUE, Buffer.from('{}'), { headers })
    await channel.waitForConfirms()
    await connection.close()
    return url
  }

  test('by dead list, replay and purge', async t => {
    const url = await deadQueue(t)
    const { run } = await commandLine(t, { AMQP_URL: url, DATABASE_URL: 'sqlite:views.db' })
    for (const args of ['dead list', 'dead replay --reason nul', 'dead purge --reason nul'])
      assert.equal((await run(args)).code, 0)
    const counts = await deliveryCounts(url, DEAD_QUEUE)
    assert.equal(counts.length, MESSAGES)
    // One is handed over once more before the others are returned, where any is left.
    const most = await countOf(url, 4)
    assert.ok(Math.max(...counts) <= most, counts.join())
  })

  test('by retention, which looks every hour', async t => {
    const url = await deadQueue(t)
    for (let hour = 0; hour < 3; hour++) assert.equal(await purgeOldDead([url], 0, () => {}), 0)
    const counts = await deliveryCounts(url, DEAD_QUEUE)
    assert.equal(counts.length, MESSAGES)
    assert.ok(Math.max(...counts) <= (await countOf(url, 4)), counts.join())
  })

  test('by a process that has just begun, and looks how large they are', async t => {
    const url = await deadQueue(t)
    const database = await SQLITE.create(t)
    const service = await startService(t, { amqpUrl: url, databaseUrl: database.url })
    await service.untilReady()
    const guess = MESSAGES * 1_024
    await until('it knows', async () => ![0, guess].includes(await service.metric('postviews_dead_bytes')))
    await service.end('SIGTERM')
    const counts = await deliveryCounts(url, DEAD_QUEUE)
    assert.equal(counts.length, MESSAGES)
    assert.ok(Math.max(...counts) <= (await countOf(url, 1)), counts.join())
  })

  test('by a consumer that ends with dead letters in hand', async t => {
    const { url } = await testRabbitmq()
    await onChannel(url, async channel => {
      await channel.assertQueue('post.viewed', { durable: true, arguments: QUORUM })
      const full = { 'x-max-length': 1, 'x-overflow': 'reject-publish' }
      await channel.assertQueue(DEAD_QUEUE, { durable: true, arguments: full })
    })
    await sendTo(url, [DEAD_QUEUE], '{}')
    const database = await SQLITE.create(t)
    const service = await startService(t, { amqpUrl: url, databaseUrl: database.url })
    await service.untilReady()
    await sendTo(url, ['post.viewed', 'post.viewed'], 'no view')
    await until('they wait', () => service.logged('view.dead_letter_waits').length > 0)
    assert.equal((await service.end('SIGTERM')).code, 0)
    assert.deepEqual(await deliveryCounts(url, 'post.viewed'), Array(2).fill(await countOf(url, 1)))
  })

  test('by a consumer whose store is broken', async t => {
    const database = await SQLITE.create(t)
    const broker = await testRabbitmq()
    await onChannel(broker.url, channel =>
      channel.assertQueue('post.viewed', { durable: true, arguments: QUORUM }),
    )
    const system = await createSystem(t, { database, broker })
    const service = await system.start({ nodeOptions: TRIED_SOON })
    await service.untilReady()
    await system.publish(plan({ views: 10, bad: 0, twice: 0 }))
    await untilStored(database, 10)
    await database.query('ALTER TABLE post_view_totals RENAME TO elsewhere')
    const views = Array.from({ length: MESSAGES }, () => 'post.viewed')
    await sendTo(broker.url, views, '{"post_uuid":"a-post"}')
    await until('it is tried again', () => service.logged('store.broken').length >= 3)
    await until('all are back', async () => (await messageCount(broker.url, 'post.viewed')) === MESSAGES)
    service.kill('SIGKILL')
    const counts = await deliveryCounts(broker.url, 'post.viewed')
    assert.equal(counts.length, MESSAGES)
    const once = await countOf(broker.url, 1)
    // One may be handed over once more before the others are returned.
    assert.ok(counts.filter(count => count !== once).length <= 1, counts.join())
    assert.ok(Math.max(...counts) <= (await countOf(broker.url, 2)), counts.join())
  })
})

test('with the policy that operations.md names, a direct queue that is a quorum queue drops nothing', async () => {
  const { url, name, api } = await testRabbitmq()
  const text = await readFile(join(import.meta.dirname, '../docs/operations.md'), 'utf8')
  const [, pattern, definition] = /set_policy postviews '([^']+)' '([^']+)' --apply-to queues/.exec(text)!
  const policy = { pattern, definition: JSON.parse(definition!), 'apply-to': 'queues' }
  await api('PUT', `/policies/${name}/postviews`, policy)
  for (const queue of ['post.viewed', 'analytics.post_views', DEAD_QUEUE]) {
    await onChannel(url, channel => channel.assertQueue(queue, { durable: true, arguments: QUORUM }))
    await sendTo(url, [queue], '{"post_uuid":"a-post"}')
  }
  for (const queue of ['post.viewed', 'analytics.post_views', DEAD_QUEUE]) {
    // RabbitMQ 4 drops it after 20 otherwise.
    for (let times = 0; times < 25; times++)
      await onChannel(url, channel => until('it is there', async () => (await channel.get(queue)) !== false))
    await until('it is back', async () => (await messageCount(url, queue)) === 1)
  }
})
