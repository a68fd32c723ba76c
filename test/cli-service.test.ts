/** The three commands that go on running: what each needs, what each answers, and how each refuses to start. */

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { VIEWS_QUEUE, type ViewEvent } from '@postviews/client/src/index.ts'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { holdFreePort } from '../tools/stack/ports.ts'
import { samples } from './support/api.ts'
import { commandLine } from './support/command.ts'
import { SQLITE } from './support/engines.ts'
import { countRows } from './support/invariants.ts'
import { onChannel } from './support/published.ts'
import { COUNTED, type Service, startService, UNACKNOWLEDGED } from './support/service.ts'
import { startTcpProxy } from './support/tcp-proxy.ts'
import { until } from './support/until.ts'

const NO_BROKER = 'amqp://127.0.0.1:1'
const KEY = 'geheim-key-of-the-api'

/** A broker behind a proxy, an empty database, and the program. */
async function system(t: TestContext) {
  const { url, name, api } = await testRabbitmq()
  const proxy = await startTcpProxy(Number(new URL(url).port))
  t.after(() => proxy.close())
  const amqpUrl = proxy.through(url)
  const database = await SQLITE.create(t)
  const settings = { AMQP_URL: amqpUrl, DATABASE_URL: database.url, INTERNAL_API_KEY: KEY, PORT: '0' }
  return {
    vhost: name,
    broker: api,
    proxy,
    database,
    surroundings: { amqpUrl, databaseUrl: database.url },
    ...(await commandLine(t, settings)),
    publish: (event: ViewEvent | ViewEvent[]) =>
      onChannel(url, async channel => {
        channel.sendToQueue(VIEWS_QUEUE, Buffer.from(JSON.stringify(event)))
        // Answered when all that went before has arrived.
        await channel.close()
      }),
  }
}

test('consume and api are two processes on one database, each ready by what it needs itself', async t => {
  const { run, surroundings, proxy, publish } = await system(t)
  await run('migrate')
  const consume = await startService(t, { command: 'consume', ...surroundings })
  const api = await startService(t, { command: 'api', ...surroundings, amqpUrl: NO_BROKER })
  await consume.untilReady()
  await api.untilReady()

  await publish({ post_id: 42, user_id: 7 })
  await until('the view is counted', async () => {
    const { text } = await api.get('/api/v1/posts/42/views')
    return JSON.parse(text).logged_in === 1
  })
  assert.equal((await consume.get('/api/v1/posts/42/views')).status, 404)
  assert.equal(await consume.metric(COUNTED), 1)
  await until('it is acknowledged', async () => (await consume.metric(UNACKNOWLEDGED)) === 0)
  assert.ok(!(await api.get('/metrics')).text.includes(`\n${UNACKNOWLEDGED} `))
  // It may not see the broker: then it says that it does not know how much is queued, and answers all the rest.
  assert.equal(JSON.parse((await api.get('/api/v1/status')).text).queued, null)

  proxy.refuse()
  proxy.cut()
  await until('consume misses the broker', async () => (await consume.readiness()) !== 'ready')
  assert.equal(await consume.readiness(), '{"status":"unavailable","problems":["broker: not connected"]}')
  const readyParts = async ({ get }: Service) => samples((await get('/metrics')).text, 'postviews_ready')
  assert.deepEqual(await readyParts(consume), {
    '{part="store"}': '1',
    '{part="broker"}': '0',
    '{part="consumer"}': '1',
  })
  assert.equal(await api.readiness(), 'ready')
  assert.deepEqual(await readyParts(api), { '{part="store"}': '1' })
  proxy.pass()
  await consume.untilReady()
  for (const service of [consume, api]) assert.equal((await service.end('SIGTERM')).code, 0)
})

