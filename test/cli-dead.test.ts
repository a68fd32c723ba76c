/** Dead letters, as the person on call looks at them and decides. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { DEAD_QUEUE, declareTopology, VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { connect, type GetMessage, type Options } from 'amqplib'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { commandLine } from './support/command.ts'
import { SQLITE } from './support/engines.ts'
import { messageCount, takeMessages } from './support/published.ts'
import { startService } from './support/service.ts'
import { until } from './support/until.ts'

const DAY_SECONDS = 86_400

/** A broker of its own with the topology on it, and the program beside it. */
async function system(t: TestContext) {
  const { url, api, name } = await testRabbitmq()
  const connection = await connect(url)
  t.after(() => connection.close())
  await declareTopology(connection, [VIEWS_QUEUE, DEAD_QUEUE])
  const channel = await connection.createConfirmChannel()
  const line = await commandLine(t, { AMQP_URL: url, DATABASE_URL: 'sqlite:views.db' })
  return {
    ...line,
    url,
    api,
    vhost: name,
    channel,
    async publish(queue: string, body: unknown, properties: Options.Publish = {}) {
      const content = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
      channel.sendToQueue(queue, content, { persistent: true, ...properties })
      await channel.waitForConfirms()
    },
    /** Lets the service count what is there, and ends it once there are so many dead letters. */
    async serve(dead: number) {
      const database = await SQLITE.create(t)
      const service = await startService(t, { amqpUrl: url, databaseUrl: database.url })
      await until(
        'it is counted or a dead letter',
        async () => (await messageCount(url, DEAD_QUEUE)) === dead && (await messageCount(url)) === 0,
      )
      await service.end('SIGTERM')
      return database
    },
  }
}

function daysAgo(days: number): number {
  return Math.floor(Date.now() / 1_000) - days * DAY_SECONDS
}

function linesOf({ stdout }: { stdout: string }): string[] {
  return stdout.split('\n').filter(line => line !== '')
}

test('dead list shows dead letters and why they are, the same each time, and consumes nothing', async t => {
  const { run, publish, serve, url } = await system(t)
  assert.deepEqual(await run('dead list'), { code: 0, stdout: 'there are no dead letters\n', stderr: '' })

  await publish(VIEWS_QUEUE, [{ post_id: 1 }, { post_id: 2, ip: 'nowhere' }, { post_id: 3, user_id: 'me' }])
  await publish(VIEWS_QUEUE, Buffer.from('{"post_id": '))
  await publish(VIEWS_QUEUE, { post_id: 4, timestamp: daysAgo(40) })
  await serve(4)

  const first = await run('dead list')
  assert.deepEqual([first.code, first.stderr], [0, ''])
  const lines = linesOf(first).map(line => line.replace(/^[-\dT:.]+Z /, 'TIME '))
  assert.deepEqual(lines, [
    'TIME  bad_ip  from postviews.views, event 1 of its array',
    'TIME  bad_user  from postviews.views, event 2 of its array',
    'TIME  not_json  from postviews.views',
    'TIME  too_old  from postviews.views',
    '4 dead letters',
    '  1 bad_ip: ip is not an IPv4 or IPv6 address',
    '  1 bad_user: user_id is not a positive integer below 2^64',
    '  1 not_json: the message is not JSON',
    '  1 too_old: the view is older than EVENT_MAX_AGE',
  ])
  assert.deepEqual(await run('dead list'), first)

  const [json, ...others] = linesOf(await run('dead list --json')).map(line => JSON.parse(line))
  assert.equal(others.length, 3)
  assert.match(json.set_aside_id, /^[0-9a-f]{32}$/)
  assert.ok(Date.parse(json.set_aside_at) > Date.now() - 600_000)
  assert.deepEqual(
    { ...json, set_aside_id: '', set_aside_at: '' },
    {
      set_aside_id: '',
      set_aside_at: '',
      reason: 'bad_ip',
      source_queue: 'postviews.views',
      index: 1,
      message_id: null,
    },
  )
  assert.equal(linesOf(await run('dead list --limit 1'))[1], '4 dead letters, 1 shown')
  assert.equal(await messageCount(url, DEAD_QUEUE), 4)
})

test('dead list shows the events themselves only when asked to', async t => {
  const { run, publish, serve } = await system(t)
  await publish(VIEWS_QUEUE, { post_id: 2, ip: 'nowhere' })
  await serve(1)
  for (const args of ['dead list', 'dead list --json'])
    assert.doesNotMatch((await run(args)).stdout, /nowhere/)
  assert.match((await run('dead list --body')).stdout, /^ {2}\{"post_id":2,"ip":"nowhere"\}$/m)
  const [json] = linesOf(await run('dead list --body --json')).map(line => JSON.parse(line))
  assert.equal(json.body, '{"post_id":2,"ip":"nowhere"}')
})

