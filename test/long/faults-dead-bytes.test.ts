/** More dead letters than `DEAD_MAX_BYTES` allows: fault 27, and how much of the broker's disk a stranger can fill. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEAD_QUEUE, VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { windowsOf } from '../../packages/analytics/src/ingest/dead-queue.ts'
import { propertiesOf, readAnyProperties } from '../../packages/analytics/src/ingest/properties.ts'
import { commandLine } from '../support/command.ts'
import { SQLITE } from '../support/engines.ts'
import { untilStored } from '../support/invariants.ts'
import { plan } from '../support/planned.ts'
import { messageCount } from '../support/published.ts'
import { type LogEntry, type Service, UNACKNOWLEDGED } from '../support/service.ts'
import { createSystem, type TestSystem } from '../support/system.ts'
import { until } from '../support/until.ts'

const MAX_BYTES = 4_000_000
const MANY = process.env['FULL'] === '1' ? 140_000 : 3_000

const outcome = (name: string) => `postviews_events_total{outcome="${name}",reason="bad_post"}`
const LARGE_BYTES = 200_000

/** So many bad events, one in fifty of them large, and with headers as well. */
async function publishBad(amqpUrl: string, count: number, { largeBytes = LARGE_BYTES } = {}): Promise<void> {
  const connection = await connect(amqpUrl)
  const channel = await connection.createConfirmChannel()
  for (let n = 0; n < count; n++) {
    const padding = 'p'.repeat(n % 50 === 7 ? largeBytes : 300)
    const headers = { trace: 'h'.repeat(200) }
    channel.sendToQueue(VIEWS_QUEUE, Buffer.from(JSON.stringify({ post_uuid: 'a post', n, padding })), {
      headers,
    })
  }
  await channel.waitForConfirms()
  await connection.close()
}

/** What is in the queue, bodies and headers, message by message. All of it goes back. */
async function bytesThere(amqpUrl: string): Promise<number> {
  const connection = await connect(amqpUrl)
  try {
    readAnyProperties(connection)
    const channel = await connection.createChannel()
    let bytes = 0
    for await (const { messages } of windowsOf(channel))
      for (const message of messages) bytes += message.content.length + propertiesOf(message).raw.length
    return bytes
  } finally {
    await connection.close()
  }
}

function within(bytes: number, { least = 0.9, most = 1.1 } = {}): void {
  assert.ok(bytes >= least * MAX_BYTES && bytes <= most * MAX_BYTES, `${bytes} of ${MAX_BYTES}`)
}

/** Until all of them are dead letters, or discarded. */
async function untilDone(
  services: readonly Service[],
  bad: number,
  deadlineMs = 60_000,
): Promise<{ dead: number; discarded: number }> {
  const sum = async (name: string) =>
    (await Promise.all(services.map(service => service.metric(outcome(name))))).reduce((a, b) => a + b)
  let now = { dead: 0, discarded: 0 }
  await until(
    'each is a dead letter or discarded',
    async () => {
      now = { dead: await sum('dead_lettered'), discarded: await sum('discarded') }
      return now.dead + now.discarded === bad
    },
    deadlineMs,
  )
  return now
}

/** In small batches: what several consumers have in hand at once is little beside what they may keep. */
async function systemWith(t: Parameters<typeof createSystem>[0]): Promise<TestSystem> {
  const settings = { DEAD_MAX_BYTES: String(MAX_BYTES), BATCH_EVENTS: '100' }
  return createSystem(t, { database: await SQLITE.create(t), settings })
}