test('consume and api leave migrating to others: they end and say so; serve does it itself', async t => {
  const { run, surroundings } = await system(t)
  for (const args of ['consume', 'api']) {
    const { code, stdout } = await run(args)
    assert.equal(code, 1)
    assert.match(stdout, /"error":"there is no database at \S+: run `postviews migrate`"/)
  }
  const serve = await startService(t, surroundings)
  await serve.untilReady()
  assert.equal((await run('verify')).code, 0)
  assert.equal((await serve.end('SIGTERM')).code, 0)
})

test('counts and keeps no view of its own people, and every other one in the same message', async t => {
  const { database, surroundings, publish } = await system(t)
  const settings = { EXCLUDE_USERS: '7', EXCLUDE_NETWORKS: '203.0.113.0/24' }
  const service = await startService(t, { ...surroundings, settings })
  await service.untilReady()
  const reader = { post_id: 42, ip: '192.0.2.1', timestamp: new Date().toISOString() }
  await publish([
    { ...reader, user_id: 7 },
    { ...reader, ip: '203.0.113.9' },
    { ...reader, user_id: 8 },
    { ip: 'no address' },
  ])
  await publish({ ...reader, user_id: 7 })
  const events = async (outcome: string) =>
    service.metric(`postviews_events_total{outcome="${outcome}",reason=""}`)
  await until(
    'all are decided',
    async () => (await events('excluded')) === 3 && (await events('counted')) === 1,
  )
  const rows = await database.query('SELECT user_id FROM post_views')
  assert.deepEqual(
    rows.map(row => Number(row['user_id'])),
    [8],
  )
  await until('its neighbour is a dead letter', async () => {
    return (await service.metric('postviews_events_total{outcome="dead_lettered",reason="no_post"}')) === 1
  })
  await until(
    'all are acknowledged',
    async () => (await service.metric('postviews_unacknowledged_messages')) === 0,
  )
})

test('keeps addresses, or none where IP_STORAGE says so, and knows their readers all the same', async t => {
  const { database, surroundings, publish } = await system(t)
  const reader = { post_id: 42, ip: '203.0.113.7', timestamp: new Date().toISOString() }
  for (const [stored, IP_STORAGE] of (['full', 'none'] as const).entries()) {
    const service = await startService(t, { ...surroundings, settings: { IP_STORAGE } })
    await service.untilReady()
    await publish(reader)
    await until('the view is counted', async () => (await countRows(database)) === stored + 1)
    assert.equal((await service.end('SIGTERM')).code, 0)
  }
  const rows = await database.query('SELECT ip FROM post_views ORDER BY id')
  assert.deepEqual(
    rows.map(({ ip }) => ip),
    [reader.ip, null],
  )
  const [figures] = await database.query('SELECT unique_views FROM site_view_aggregates')
  assert.equal(figures?.['unique_views'], 1)
})

test('ends with 1 where GEOIP_DB names no country database, says what to do, and touches no database', async t => {
  const { run, folder, database } = await system(t)
  const notOne = join(folder, 'not-one.mmdb')
  await writeFile(notOne, 'a text')
  for (const [GEOIP_DB, problem] of [
    [join(folder, 'missing.mmdb'), 'cannot be read: ENOENT'],
    [folder, 'cannot be read: EISDIR'],
    [notOne, "is damaged, cut short, or no database in MaxMind's format"],
  ] as const) {
    for (const args of ['serve', 'consume']) {
      const { code, stdout, stderr } = await run(args, { GEOIP_DB })
      assert.deepEqual([code, stderr], [1, ''])
      const lines = stdout
        .trim()
        .split('\n')
        .map(line => JSON.parse(line))
      const { error } = lines.find(({ event }) => event === 'service.failed')
      assert.ok(error.startsWith(`GEOIP_DB: ${GEOIP_DB} ${problem}`), error)
      assert.match(error, /; name a country or city database .*, or set none to keep no countries/)
    }
    for (const args of ['migrate', 'rebuild']) {
      const { code, stdout, stderr } = await run(args, { GEOIP_DB })
      assert.deepEqual([code, stdout], [1, ''])
      assert.ok(stderr.startsWith(`postviews: GEOIP_DB: ${GEOIP_DB} ${problem}`), stderr)
    }
  }
  assert.equal(existsSync(database.url.replace('sqlite:', '')), false)
})