test('dead replay leaves what is too old, until the limit is raised, and what has another reason', async t => {
  const { run, publish, serve, url } = await system(t)
  await publish(VIEWS_QUEUE, [
    { post_id: 1, ip: 'nowhere' },
    { post_id: 2, timestamp: daysAgo(40) },
  ])
  await serve(2)

  assert.deepEqual(await run('dead replay --reason bad_user nul'), {
    code: 0,
    stdout: 'no dead letters match: replayed 0, left 2\n',
    stderr: '',
  })
  assert.equal(
    (await run('dead replay --reason too_old')).stdout,
    'replayed 0, left 2; 1 of these is older than EVENT_MAX_AGE\n',
  )
  assert.deepEqual(JSON.parse((await run('dead replay --json')).stdout), {
    replayed: 1,
    left: 1,
    too_old: 1,
    failed: 0,
  })
  assert.deepEqual(await bodiesIn(url), ['{"post_id":1,"ip":"nowhere"}'])

  const raised = { EVENT_MAX_AGE: '60d' }
  assert.equal((await run('dead replay', raised)).stdout, 'replayed 1, left 0\n')
  assert.equal((await run('dead list')).stdout, 'there are no dead letters\n')
  assert.equal((await bodiesIn(url)).length, 1)
})

test('a dead letter keeps what its message said of itself', async t => {
  const { publish, serve, channel, run, url } = await system(t)
  const stampedAtMs = daysAgo(2) * 1_000
  const said = {
    messageId: 'm-1',
    timestamp: daysAgo(3),
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    correlationId: 'c-1',
    type: 'view',
    appId: 'a-frontend',
  }
  const own = { timestamp_in_ms: stampedAtMs, traceparent: '00-1', nested: { deep: [1, 'two', true] } }
  // RabbitMQ 4 would put it before, or behind, all that have none.
  await publish(VIEWS_QUEUE, { post_id: 'no post' }, { ...said, headers: own, priority: 9 })
  await serve(1)
  const kept = (message: GetMessage | false) => {
    assert.ok(message)
    const { messageId, timestamp, contentType, contentEncoding, correlationId, type, appId } =
      message.properties
    return { messageId, timestamp, contentType, contentEncoding, correlationId, type, appId }
  }
  const dead = await channel.get(DEAD_QUEUE)
  assert.deepEqual(kept(dead), said)
  assert.ok(dead)
  const { headers } = dead.properties
  assert.deepEqual({ ...own, ...headers }, headers)
  assert.equal(headers?.['source-queue'], VIEWS_QUEUE)
  assert.deepEqual(headers?.['left-out'], ['priority'])
  assert.equal(dead.properties.priority, undefined)
  channel.nack(dead)
  await until('it is back', async () => (await messageCount(url, DEAD_QUEUE)) === 1)
  assert.equal((await run('dead replay')).stdout, 'replayed 1, left 0\n')
  const [again] = await takeMessages(url)
  assert.deepEqual(kept(again!), said)
  // The broker counts deliveries of each message anew: RabbitMQ 3.10 from 0 on, 4 says nothing of the first.
  const { 'x-delivery-count': deliveries = 0, ...others } = again!.properties.headers!
  assert.deepEqual(others, own)
  assert.equal(deliveries, 0)
})

test('what is replayed counts as of when it first came, and what is still wrong comes back', async t => {
  const { run, publish, serve } = await system(t)
  const viewedAt = daysAgo(3)
  const stamp = { headers: { timestamp_in_ms: viewedAt * 1_000 } }
  await publish(DEAD_QUEUE, { post_id: 5 }, stamp)
  await publish(DEAD_QUEUE, { post_id: 'no post' }, stamp)
  assert.equal((await run('dead replay')).stdout, 'replayed 2, left 0\n')
  const database = await serve(1)
  const views = await database.query('SELECT post_uuid, viewed_at FROM post_views')
  assert.deepEqual(
    views.map(view => ({ ...view })),
    [{ post_uuid: '5', viewed_at: viewedAt }],
  )
  assert.match((await run('dead list')).stdout, /bad_post {2}from postviews\.views/)
})

test('dead purge removes what it is told to, and nothing else', async t => {
  const { run, publish, url } = await system(t)
  const put = (reason: string, days: number) => {
    const at = new Date(daysAgo(days) * 1_000).toISOString()
    return publish(DEAD_QUEUE, { post_id: days }, { headers: { reason, 'set-aside-at': at } })
  }
  await put('bad_ip', 1)
  await put('bad_ip', 10)
  await put('bad_user', 10)
  await put('nul', 5)
  assert.equal((await run('dead purge')).code, 2)
  assert.equal(await messageCount(url, DEAD_QUEUE), 4)

  assert.deepEqual(await run('dead purge --reason bad_ip --older-than-days 7'), {
    code: 0,
    stdout: 'purged 1\n',
    stderr: '',
  })
  assert.deepEqual(JSON.parse((await run('dead purge --json --older-than-days 7')).stdout), { purged: 1 })
  assert.match((await run('dead list')).stdout, /^\S+ {2}bad_ip .*\n\S+ {2}nul .*\n2 dead letters\n/)
  assert.equal((await run('dead purge --all')).stdout, 'purged 2\n')
  assert.equal(await messageCount(url, DEAD_QUEUE), 0)
})

