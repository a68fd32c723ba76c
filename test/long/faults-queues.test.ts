/** Queues are declared otherwise, deleted, unbound, refuse messages, or are shared by consumers: fault 17. */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import {
  CONSUMED_QUEUES,
  DEAD_QUEUE,
  EXCHANGE,
  ROUTING_KEY,
  VIEWS_QUEUE,
} from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { type TestVhost, testRabbitmq } from '../../tools/stack/for-tests.ts'
import { ENGINES, SQLITE } from '../support/engines.ts'
import { untilStored } from '../support/invariants.ts'
import { goodEvent, plan, planOf } from '../support/planned.ts'
import { messageCount, onChannel, sendTo } from '../support/published.ts'
import { postviews, UNACKNOWLEDGED } from '../support/service.ts'
import { createSystem, type TestSystem } from '../support/system.ts'
import { until } from '../support/until.ts'

const VIEWS = 1_000
const unixNow = () => Math.floor(Date.now() / 1_000)

async function systemOn(
  t: TestContext,
  { declares = true } = {},
): Promise<TestSystem & { broker: TestVhost }> {
  const broker = await testRabbitmq()
  return { ...(await createSystem(t, { database: await SQLITE.create(t), broker, declares })), broker }
}

describe('the queues', { concurrency: true }, () => {
  test('are used as they are, however they were declared before us', async t => {
    const system = await systemOn(t, { declares: false })
    await onChannel(system.broker.url, async channel => {
      await channel.assertExchange(EXCHANGE, 'direct', { durable: true, autoDelete: false })
      await channel.assertQueue(VIEWS_QUEUE, { durable: true, arguments: { 'x-max-length': 1_000_000 } })
      await channel.assertQueue(DEAD_QUEUE, { durable: true })
      await channel.assertQueue('post.viewed', { durable: true, arguments: { 'x-max-priority': 5 } })
      await channel.assertQueue('analytics.post_views', {
        durable: true,
        arguments: { 'x-queue-type': 'quorum', 'x-max-in-memory-length': 10 },
      })
    })
    const service = await system.start()
    await service.untilReady()
    await system.publish(plan({ views: VIEWS }))
    await system.check()
  })

  for (const queue of CONSUMED_QUEUES) {
    test(`are declared anew and consumed when ${queue} is deleted`, async t => {
      const system = await systemOn(t)
      const service = await system.start()
      await system.publish(plan({ views: VIEWS, seed: 1 }))
      await untilStored(system.database, VIEWS)
      await until('it is empty', async () => (await messageCount(system.broker.url, queue)) === 0)
      await onChannel(system.broker.url, channel => channel.deleteQueue(queue))
      // By being told, or by asking for it at that very moment.
      await until('it is missed', () => service.logged('broker.connected').length > 1)
      await service.untilReady()
      await system.publish(plan({ views: VIEWS, seed: 2 }))
      await system.check()
    })
  }

  test("are left alone while they are somebody's exclusively, and consumed within a minute or so afterwards", async t => {
    const system = await systemOn(t, { declares: false })
    const owner = await connect(system.broker.url)
    const channel = await owner.createChannel()
    await channel.assertQueue('post.viewed', { exclusive: true })
    const service = await system.start()
    await service.untilReady()
    await system.publish(planOf([[goodEvent({ postUuid: 'a-post', viewedAt: unixNow() })]]))
    await untilStored(system.database, 1)
    const { text } = await service.get('/readyz')
    assert.match(
      text,
      /"warnings":\["queue: post\.viewed is somebody's exclusive queue, and is not consumed"\]/,
    )
    await owner.close()
    const warnings = async () => (await service.get('/readyz')).text
    await until('it is consumed', async () => (await warnings()) === '{"status":"ready"}', 75_000)
    await sendTo(system.broker.url, ['post.viewed'], '{"post_uuid":"a-post"}')
    await untilStored(system.database, 2)
  })

  for (const [what, remove] of [
    ['the binding', channel => channel.unbindQueue(VIEWS_QUEUE, EXCHANGE, ROUTING_KEY)],
    ['the exchange', channel => channel.deleteExchange(EXCHANGE)],
  ] as [string, Parameters<typeof onChannel>[1]][]) {
    test(`are bound anew, within a minute or so, when somebody removes ${what}`, async t => {
      const system = await systemOn(t)
      const service = await system.start()
      await service.untilReady()
      await onChannel(system.broker.url, remove)
      assert.equal(await isBound(system.broker), false)
      await until('it is bound', () => isBound(system.broker), 75_000)
      await system.publish(plan({ views: VIEWS }))
      await system.check()
    })
  }

  test('keep what is bad until it is a dead letter: where postviews.dead is deleted', async t => {
    const system = await systemOn(t)
    const service = await system.start()
    await service.untilReady()
    await onChannel(system.broker.url, channel => channel.deleteQueue(DEAD_QUEUE))
    await system.publish(plan({ views: VIEWS, bad: 0.02 }))
    await system.check()
    assert.ok(service.logged('view.dead_letter_waits').length > 0)
  })

  test('keep what is bad until it is a dead letter: where postviews.dead takes no more', async t => {
    const { broker, tap, ...system } = await systemOn(t)
    const policy = `/policies/${new URL(broker.url).pathname.slice(1)}/full`
    await broker.api('PUT', policy, {
      pattern: `^${DEAD_QUEUE}$`,
      definition: { 'max-length': 1, overflow: 'reject-publish' },
      'apply-to': 'queues',
    })
    const service = await system.start()
    // It refuses what comes after it has noticed that it is full.
    const first = plan({ views: VIEWS, twice: 0, bad: 0.02, seed: 1 })
    await system.publish(first)
    await until('it is full', async () => (await messageCount(broker.url, DEAD_QUEUE)) > 1)
    const second = plan({ views: VIEWS, twice: 0, bad: 0.02, seed: 2 })
    await system.publish(second)
    await untilStored(system.database, 2 * VIEWS)
    await until('it waits', () => service.logged('view.dead_letter_waits').length > 0)
    const withBad = [first, second].flatMap(({ messages, bad }) =>
      messages.filter(({ ids }) => ids.some(id => bad.has(id))),
    )
    await until('its neighbours do not', () => tap.inHand > 0 && tap.inHand <= withBad.length)
    // As many as are refused: what is good in them is committed, and so nothing is behind.
    await until('it tells of them', async () => (await service.metric(UNACKNOWLEDGED)) === tap.inHand)
    await until('nothing is behind', async () => (await service.metric('postviews_lag_seconds')) === 0)
    await broker.api('DELETE', policy)
    await system.check()
    assert.equal(tap.refused, 0)
  })
})

async function isBound(broker: TestVhost): Promise<boolean> {
  const vhost = new URL(broker.url).pathname.slice(1)
  const bindings = (await broker.api('GET', `/queues/${vhost}/${VIEWS_QUEUE}/bindings`)) as {
    source: string
  }[]
  return bindings.some(({ source }) => source === EXCHANGE)
}

describe('two consumers, three queues, ten hot posts', () => {
  for (const engine of ENGINES) {
    test(`count every view once, on ${engine.name}`, async t => {
      const system = await createSystem(t, { database: await engine.create(t) })
      await postviews(system.surroundings, 'migrate')
      const consumers = [
        await system.start({ command: 'consume' }),
        await system.start({ command: 'consume' }),
      ]
      for (const consumer of consumers) await consumer.untilReady()
      // Repeated in other places and over other queues, so that both consumers get the same ids at the same time.
      const planned = plan({ views: 10 * VIEWS, posts: 10, twice: 0.5 })
      await system.publish(planned)
      await system.check()
      for (const consumer of consumers) assert.equal((await consumer.exited).code, 0)
    })
  }
})