test('waits for a broker that is not there yet, alive but not ready', async t => {
  const { surroundings, proxy } = await system(t)
  proxy.refuse()
  const serve = await startService(t, surroundings)
  const notReady = '{"status":"unavailable","problems":["broker: not connected"]}'
  await until('it says what it waits for', async () => (await serve.readiness()) === notReady)
  assert.equal((await serve.get('/livez')).status, 200)
  assert.equal((await serve.get('/api/v1/posts/42/views')).status, 200)
  proxy.pass()
  await serve.untilReady()
})

test('ends with 1 and names the setting when its port is in use', async t => {
  const { run } = await system(t)
  const stranger = createServer()
  await new Promise<void>(resolve => stranger.listen(0, '127.0.0.1', resolve))
  t.after(() => stranger.close())
  const { port } = stranger.address() as AddressInfo
  for (const args of ['serve', 'api']) {
    const { code, stdout, stderr } = await run(args, { PORT: String(port) })
    assert.deepEqual([code, stderr], [1, ''])
    assert.match(
      stdout,
      new RegExp(`"error":"cannot listen on HOST 127\\.0\\.0\\.1, PORT ${port}: .*EADDRINUSE`),
    )
  }
})

test('warns of a key that is too short to be one', async t => {
  const { run } = await system(t)
  const { stdout } = await run('api', { INTERNAL_API_KEY: `short,${KEY}` })
  assert.match(stdout, /"keys":1,"event":"key\.short"/)
  assert.doesNotMatch(stdout, /short,|geheim/)
})

test('says nothing of passwords, keys and readers, whatever happens to it', async t => {
  const { start, proxy, publish, broker, vhost, surroundings } = await system(t)
  const user = `user-${vhost}`
  await broker('PUT', `/users/${user}`, { password: 'geheim-password', tags: '' })
  t.after(() => broker('DELETE', `/users/${user}`))
  const allowed = { configure: '.*', write: '.*', read: '.*' }
  await broker('PUT', `/permissions/${vhost}/${user}`, allowed)

  const amqpUrl = new URL(surroundings.amqpUrl)
  amqpUrl.username = user
  amqpUrl.password = 'geheim-password'
  const port = await holdFreePort()
  t.after(() => port.release())
  const serve = start('serve', { AMQP_URL: amqpUrl.href, PORT: String(port.port), LOG_LEVEL: 'trace' })
  const get = async (path: string) =>
    (await fetch(`http://127.0.0.1:${port.port}${path}`, { headers: { 'x-internal-api-key': KEY } })).text()
  const logs = (event: string) =>
    until(`it logs ${event}`, () => serve.output().includes(`"event":"${event}"`))

  await logs('broker.connected')
  const reader = {
    user_id: 987_654,
    ip: '203.0.113.77',
    user_agent: 'geheim-agent',
    referer: 'https://geheim.example/',
  }
  await publish({ post_id: 'geheim-post', ...reader })
  await publish({ ...reader, post_id: 'bad geheim post' })
  await logs('batch.stored')
  await logs('view.dead_lettered')
  const shown = [
    await get('/readyz'),
    await get('/metrics'),
    await get('/api/v1/status'),
    await get('/nowhere'),
  ]

  // Lost, and then not let in again.
  await broker('PUT', `/users/${user}`, { password: 'another', tags: '' })
  proxy.reset()
  await logs('broker.lost')
  await until('it is refused', () => serve.output().includes('ACCESS_REFUSED'))
  shown.push(await get('/readyz'))
  assert.equal(await serve.end('SIGTERM'), 0)

  for (const text of [serve.output(), ...shown]) {
    assert.doesNotMatch(text, /geheim|203\.0\.113|987.?654/)
  }
})
