/** A queue that cannot be emptied is no place that views are consumed from: the others are. */

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { CONSUMED_QUEUES, DEAD_QUEUE, VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { SQLITE } from './support/engines.ts'
import { untilStored } from './support/invariants.ts'
import { messageCount, onChannel, sendTo } from './support/published.ts'
import { createSystem } from './support/system.ts'
import { until } from './support/until.ts'

describe('a queue that cannot be emptied', { concurrency: true }, () => {
  const STREAM = { 'x-queue-type': 'stream' }
  for (const [queue, args] of [
    ['post.viewed', STREAM],
    ['analytics.post_views', { ...STREAM, 'x-max-length-bytes': 10_000_000, 'x-max-age': '7D' }],
    [VIEWS_QUEUE, STREAM],
  ] as const) {
    test(`is left alone where ${queue} is a stream: ${Object.keys(args)}`, async t => {
      const broker = await testRabbitmq()
      const system = await createSystem(t, { database: await SQLITE.create(t), broker, declares: false })
      await onChannel(broker.url, channel => channel.assertQueue(queue, { durable: true, arguments: args }))
      await sendTo(
        broker.url,
        Array.from({ length: 30 }, () => queue),
        '{"post_uuid":"in-a-stream"}',
      )
      const service = await system.start()
      await service.untilReady()
      const others = CONSUMED_QUEUES.filter(other => other !== queue)
      await sendTo(broker.url, others, '{"post_uuid":"a-post"}')
      await untilStored(system.database, others.length)
      const { status, text } = await service.get('/readyz')
      assert.deepEqual(JSON.parse(text), {
        status: 'ready',
        warnings: [`queue: ${queue} is a stream, which cannot be emptied, and is not consumed`],
      })
      assert.equal(status, 200)
      assert.deepEqual(
        service.logged('queue.left_alone').map(entry => [entry['queue'], entry['why']]),
        [[queue, 'stream']],
      )
      // What is in the stream does not wait for anybody.
      await until('nothing is behind', async () => (await service.metric('postviews_lag_seconds')) === 0)
      const rows = await system.database.query("SELECT * FROM post_views WHERE post_uuid = 'in-a-stream'")
      assert.equal(rows.length, 0)
    })
  }

  test('is left alone where it becomes a stream under a running service, which goes on', async t => {
    const broker = await testRabbitmq()
    const system = await createSystem(t, { database: await SQLITE.create(t), broker })
    const service = await system.start()
    await service.untilReady()
    await onChannel(broker.url, async channel => {
      await channel.deleteQueue('post.viewed')
      await channel.assertQueue('post.viewed', { durable: true, arguments: STREAM })
    })
    await until('it is left alone', () => service.logged('queue.left_alone').length > 0)
    await sendTo(broker.url, ['postviews.views', 'analytics.post_views'], '{"post_uuid":"a-post"}')
    await untilStored(system.database, 2)
    const sessions = service.logged('broker.connected').length
    // As often as it looks whether anything has changed.
    for (let times = 0; times < 5; times++) {
      const { text } = await service.get('/readyz')
      assert.match(text, /^\{"status":"ready","warnings":\["queue: post\.viewed is a stream/)
      await sleep(600)
    }
    assert.equal(service.logged('broker.connected').length, sessions)
  })

  test("is left alone where postviews.dead is somebody's: good views are counted", async t => {
    const broker = await testRabbitmq()
    const owner = await connect(broker.url)
    const channel = await owner.createChannel()
    await channel.assertQueue(DEAD_QUEUE, { exclusive: true })
    const system = await createSystem(t, { database: await SQLITE.create(t), broker, declares: false })
    const service = await system.start()
    await service.untilReady()
    await sendTo(broker.url, CONSUMED_QUEUES, '{"post_uuid":"a-post"}')
    await untilStored(system.database, CONSUMED_QUEUES.length)
    const { text } = await service.get('/readyz')
    assert.match(text, /"warnings":\["queue: postviews\.dead is somebody's exclusive queue/)
    await owner.close()
    const readiness = async () => (await service.get('/readyz')).text
    await until(
      'it is a queue like any other',
      async () => (await readiness()) === '{"status":"ready"}',
      40_000,
    )
    await sendTo(broker.url, ['post.viewed'], '{"post_uuid":"a post"}')
    // It is gone with its owner, and made anew for the first letter that comes back.
    const dead = () => messageCount(broker.url, DEAD_QUEUE).catch(() => 0)
    await until('it takes dead letters', async () => (await dead()) === 1)
  })
})
