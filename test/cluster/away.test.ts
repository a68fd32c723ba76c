/** What is on one node alone, or asked of one that is down: queues of other publishers, and the commands. */

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ARTICLE_QUEUES, DEAD_QUEUE } from '@postviews/client/src/index.ts'
import {
  type ClusterNode,
  type RabbitmqCluster,
  startRabbitmqCluster,
} from '../../tools/stack/rabbitmq-cluster.ts'
import { atEnd } from '../support/at-end.ts'
import { clusteredSystem } from '../support/clustered.ts'
import { SQLITE } from '../support/engines.ts'
import { countRows, untilStored } from '../support/invariants.ts'
import { sendTo } from '../support/published.ts'
import { postviews, startService } from '../support/service.ts'
import { declareQueues } from '../support/system.ts'
import { until } from '../support/until.ts'

let cluster: RabbitmqCluster
let first: ClusterNode
let second: ClusterNode
let third: ClusterNode
before(async () => {
  cluster = await startRabbitmqCluster()
  ;[first, second, third] = cluster.nodes as [ClusterNode, ClusterNode, ClusterNode]
})
after(() => cluster.stop())

const BAD = 30

describe('with one of three brokers down', () => {
  test('the queues that were on it alone are named, the others counted; both again once it is back', async t => {
    const system = await clusteredSystem(t, { cluster, leader: first, clients: second })
    const [ourUrl] = system.urls
    const { service, database } = system
    await first.kill()
    atEnd(t, () => (first.isWell ? undefined : first.start()))
    const warnings = async () => {
      const { text } = await service.get('/readyz')
      const said: { warnings?: string[] } = JSON.parse(text)
      return (said.warnings ?? []).join()
    }
    await until(
      'it names them',
      async () => {
        const said = await warnings()
        // RabbitMQ 4.3 answers nothing about them at first.
        const named = /(\S+) is a queue (?:on a node that is down|that does not answer)/g
        const names = [...said.matchAll(named)].map(([, queue]) => queue)
        return ARTICLE_QUEUES.every(queue => names.includes(queue))
      },
      30_000,
    )
    await system.publish({ views: 500, perSecond: 1_000, enough: new AbortController().signal })
    await untilStored(database, 500)
    await service.untilReady()

    await first.start()
    for (const queue of ARTICLE_QUEUES)
      await sendTo(ourUrl!, [queue], JSON.stringify({ post_uuid: 'post-1', timestamp: new Date() }))
    await until('they are consumed again', async () => (await countRows(database)) === 502)
    assert.equal(await warnings(), '')
  })

  test('every command about dead letters works on another, and so does the API alone', async t => {
    const { urls } = await cluster.vhost()
    await declareQueues(urls[1]!)
    const database = await SQLITE.create(t)
    const surroundings = { amqpUrl: urls.join(','), databaseUrl: database.url }
    const service = await startService(t, surroundings)
    await service.untilReady()
    for (let n = 0; n < BAD; n++) await sendTo(urls[2]!, ['postviews.views'], `{ ${n}`)
    await until(
      'they are dead letters',
      async () => (await service.metric('postviews_dead_messages')) === BAD,
    )
    assert.equal((await service.end('SIGTERM')).code, 0)
    const api = await startService(t, { ...surroundings, command: 'api' })
    await api.untilReady()

    await first.kill()
    atEnd(t, () => (first.isWell ? undefined : first.start()))
    const listed = await postviews(surroundings, 'dead', 'list')
    assert.match(listed.output, new RegExp(`^${BAD} dead letters`, 'm'))
    const replayed = await postviews(surroundings, 'dead', 'replay', '--json')
    assert.deepEqual(JSON.parse(replayed.output), { replayed: BAD, left: 0, too_old: 0, failed: 0 })
    const consumer = await startService(t, surroundings)
    await consumer.untilReady(30_000)
    await until(
      'they are back',
      async () => (await consumer.metric('postviews_dead_messages')) === BAD,
      30_000,
    )
    await until(
      'the API knows',
      async () => {
        const { text } = await api.get('/api/v1/status')
        return JSON.parse(text).dead === BAD
      },
      30_000,
    )
    const purged = await postviews(surroundings, 'dead', 'purge', '--all', '--json')
    assert.deepEqual(JSON.parse(purged.output), { purged: BAD })
    await first.start()
  })
})

test('with two of three brokers down a command says that it does not know, and never that there is nothing', async t => {
  const { urls } = await cluster.vhost()
  await declareQueues(urls[0]!)
  await sendTo(urls[0]!, [DEAD_QUEUE], 'whatever')
  await Promise.all([first.kill(), third.kill()])
  atEnd(t, () => Promise.all([first, third].map(node => node.start())))
  const database = await SQLITE.create(t)
  const surroundings = { amqpUrl: urls.join(','), databaseUrl: database.url }
  for (const command of [['list'], ['replay'], ['purge', '--all']]) {
    const { code, output } = await postviews(surroundings, 'dead', ...command)
    assert.equal(code, 1)
    assert.match(output, /ECONNREFUSED.*the broker has not answered|has not answered.*ECONNREFUSED/s)
    assert.doesNotMatch(output, /no dead letters|purged 0|guest:guest/)
  }
})
