/** Messages that a client library cannot read, or cannot write again: faults 24 and 27. */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { CONSUMED_QUEUES, DEAD_QUEUE, VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { MAX_DEPTH } from '../../packages/analytics/src/ingest/properties.ts'
import { uuidv7 } from '../../packages/client/src/uuid.ts'
import { commandLine } from '../support/command.ts'
import { SQLITE } from '../support/engines.ts'
import { countRows, untilStored } from '../support/invariants.ts'
import { plan } from '../support/planned.ts'
import { messageCount, onChannel, sendTo } from '../support/published.ts'
import { postviews, UNACKNOWLEDGED } from '../support/service.ts'
import { createSystem } from '../support/system.ts'
import { until } from '../support/until.ts'
import {
  field,
  headers,
  longlong,
  longText,
  nested,
  propertyList,
  type RawProperties,
  table,
  type WirePublisher,
  wirePublisher,
} from '../support/wire-publisher.ts'

const STAMPED_AT_MS = 1_795_852_800_000n
const HEADERS_UNREAD = 'postviews_headers_unread_total'

/** A field of each type that RabbitMQ knows, and the `L` that py-amqp writes. */
const FIELDS: Buffer[] = [
  field('bool', 't', Buffer.from([1])),
  field('int8', 'b', Buffer.from([0x80])),
  field('uint8', 'B', Buffer.from([0xff])),
  field('int16', 's', Buffer.from([0x80, 0])),
  field('uint16', 'u', Buffer.from([0xff, 0xff])),
  field('int32', 'I', Buffer.from([0x80, 0, 0, 0])),
  field('uint32', 'i', Buffer.from([0xff, 0xff, 0xff, 0xff])),
  field('int64', 'l', longlong(-(2n ** 63n))),
  field('timestamp_in_ms', 'L', longlong(STAMPED_AT_MS)),
  field('float', 'f', Buffer.from([0x3f, 0xc0, 0, 0])),
  field('double', 'd', Buffer.from([0x3f, 0xf8, 0, 0, 0, 0, 0, 0])),
  field('decimal', 'D', Buffer.from([255, 0xff, 0xff, 0xff, 0xff])),
  field('text', 'S', longText('text')),
  field('no text', 'S', longText(Buffer.from([0xff, 0xfe]))),
  field('array', 'A', longText(Buffer.from('t\x01V'))),
  field('time', 'T', longlong(2n ** 64n - 1n)),
  field('table', 'F', table(field('in', 'V'))),
  field('void', 'V'),
  field('bytes', 'x', longText(Buffer.from([0, 0xff]))),
]

const DEEP = [field('arrays', 'A', nested('A', MAX_DEPTH)), field('tables', 'F', nested('F', MAX_DEPTH))]
const DEEPER = [
  field('arrays', 'A', nested('A', MAX_DEPTH + 1)),
  field('tables', 'F', nested('F', MAX_DEPTH + 1)),
]

const view = (more: Record<string, unknown> = {}) =>
  JSON.stringify({ event_id: uuidv7(), post_uuid: 'a-post', ...more })

async function systemAndWire(t: TestContext, settings: Record<string, string> = {}) {
  const system = await createSystem(t, { database: await SQLITE.create(t), settings })
  const { amqpUrl } = system.surroundings
  const line = await commandLine(t, { AMQP_URL: amqpUrl, DATABASE_URL: 'sqlite:views.db' })
  return { system, amqpUrl, wire: await wirePublisher(t, amqpUrl), run: line.run }
}

describe('a message', () => {
  test('is counted by its body whatever its headers are, and its neighbours never notice', async t => {
    const { system, wire, amqpUrl } = await systemAndWire(t)
    const service = await system.start()
    const lists = [
      ...FIELDS.map(entry => headers(entry)),
      headers(...FIELDS),
      headers(...DEEP),
      headers(...DEEPER),
      headers(field('bang', 'F', table(field('!', 'S', longText('timestamp'))))),
      headers(field('long', 'x', longText(Buffer.alloc(100_000)))),
      headers(...Array.from({ length: 2_000 }, (_, n) => field(`h${n}`, 'V'))),
      propertyList({
        messageId: Buffer.from([0xff]),
        appId: Buffer.alloc(255, 0xe9),
        timestamp: 2n ** 64n - 1n,
      }),
    ]
    let views = 0
    for (const queue of CONSUMED_QUEUES) {
      for (const list of lists) {
        await wire.publish(queue, list, view())
        await wire.publish(queue, propertyList({}), view())
        views += 2
      }
    }
    await untilStored(system.database, views)
    await service.untilReady()
    // Deeper than is read, and the field that amqplib would mistake, from each queue.
    assert.equal(await service.metric(HEADERS_UNREAD), 2 * CONSUMED_QUEUES.length)
    assert.deepEqual(service.logged('broker.lost'), [])
    assert.equal(await messageCount(amqpUrl, DEAD_QUEUE), 0)
    const [stamped] = await system.database.query(
      `SELECT COUNT(*) AS views FROM post_views WHERE viewed_at = ${STAMPED_AT_MS / 1_000n}`,
    )
    // Alone, and among all the others, on each queue.
    assert.equal(Number(stamped!['views']), 2 * CONSUMED_QUEUES.length)
    assert.equal((await service.end('SIGTERM')).code, 0)
    assert.equal((await postviews(system.surroundings, 'verify')).code, 0)
  })

  test('that is bad becomes a dead letter whatever its properties are, which can be listed, replayed and purged', async t => {
    const { system, wire, run, amqpUrl } = await systemAndWire(t)
    const service = await system.start()
    const odd: [RawProperties, leftOut: string[]][] = [
      [{ timestamp: 2n ** 64n - 1n }, ['timestamp']],
      [{ timestamp: 2n ** 60n }, ['timestamp']],
      [{ timestamp: 2n ** 52n }, ['timestamp']],
      [{ timestamp: BigInt(Math.floor(Date.now() / 1_000) - 60) }, []],
      [{ messageId: Buffer.alloc(200, 0xff) }, ['message_id']],
      [{ appId: Buffer.alloc(255, 0xe9) }, ['app_id']],
      [{ expiration: '600000', replyTo: 'somebody' }, ['reply_to', 'expiration']],
      [{ headers: table(field('large', 'x', longText(Buffer.alloc(100_000)))) }, ['headers.large']],
      [{ headers: table(...DEEPER) }, ['headers.arrays', 'headers.tables']],
      [{ headers: table(...DEEP, ...FIELDS) }, []],
      [{ headers: table(field('bang', 'F', table(field('!', 'S', longText('x'))))) }, ['headers.bang']],
      [
        {
          headers: table(
            field('CC', 'A', longText(Buffer.concat([Buffer.from('S'), longText('postviews.views')]))),
          ),
        },
        ['headers.CC'],
      ],
      [
        { headers: table(field('reason', 'S', longText('\x1b[31mmine')), field('index', 'V')) },
        ['headers.reason', 'headers.index'],
      ],
    ]
    for (const [properties] of odd) {
      await wire.publish(
        'post.viewed',
        propertyList(properties),
        JSON.stringify({ post_uuid: 'a post', n: uuidv7() }),
      )
      await wire.publish('post.viewed', propertyList({}), view())
    }
    // The one with CC went to our own queue as well.
    const bad = odd.length + 1
    await until('all are dead', async () => (await messageCount(amqpUrl, DEAD_QUEUE)) === bad)
    await untilStored(system.database, odd.length)
    assert.deepEqual(service.logged('broker.lost'), [])
    assert.deepEqual(service.logged('view.properties_left_out'), [])
    await until('all is acknowledged', async () => (await service.metric(UNACKNOWLEDGED)) === 0)

    const listed = (await run('dead list --json')).stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    // RabbitMQ 4 hands headers on in another order than they came in.
    const inOrder = (names: readonly string[]) => String(names.toSorted())
    assert.deepEqual(
      listed.map(({ left_out = [] }) => inOrder(left_out)).sort(),
      [...odd.map(([, leftOut]) => inOrder(leftOut)), 'headers.CC'].sort(),
    )
    assert.ok(listed.every(({ reason }) => reason === 'bad_post'))
    assert.equal((await run('dead replay --reason bad_post')).stdout, `replayed ${bad}, left 0\n`)
    await until('all are back', async () => (await messageCount(amqpUrl, DEAD_QUEUE)) === bad)
    assert.equal((await run('dead purge --all')).stdout, `purged ${bad}\n`)
    assert.equal(service.isRunning, true)
  })
})

describe('dead letters that another hand put there', () => {
  /** Neither the time of a death nor a header of ours is what it should be. */
  async function oddOnes(wire: WirePublisher): Promise<number> {
    const died = (time: Buffer) =>
      headers(field('x-death', 'A', longText(Buffer.concat([Buffer.from('F'), table(time)]))))
    const lists = [
      died(field('time', 'T', longlong(2n ** 63n))),
      died(field('time', 'T', longlong(10n ** 15n))),
      died(field('time', 'S', longText('yesterday'))),
      headers(field('x-death', 'V')),
      headers(field('x-death', 'A', longText(Buffer.from('V')))),
      headers(
        field('reason', 'l', longlong(7n)),
        field('set-aside-id', 'x', longText(Buffer.from([0xff]))),
        field('set-aside-at', 'S', longText('never')),
        field('index', 'S', longText('x')),
        field('source-queue', 'F', table()),
      ),
      headers(
        field('reason', 'S', longText('\x1b[2Jforged\n1 bad_ip')),
        field('set-aside-at', 'S', longText('+275760-09-14')),
      ),
      headers(...DEEPER),
      propertyList({ timestamp: 2n ** 64n - 1n, messageId: Buffer.alloc(255, 0xff) }),
    ]
    for (const list of lists) await wire.publish(DEAD_QUEUE, list, Buffer.from([0xff, 0x1b]))
    return lists.length
  }

  test('are listed with null for what cannot be read, and print nothing that a terminal acts on', async t => {
    const { wire, run } = await systemAndWire(t)
    const count = await oddOnes(wire)
    const json = await run('dead list --json --body')
    const lines = json.stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    assert.deepEqual([json.code, lines.length], [0, count])
    for (const { set_aside_at, index, set_aside_id, body, body_base64 } of lines) {
      assert.deepEqual([set_aside_at, index, set_aside_id, body], [null, null, null, undefined])
      assert.equal(body_base64, Buffer.from([0xff, 0x1b]).toString('base64'))
    }
    for (const args of ['dead list', 'dead list --body', 'dead list --json --body']) {
      const { code, stdout, stderr } = await run(args)
      assert.deepEqual([code, stderr], [0, ''])
      // Control characters, but for the ends of lines.
      assert.doesNotMatch(stdout, /(?!\n)\p{Cc}/u)
    }
    const { stdout } = await run('dead list --limit 2')
    assert.match(stdout, new RegExp(`^${count} dead letters, 2 shown$`, 'm'))
    assert.match(stdout, new RegExp(`^ {2}${count - 1} unknown: `, 'm'))
    assert.match(stdout, /^ {2}1 \\u001b\[2Jforged\\u000a1 bad_ip: $/m)
  })

  test('disable no command: the others are replayed and purged', async t => {
    const { wire, run, amqpUrl } = await systemAndWire(t)
    const count = await oddOnes(wire)
    await wire.publish(DEAD_QUEUE, headers(field('reason', 'S', longText('bad_ip'))), view())
    assert.equal((await run('dead purge --older-than-days 1')).stdout, 'no dead letters match: purged 0\n')
    assert.equal((await run('dead replay --reason bad_ip')).stdout, `replayed 1, left ${count}\n`)
    assert.equal(await messageCount(amqpUrl), 1)
    assert.equal((await run('dead replay')).stdout, `replayed ${count}, left 0\n`)
    await oddOnes(wire)
    assert.equal((await run('dead purge --all')).stdout, `purged ${count}\n`)
    assert.equal(await messageCount(amqpUrl, DEAD_QUEUE), 0)
  })
})

for (const [what, count, properties] of [
  ['', 16, propertyList({})],
  [
    ' with large headers',
    3,
    headers(...Array.from({ length: 19_000 }, (_, n) => field(`h${n % 10_000}`, 'V'))),
  ],
] as const)
  test(`messages of a thousand bad events${what} do not keep the process from answering`, async t => {
    const { system, wire, amqpUrl } = await systemAndWire(t)
    // Hashing a message, or reading its headers, once for each of its events took a second, or twenty.
    const DEADLINE_MS = 40_000
    const padding = 'p'.repeat(950)
    for (let n = 0; n < count; n++) {
      const events = Array.from({ length: 1_000 }, (_, index) => ({
        post_uuid: 'a post',
        n: `${n} ${index}`,
        padding,
      }))
      for (const queue of CONSUMED_QUEUES) await wire.publish(queue, properties, JSON.stringify(events))
    }
    const service = await system.start()
    const dead = count * CONSUMED_QUEUES.length * 1_000
    let answers = 0
    let isDone = false
    const asking = (async () => {
      while (!isDone) if ((await service.get('/livez').catch(() => null))?.status === 200) answers++
    })()
    const areDead = async () => (await messageCount(amqpUrl, DEAD_QUEUE)) === dead
    await until('all are dead', areDead, DEADLINE_MS).finally(() => {
      isDone = true
    })
    await asking
    // Several in the time of each message, where it was one in the time of a dozen.
    assert.ok(answers > count * CONSUMED_QUEUES.length, `${answers} answers`)
  })

/** Made anew, it refuses what comes while one message is in it. */
function limitDeadQueue(amqpUrl: string): Promise<void> {
  return onChannel(amqpUrl, async channel => {
    await channel.deleteQueue(DEAD_QUEUE)
    await channel.assertQueue(DEAD_QUEUE, {
      durable: true,
      arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' },
    })
  })
}

describe('where postviews.dead takes no more', () => {
  test('good views are counted behind any number of bad ones, and what is discarded is counted', async t => {
    const { system, amqpUrl, wire } = await systemAndWire(t, { BATCH_EVENTS: '400' })
    await limitDeadQueue(amqpUrl)
    await wire.publish(DEAD_QUEUE, propertyList({}), 'full')
    const service = await system.start()
    const BAD = 3_000
    const connection = await connect(amqpUrl)
    const channel = await connection.createConfirmChannel()
    for (let n = 0; n < BAD; n++)
      channel.sendToQueue(VIEWS_QUEUE, Buffer.from(JSON.stringify({ post_uuid: 'a post', n })))
    await channel.waitForConfirms()
    await connection.close()
    const planned = plan({ views: 500, bad: 0, twice: 0 })
    await system.publish(planned)
    await untilStored(system.database, 500)
    await until(
      'the rest is held',
      async () => (await messageCount(amqpUrl)) === 0 && service.logged('view.discarded').length > 0,
      60_000,
    )
    const held = await service.metric(UNACKNOWLEDGED)
    const discarded = await service.metric('postviews_events_total{outcome="discarded",reason="bad_post"}')
    assert.ok(held > 0 && held <= 200, `${held} are held`)
    assert.equal(held + discarded, BAD)
    const ready = await service.get('/readyz')
    assert.equal(ready.status, 200)
    assert.match(JSON.parse(ready.text).warnings[0], /^dead letters: postviews\.dead refuses them/)

    await onChannel(amqpUrl, async channel => {
      await channel.deleteQueue(DEAD_QUEUE)
    })
    await until('what is held has arrived', async () => {
      const dead = await messageCount(amqpUrl, DEAD_QUEUE).catch(() => 0)
      return dead === held
    })
    await until(
      'nothing is to be said any more',
      async () => (await service.get('/readyz')).text === '{"status":"ready"}',
    )
    assert.equal(
      await service.metric('postviews_events_total{outcome="dead_lettered",reason="bad_post"}'),
      held,
    )
  })

  test('what is held keeps no more memory than it takes itself', async t => {
    const { system, amqpUrl, wire } = await systemAndWire(t)
    await limitDeadQueue(amqpUrl)
    await wire.publish(DEAD_QUEUE, propertyList({}), 'full')
    const service = await system.start()
    await service.untilReady()
    const send = async (count: number, isBad: (n: number) => boolean) => {
      const connection = await connect(amqpUrl)
      const channel = await connection.createConfirmChannel()
      for (let n = 0; n < count; n++) {
        const event = { post_uuid: isBad(n) ? 'a post' : 'a-post', n, padding: 'p'.repeat(1_500) }
        channel.sendToQueue(VIEWS_QUEUE, Buffer.from(JSON.stringify(event)))
      }
      await channel.waitForConfirms()
      await connection.close()
      await until('all are taken off', async () => (await messageCount(amqpUrl)) === 0)
    }
    const externalBytes = () => service.metric('nodejs_external_memory_bytes')
    // So that it is handed many at a time.
    await send(5_000, () => false)
    const before = await externalBytes()
    await send(12_000, n => n % 30 === 0)
    // What was read off the socket together is tens of kilobytes: 20 MB for these.
    await until(
      'what is no longer needed is given back',
      async () => {
        await send(200, () => false)
        return (await externalBytes()) < before + 8_000_000
      },
      30_000,
    )
    assert.ok((await service.metric(UNACKNOWLEDGED)) >= 300)
  })

  test('but one now and then, it is the same', async t => {
    const { system, amqpUrl } = await systemAndWire(t, { BATCH_EVENTS: '400' })
    await limitDeadQueue(amqpUrl)
    const service = await system.start()
    await sendTo(
      amqpUrl,
      Array.from({ length: 1_500 }, () => VIEWS_QUEUE),
      '{"post_uuid":"a post"}',
    )
    await system.publish(plan({ views: 100, bad: 0, twice: 0 }))
    let isDone = false
    const trickle = (async () => {
      while (!isDone) {
        await onChannel(amqpUrl, channel => channel.get(DEAD_QUEUE, { noAck: true }))
        await sleep(1_000)
      }
    })()
    await untilStored(system.database, 100).finally(() => {
      isDone = true
    })
    await trickle
    assert.ok((await service.metric('postviews_events_total{outcome="discarded",reason="bad_post"}')) > 0)
  })

  test('and the service ends: what it acknowledged stays acknowledged', async t => {
    const { system, amqpUrl, wire } = await systemAndWire(t, { BATCH_WAIT_MS: '2000' })
    await limitDeadQueue(amqpUrl)
    await wire.publish(DEAD_QUEUE, propertyList({}), 'full')
    const VIEWS = 2_400
    const views = (count: number) => Array.from({ length: count }, () => VIEWS_QUEUE)
    // Not each time is one lost where they may be.
    for (const round of [1, 2]) {
      const service = await system.start()
      // So that it is handed many at a time.
      await sendTo(amqpUrl, views(VIEWS), '{"post_uuid":"a-post"}')
      await untilStored(system.database, (2 * round - 1) * VIEWS)
      if (round === 1) await wire.publish(VIEWS_QUEUE, propertyList({}), '{"post_uuid":"a post"}')
      await until('it is held', async () => service.logged('view.dead_letter_waits').length > 0)
      // Without ids, so that nothing but the acknowledgement keeps them from being counted again.
      await sendTo(amqpUrl, views(VIEWS), '{"post_uuid":"a-post"}')
      await until('all are in hand', async () => (await messageCount(amqpUrl)) === 0)
      assert.equal((await service.end('SIGTERM')).code, 0)
      // Some may have been on their way to a consumer that was just being renewed: they are in the queue again, beside the bad one.
      await until('each is either counted or in the queue', async () => {
        const counted = await countRows(system.database)
        return counted - 1 + (await messageCount(amqpUrl)) === 2 * round * VIEWS
      })
    }
  })
})