test('what is beyond DEAD_MAX_BYTES is discarded and told of, and good views never wait for it', async t => {
  const system = await systemWith(t)
  const { amqpUrl } = system.surroundings
  const service = await system.start()
  await service.untilReady()
  await publishBad(amqpUrl, 3_000)
  await system.publish(plan({ views: 500, bad: 0, twice: 0 }))
  await untilStored(system.database, 500)
  const { dead, discarded } = await untilDone([service], 3_000)
  assert.equal(await messageCount(amqpUrl, DEAD_QUEUE), dead)
  // It drops while somebody looks at them, so it is read first.
  const estimate = await service.metric('postviews_dead_bytes')
  const there = await bytesThere(amqpUrl)
  within(there, { most: 1.01 })
  assert.ok(discarded > 0)
  assert.ok(Math.abs(estimate - there) < there / 100, `${estimate} for ${there}`)
  assert.equal(await service.metric('postviews_dead_max_bytes'), MAX_BYTES)

  const ready = await service.get('/readyz')
  assert.equal(ready.status, 200)
  assert.match(
    JSON.parse(ready.text).warnings[0],
    /^dead letters: postviews\.dead has reached DEAD_MAX_BYTES/,
  )
  assert.equal((await service.end('SIGTERM')).code, 0)
  const told = service.logged('view.discarded')
  const countOf = ({ reasons }: LogEntry) => (reasons as { bad_post: number }).bad_post
  assert.equal(
    told.reduce((sum, entry) => sum + countOf(entry), 0),
    discarded,
  )
  assert.ok(told.every(({ why }) => why === 'full'))
  // Once a minute, and at the end.
  assert.ok(told.length <= 2)

  // It has forgotten how large they are, and looks at some.
  const next = await system.start()
  await next.untilReady()
  await publishBad(amqpUrl, 500, { largeBytes: 300 })
  await untilDone([next], 500)
  within(await bytesThere(amqpUrl))

  const { run } = await commandLine(t, { AMQP_URL: amqpUrl })
  assert.equal((await run('dead purge --all')).code, 0)
  const before = await next.metric(outcome('dead_lettered'))
  await until('there is room', async () => (await next.metric('postviews_dead_bytes')) === 0)
  await publishBad(amqpUrl, 500)
  const after = await untilDone([next], 1_000)
  assert.equal(after.dead - before, 500)
  await until('all is acknowledged', async () => (await next.metric(UNACKNOWLEDGED)) === 0)
})

test('several consumers keep it together', async t => {
  const system = await systemWith(t)
  const { amqpUrl } = system.surroundings
  const services = await Promise.all([0, 1, 2].map(() => system.start({ oneOfSeveral: true })))
  for (const service of services) await service.untilReady()
  for (let part = 0; part < 14; part++) await publishBad(amqpUrl, 500, { largeBytes: 5_000 })
  const { dead } = await untilDone(services, 7_000)
  assert.equal(await messageCount(amqpUrl, DEAD_QUEUE), dead)
  for (const service of services) within(await service.metric('postviews_dead_bytes'))
  within(await bytesThere(amqpUrl))
})

test('once a command has taken out the large ones alone, there is room again', async t => {
  const system = await systemWith(t)
  const { amqpUrl } = system.surroundings
  const service = await system.start()
  await service.untilReady()
  const connection = await connect(amqpUrl)
  const channel = await connection.createConfirmChannel()
  const large = Buffer.from(`["${'x'.repeat(400_000)}`)
  for (let n = 0; n < 15; n++) channel.sendToQueue(VIEWS_QUEUE, large)
  await channel.waitForConfirms()
  await connection.close()
  await publishBad(amqpUrl, 1_000, { largeBytes: 300 })
  await until(
    'there is no room',
    async () => (await service.metric('postviews_dead_bytes')) > 0.9 * MAX_BYTES,
  )
  await until('all are taken off', async () => (await messageCount(amqpUrl)) === 0)
  const { run } = await commandLine(t, { AMQP_URL: amqpUrl })
  assert.equal((await run('dead purge --reason not_json')).code, 0)
  await until('there is room', async () => (await service.metric('postviews_dead_bytes')) < MAX_BYTES / 2)
  const estimate = await service.metric('postviews_dead_bytes')
  const there = await bytesThere(amqpUrl)
  assert.ok(Math.abs(estimate - there) < there / 10, `${estimate} for ${there}`)
})

test('beside any number of them good views are counted, every command works, and the metrics are true', async t => {
  const system = await createSystem(t, { database: await SQLITE.create(t) })
  const { amqpUrl } = system.surroundings
  await publishBad(amqpUrl, MANY, { largeBytes: 300 })
  const service = await system.start()
  await service.untilReady()
  await untilDone([service], MANY, 20_000 + MANY)
  await system.publish(plan({ views: 500, bad: 0, twice: 0 }))
  await untilStored(system.database, 500)
  // The broker is asked once in a second, however often the metrics are.
  const metricIs = async (count: number) => (await service.metric('postviews_dead_messages')) === count
  await until('the metric tells the true number', () => metricIs(MANY))
  const estimate = await service.metric('postviews_dead_bytes')
  const there = await bytesThere(amqpUrl)
  assert.ok(Math.abs(estimate - there) < there / 100, `${estimate} for ${there}`)
  const { run } = await commandLine(t, { AMQP_URL: amqpUrl })
  assert.match((await run('dead list --limit 1')).stdout, new RegExp(`^${MANY} dead letters, 1 shown$`, 'm'))
  assert.equal(
    (await run('dead replay --reason not_json')).stdout,
    `no dead letters match: replayed 0, left ${MANY}\n`,
  )
  assert.equal((await run('dead purge --all')).stdout, `purged ${MANY}\n`)
  await until('none is left', async () => (await service.metric('postviews_dead_bytes')) === 0)
  await until('the metric says so too', () => metricIs(0))
})
