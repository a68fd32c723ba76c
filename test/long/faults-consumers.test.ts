/** The broker ends a consumer that has not acknowledged for too long, or a channel for what was sent on it: fault 23. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect } from 'amqplib'
import { startRabbitmq } from '../../tools/stack/rabbitmq.ts'
import { atEnd } from '../support/at-end.ts'
import { commandLine } from '../support/command.ts'
import { MYSQL, SQLITE } from '../support/engines.ts'
import { deadLetters, untilStored } from '../support/invariants.ts'
import { otherSession } from '../support/mysql.ts'
import { goodEvent, plan, planOf } from '../support/planned.ts'
import { UNACKNOWLEDGED } from '../support/service.ts'
import { createSystem } from '../support/system.ts'
import { until } from '../support/until.ts'

const VIEWS = 500

test('the service says within seconds that nothing moves, until it has counted again', async t => {
  const broker = await startRabbitmq({ config: ['consumer_timeout = 2000'] })
  atEnd(t, () => broker.stop())
  // It looks once a minute otherwise.
  await broker.ctl('eval', 'application:set_env(rabbit, channel_tick_interval, 1000).')
  const database = await MYSQL.create(t)
  const system = await createSystem(t, { database, broker: await broker.vhost() })
  const service = await system.start()
  await system.publish(plan({ views: VIEWS, seed: 1 }))
  await untilStored(database, VIEWS)
  await service.untilReady()

  const other = await otherSession(t, database.url)
  // Batches wait for it, and the store answers whoever asks whether it takes writes.
  await other.sql('LOCK TABLES post_views WRITE')
  await system.publish(
    planOf([[goodEvent({ postUuid: 'a-post', viewedAt: Math.floor(Date.now() / 1_000) })]]),
  )
  // RabbitMQ closes the channel; from 4.3 on it cancels the consumer.
  const ended = () =>
    service
      .logged('broker.lost')
      .some(({ error }) => /timeout|the broker ended the consumer of postviews\.views/i.test(String(error)))
  await until('the broker has ended it', ended, 90_000)
  const said: string[] = []
  await until('it consumes again', async () => {
    said.push(await service.readiness())
    return service.logged('broker.connected').length > 1
  })
  // For as long as the lock lasts: the store answers, and the broker is there.
  for (let times = 0; times < 20; times++) said.push(await service.readiness())
  assert.ok(!said.includes('ready'), said.join())
  assert.match(said.at(-1)!, /consumer: the broker took back its messages/)

  await other.sql('UNLOCK TABLES')
  await service.untilReady()
  await system.check()
})

test('a dead letter that the broker does not take even bare is discarded, and the others arrive whole', async t => {
  const broker = await startRabbitmq()
  atEnd(t, () => broker.stop())
  const database = await SQLITE.create(t)
  const vhost = await broker.vhost()
  const system = await createSystem(t, { database, broker: vhost })
  const connection = await connect(vhost.url)
  const channel = await connection.createConfirmChannel()
  const send = (body: string, messageId: string) =>
    channel.sendToQueue('post.viewed', Buffer.from(body), { messageId, persistent: true })
  for (let n = 0; n < 5; n++) send(`{"post_uuid":"a post","n":${n}}`, `bad-${n}`)
  send(JSON.stringify({ post_uuid: 'a post', padding: 'p'.repeat(900_000) }), 'large')
  for (let n = 0; n < 5; n++) send(`{"post_uuid":"a post","m":${n}}`, `bad-too-${n}`)
  await channel.waitForConfirms()
  await connection.close()
  await broker.ctl('eval', 'application:set_env(rabbit, max_message_size, 500000).')
  // The limit is read once by each node.
  await broker.ctl('eval', 'persistent_term:put(max_message_size, 500000).')
  const service = await system.start()
  // One that was on its way when the broker closed the channel is sent again, and may then be there twice.
  const dead = async () => new Set((await deadLetters(vhost.url)).map(({ setAsideId }) => setAsideId)).size
  await until('the others have arrived', async () => (await dead()) === 10)
  const discarded = 'postviews_events_total{outcome="discarded",reason="bad_post"}'
  await until('the large one is given up', async () => (await service.metric(discarded)) === 1)
  await service.untilReady()
  await until('all is acknowledged', async () => (await service.metric(UNACKNOWLEDGED)) === 0)
  const { stdout } = await (await commandLine(t, { AMQP_URL: vhost.url })).run('dead list --json')
  const lines = stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
  assert.ok(lines.every(({ left_out, message_id }) => left_out === undefined && /^bad-/.test(message_id)))
})
