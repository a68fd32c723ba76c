/**
 * From RabbitMQ 3.10 to 4.3, as docs/operations.md has it: definitions and shovels into a new broker. It starts the two by the
 * names of their stacks, and installs those first.
 */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, describe, type TestContext, test } from 'node:test'
import { CONSUMED_QUEUES, DEAD_QUEUE, VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { type Rabbitmq, type RabbitmqOptions, startRabbitmq } from '../../tools/stack/rabbitmq.ts'
import { StartFailed } from '../../tools/stack/server.ts'
import { ensureParts } from '../../tools/stack/stack-install.ts'
import { stackNamed } from '../../tools/stack/stacks.ts'
import { tapAmqp } from '../support/amqp-tap.ts'
import { atEnd } from '../support/at-end.ts'
import { SQLITE } from '../support/engines.ts'
import { assertInvariants, untilStored } from '../support/invariants.ts'
import { Ledger, publish } from '../support/ledger.ts'
import { plan } from '../support/planned.ts'
import { messageCount } from '../support/published.ts'
import { type Definitions, definitionsOf, topologyIn } from '../support/rabbitmq-topology.ts'
import { startService } from '../support/service.ts'
import { declareQueues } from '../support/system.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

const OLD = stackNamed('debian-12')
const NEW = stackNamed('debian-unstable')
const VHOST = 'blog'
const VIEWS = 3_000
const ALL_QUEUES = [...CONSUMED_QUEUES, DEAD_QUEUE]

before(async () => {
  for (const stack of [OLD, NEW]) await ensureParts(['rabbitmq'], stack, console.log)
})

async function broker(t: TestContext, options: RabbitmqOptions): Promise<Rabbitmq> {
  const started = await startRabbitmq(options)
  atEnd(t, () => started.stop())
  return started
}

/** Moves what is in a queue of the one broker to the same queue of the other, until it is empty; run by the other. */
async function shovel(from: string, { api }: Rabbitmq, to: string, queue: string): Promise<void> {
  await api('PUT', `/parameters/shovel/${VHOST}/${queue}`, {
    value: {
      'src-protocol': 'amqp091',
      'src-uri': from,
      'src-queue': queue,
      'src-delete-after': 'queue-length',
      'dest-protocol': 'amqp091',
      'dest-uri': to,
      'dest-queue': queue,
      'ack-mode': 'on-confirm',
    },
  })
}

async function untilShoveled({ api }: Rabbitmq): Promise<void> {
  await until(
    'the shovels are done',
    async () => ((await api('GET', '/parameters/shovel')) as unknown[]).length === 0,
    60_000,
  )
}

describe('from RabbitMQ 3.10 to 4.3', () => {
  test('definitions and shovels keep the topology, every view and every dead letter', async t => {
    const old = await broker(t, { stack: OLD })
    const { url: from } = await old.vhost(VHOST)
    await old.api('PUT', `/policies/${VHOST}/direct`, {
      pattern: '^post\\.viewed$',
      definition: { 'dead-letter-exchange': '', 'dead-letter-routing-key': DEAD_QUEUE },
      'apply-to': 'queues',
    })
    await declareQueues(from)
    const database = await SQLITE.create(t)
    const ledger = await Ledger.open(t)
    const service = await startService(t, { amqpUrl: from, databaseUrl: database.url })
    await service.untilReady()
    const plans = [1, 2, 3].map(seed => plan({ views: VIEWS, bad: 0.02, seed }))
    await publish(from, ledger, plans[0]!.messages)
    await untilStored(database, VIEWS)
    await until('the bad ones are dead letters', async () => {
      const depths = await Promise.all(CONSUMED_QUEUES.map(queue => messageCount(from, queue)))
      return (
        depths.every(depth => depth === 0) &&
        (await service.metric('postviews_unacknowledged_messages')) === 0
      )
    })
    assert.equal((await service.end('SIGTERM')).code, 0)
    // A backlog, in all three queues.
    await publish(from, ledger, plans[1]!.messages)

    const next = await broker(t, { stack: NEW, plugins: ['rabbitmq_shovel'] })
    const definitions = await definitionsOf(old)
    await next.api('POST', '/definitions', definitions)
    assert.deepEqual(topologyIn(await definitionsOf(next), VHOST), topologyIn(definitions, VHOST))

    const to = `${next.url}/${VHOST}`
    const proxy = await startTcpProxy(next.port)
    atEnd(t, () => proxy.close())
    const tap = tapAmqp(proxy)
    const surroundings = { amqpUrl: to, databaseUrl: database.url }
    const services = [await startService(t, { ...surroundings, amqpUrl: proxy.through(to) })]
    await services[0]!.untilReady()
    for (const queue of ALL_QUEUES) await shovel(from, next, to, queue)
    await publish(to, ledger, plans[2]!.messages)
    await untilShoveled(next)
    for (const queue of ALL_QUEUES) assert.equal(await messageCount(from, queue), 0, queue)
    assert.deepEqual(topologyIn(await definitionsOf(next), VHOST), topologyIn(definitions, VHOST))
    await assertInvariants({ surroundings, database, ledger, plans, services, tap })
  })

  test('a policy that mirrors queues is taken out of the definitions first: with it their import stops half-way', async t => {
    const old = await broker(t, { stack: OLD })
    const { url } = await old.vhost(VHOST)
    await old.api('PUT', `/policies/${VHOST}/mirrored`, {
      pattern: '.*',
      definition: { 'ha-mode': 'all' },
      'apply-to': 'queues',
    })
    await declareQueues(url)
    const definitions = await definitionsOf(old)
    const next = await broker(t, { stack: NEW })
    await assert.rejects(next.api('POST', '/definitions', definitions), /ha-mode/)
    const ours = ({ queues }: Definitions) => queues.filter(({ vhost }) => vhost === VHOST)
    assert.deepEqual(ours(await definitionsOf(next)), [])

    const without = { ...definitions, policies: [] }
    await next.api('POST', '/definitions', without)
    assert.deepEqual(topologyIn(await definitionsOf(next), VHOST), topologyIn(without, VHOST))
  })

  test('a message that the new broker takes for too large stays in the old one, and its shovel goes no further', async t => {
    const old = await broker(t, { stack: OLD })
    const { url: from } = await old.vhost(VHOST)
    await declareQueues(from)
    const connection = await connect(from)
    const channel = await connection.createConfirmChannel()
    for (const bytes of [10, 16 * 1_048_576, 16 * 1_048_576 + 1, 20])
      channel.sendToQueue(DEAD_QUEUE, Buffer.alloc(bytes, 'x'), { persistent: true })
    await channel.waitForConfirms()
    await connection.close()

    const next = await broker(t, { stack: NEW, plugins: ['rabbitmq_shovel'] })
    await next.api('POST', '/definitions', await definitionsOf(old))
    const to = `${next.url}/${VHOST}`
    await shovel(from, next, to, DEAD_QUEUE)
    await until('what is not too large arrives', async () => (await messageCount(to, DEAD_QUEUE)) >= 2)
    await next.ctl('eval', 'persistent_term:put(max_message_size, 134217728).')
    await untilShoveled(next)
    assert.ok((await messageCount(to, DEAD_QUEUE)) >= 4)
  })

  test('its data folder is refused by the new broker, and is whole for the old one', async t => {
    const dir = await mkdtemp(join(tmpdir(), 'postviews-upgrade-'))
    atEnd(t, () => rm(dir, { recursive: true, maxRetries: 5 }))
    const old = await startRabbitmq({ stack: OLD, dir })
    const vhost = await old.vhost(VHOST)
    await declareQueues(vhost.url)
    const connection = await connect(vhost.url)
    const channel = await connection.createConfirmChannel()
    channel.sendToQueue(VIEWS_QUEUE, Buffer.from('{"post_id":1}'), { persistent: true })
    await channel.waitForConfirms()
    await connection.close()
    await old.stop()

    const refused = (error: Error) => error instanceof StartFailed && /feature flag/i.test(error.message)
    await assert.rejects(startRabbitmq({ stack: NEW, dir }), refused)
    const again = await broker(t, { stack: OLD, dir })
    assert.equal(await messageCount(`${again.url}/${VHOST}`), 1)
  })
})
