/** Messages as large as the broker takes: 16 MiB on RabbitMQ 4, 128 MiB before. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEAD_QUEUE } from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { SQLITE } from './support/engines.ts'
import { untilStored } from './support/invariants.ts'
import { messageCount, sendTo, takeMessages } from './support/published.ts'
import { postviews } from './support/service.ts'
import { createSystem } from './support/system.ts'
import { until } from './support/until.ts'

const LARGEST_BYTES = 16 * 1_048_576

test('one becomes a dead letter whole, with its headers, and comes back from a replay; its neighbours are counted', async t => {
  const broker = await testRabbitmq()
  const system = await createSystem(t, { database: await SQLITE.create(t), broker })
  const body = Buffer.alloc(LARGEST_BYTES, ' ')
  body.write('{"post_uuid":"a-post"}')
  const connection = await connect(broker.url)
  const channel = await connection.createConfirmChannel()
  const own = { traceparent: '00-1', long: 'h'.repeat(20_000) }
  channel.sendToQueue('post.viewed', body, { persistent: true, headers: own })
  await channel.waitForConfirms()
  await connection.close()
  await sendTo(broker.url, ['post.viewed'], '{"post_uuid":"a-post"}')

  const service = await system.start()
  await untilStored(system.database, 1)
  await until('it is a dead letter', async () => (await messageCount(broker.url, DEAD_QUEUE)) === 1)
  const replayed = await postviews(system.surroundings, 'dead', 'replay', '--reason', 'too_large')
  assert.match(replayed.output, /^replayed 1, left 0$/m)
  await until('it is one again', async () => (await messageCount(broker.url, DEAD_QUEUE)) === 1)
  await service.untilReady()
  assert.equal((await service.end('SIGTERM')).code, 0)
  const [dead] = await takeMessages(broker.url, DEAD_QUEUE)
  assert.ok(dead!.content.equals(body))
  assert.deepEqual({ ...dead!.properties.headers, ...own }, dead!.properties.headers)
})
