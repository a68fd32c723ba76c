/** Several URLs of one broker: each loss tries the next, whatever the one before does. Clusters: test/cluster. */

import assert from 'node:assert/strict'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { holdFreePort } from '../tools/stack/ports.ts'
import { atEnd } from './support/at-end.ts'
import { SQLITE } from './support/engines.ts'
import { untilStored } from './support/invariants.ts'
import { plan } from './support/planned.ts'
import { postviews, startService } from './support/service.ts'
import { createSystem } from './support/system.ts'
import { startTcpProxy } from './support/tcp-proxy.ts'
import { until } from './support/until.ts'

/** The URL with the port of nobody. */
async function down(t: TestContext, url: string): Promise<string> {
  const { port, release } = await holdFreePort()
  atEnd(t, release)
  return withPort(url, port)
}

/** The URL with the port of somebody who takes connections and says nothing. */
async function silent(t: TestContext, url: string): Promise<string> {
  const sockets: Socket[] = []
  const server = createServer(socket => {
    socket.on('error', () => {})
    sockets.push(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  atEnd(t, () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return withPort(url, (server.address() as AddressInfo).port)
}

function withPort(url: string, port: number): string {
  const other = new URL(url)
  other.port = String(port)
  return other.href
}

test('a service, an API and a command find the one node that answers', async t => {
  const { url } = await testRabbitmq()
  const database = await SQLITE.create(t)
  const amqpUrl = [await down(t, url), await silent(t, url), url].join(',')
  const surroundings = { amqpUrl, databaseUrl: database.url }
  const service = await startService(t, surroundings)
  const [listed] = await Promise.all([postviews(surroundings, 'dead', 'list'), service.untilReady()])
  assert.match(listed.output, /there are no dead letters/)
  const api = await startService(t, { ...surroundings, command: 'api' })
  await api.untilReady()
  const isKnown = async () => (await api.metric('postviews_broker_up')) === 1
  await until('the API knows what is queued', isKnown)
})

test('a command names each node that it has tried, and no password', async t => {
  const nodes = [
    await down(t, 'amqp://u:hunter2@127.0.0.1:1/v'),
    await silent(t, 'amqp://u:hunter2@127.0.0.1:1/v'),
  ]
  const { code, output } = await postviews(
    { amqpUrl: nodes.join(','), databaseUrl: 'sqlite:none.db' },
    'dead',
    'list',
  )
  assert.equal(code, 1)
  for (const node of nodes) assert.ok(output.includes(new URL(node).host), output)
  assert.doesNotMatch(output, /hunter2/)
})

test('each loss tries the next node, and every view is counted once', async t => {
  const system = await createSystem(t, { database: await SQLITE.create(t) })
  const { amqpUrl: url } = system.surroundings
  const second = await startTcpProxy(Number(new URL(url).port))
  atEnd(t, () => second.close())
  const { proxy: first, database } = system
  const service = await system.start({ amqpUrl: [first.through(url), second.through(url)].join(',') })
  await service.untilReady()
  assert.deepEqual([first.open, second.open], [2, 0])
  const publishing = system.publish(plan({ views: 3_000 }))
  await untilStored(database, 300)
  first.refuse()
  first.reset()
  await until('both connections are to the second node', () => second.open === 2)
  await service.untilReady()
  first.pass()
  second.refuse()
  second.reset()
  await until('both connections are to the first node', () => first.open === 2)
  await publishing
  await system.check()
})