for (const count of [40, 100, 450]) {
  test(`what a command says it took out is gone: ${count} messages`, async t => {
    const { run, url, channel } = await system(t)
    const fill = async (bodies: number) => {
      for (let n = 0; n < bodies; n++)
        channel.sendToQueue(DEAD_QUEUE, Buffer.from(`{"post_id":${n + 1}}`), {
          persistent: true,
          headers: { reason: n % 2 === 0 ? 'bad_ip' : 'bad_user' },
        })
      await channel.waitForConfirms()
    }
    await fill(count)
    assert.equal((await run('dead purge --reason bad_ip')).stdout, `purged ${count / 2}\n`)
    assert.equal(await messageCount(url, DEAD_QUEUE), count / 2)
    assert.equal((await run('dead replay')).stdout, `replayed ${count / 2}, left 0\n`)
    assert.equal(await messageCount(url, DEAD_QUEUE), 0)
    assert.equal((await takeMessages(url)).length, count / 2)
    await fill(count)
    assert.equal((await run('dead purge --all')).stdout, `purged ${count}\n`)
    assert.equal(await messageCount(url, DEAD_QUEUE), 0)
  })
}

test('what the broker gave up by itself is listed, purged by its age, and replayed but for what is too old', async t => {
  const { run, publish, url, channel } = await system(t)
  const toDead = { deadLetterExchange: '', deadLetterRoutingKey: DEAD_QUEUE, messageTtl: 0 }
  await channel.assertQueue('theirs', { durable: true, ...toDead })
  await publish('theirs', [{ post_id: 1, timestamp: daysAgo(40) }, { post_id: 2 }])
  await publish('theirs', { post_id: 3, timestamp: daysAgo(40) })
  await until('both are dead', async () => (await messageCount(url, DEAD_QUEUE)) === 2)

  const listed = linesOf(await run('dead list'))
  const today = new Date().toISOString().slice(0, 10)
  const yesterday = new Date(Date.now() - 3_600_000).toISOString().slice(0, 10)
  assert.match(listed[0]!, new RegExp(`^(${today}|${yesterday})T\\S+Z {2}expired {2}from theirs$`))
  assert.equal(listed[2], '2 dead letters')
  assert.match(listed[3]!, /^ {2}2 expired: the broker dead-lettered it because it waited too long/)

  assert.equal((await run('dead purge --older-than-days 1')).stdout, 'no dead letters match: purged 0\n')
  // Of the array, one view is too old and the other is not: it is not to be lost for that.
  assert.deepEqual(JSON.parse((await run('dead replay --json')).stdout), {
    replayed: 1,
    left: 1,
    too_old: 1,
    failed: 0,
  })
  assert.equal((await bodiesIn(url)).length, 1)
  // The broker's clock counts whole seconds.
  await sleep(1_100)
  assert.equal((await run('dead purge --older-than-days 0')).stdout, 'purged 1\n')
})

test('nothing is taken out when it cannot be put back into its queue', async t => {
  const { run, publish, url, channel } = await system(t)
  await publish(DEAD_QUEUE, { post_id: 1 })
  await channel.deleteQueue(VIEWS_QUEUE)
  await channel.assertQueue(VIEWS_QUEUE, {
    durable: true,
    maxLength: 0,
    arguments: { 'x-overflow': 'reject-publish' },
  })
  const { code, stdout, stderr } = await run('dead replay')
  assert.deepEqual([code, stdout], [1, 'replayed 0, left 1; 1 of these could not be sent\n'])
  assert.match(stderr, /^not replayed: at an unknown time {2}unknown .*: the broker did not take it: /)
  assert.equal(await messageCount(url, DEAD_QUEUE), 1)
})

test('says where it looked for the broker, without the password, when that is away', async t => {
  const { run } = await commandLine(t, { AMQP_URL: 'amqp://postviews:geheim@127.0.0.1:1/blog' })
  for (const args of ['dead list', 'dead replay', 'dead purge --all']) {
    const { code, stdout, stderr } = await run(args)
    assert.deepEqual([code, stdout], [1, ''])
    assert.equal(
      stderr,
      'postviews: no connection to the broker at amqp://127.0.0.1:1/blog: connect ECONNREFUSED 127.0.0.1:1\n',
    )
  }
})

/** Takes what waits to be counted out of its queue. */
async function bodiesIn(url: string): Promise<string[]> {
  return (await takeMessages(url)).map(({ content }) => content.toString())
}
