/**
 * The main promise, through the relay: some of the views are repeated and some are bad. Meanwhile relay, broker and service are
 * killed in turn, each with work in hand. In the end every number is exact.
 */

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { startRabbitmq } from '../../tools/stack/rabbitmq.ts'
import { tapAmqp } from './amqp-tap.ts'
import { atEnd } from './at-end.ts'
import { SQLITE } from './engines.ts'
import { assertInvariants } from './invariants.ts'
import { killAmid } from './kill-amid.ts'
import { Ledger } from './ledger.ts'
import { Parts } from './parts.ts'
import { plan } from './planned.ts'
import { startRelay } from './relay.ts'
import { publishByRelay } from './relay-ledger.ts'
import { startService } from './service.ts'
import { recordsIn, untilEmpty } from './spool-files.ts'
import { declareQueues } from './system.ts'
import { startTcpProxy } from './tcp-proxy.ts'
import { temporaryFolder } from './temporary-folder.ts'
import { until } from './until.ts'

export interface Killings {
  views: number
  /** Kills per part. */
  kills: number
  drainDeadlineMs: number
}

export async function countsExactlyWhateverIsKilled(
  t: TestContext,
  { views, kills, drainDeadlineMs }: Killings,
): Promise<void> {
  const broker = await startRabbitmq({ management: false })
  atEnd(t, () => broker.stop())
  await declareQueues(broker.url)
  await broker.settle()
  const proxy = await startTcpProxy(broker.port)
  atEnd(t, () => proxy.close())
  const tap = tapAmqp(proxy)
  const database = await SQLITE.create(t)
  const surroundings = { amqpUrl: broker.url, databaseUrl: database.url }
  const startCounting = () => {
    tap.forget()
    return startService(t, { ...surroundings, amqpUrl: proxy.through(broker.url) })
  }
  const folder = temporaryFolder(t)
  const startTaking = () => startRelay(t, { amqpUrl: broker.url, folder })

  const ledger = await Ledger.open(t)
  const planned = plan({ views, eventsPerMessage: 1 })
  const publishing = new Parts(planned.messages, 3 * kills + 1)
  const partSize = Math.floor(planned.messages.length / (3 * kills + 1))
  let service = await startCounting()
  await service.untilReady()
  let relay = await startTaking()
  let answered = 0
  const published = publishByRelay(relay.socket, ledger, publishing, {
    onAnswers: count => {
      answered += count
    },
  })
  const releaseSome = async () => {
    const before = answered
    publishing.release()
    const some = Math.floor(Math.random() * partSize * 0.8)
    await until('some of it is answered', () => answered > before + some)
  }

  for (let kill = 1; kill <= kills; kill++) {
    await releaseSome()
    assert.equal((await relay.end('SIGKILL')).why, 'SIGKILL')
    relay = await startTaking()

    publishing.release()
    const moment = kill % 2 === 0 ? { at: 'ack' as const, nth: 1 } : { at: 'deliver' as const, nth: 3 }
    assert.ok((await killAmid(service, tap, moment)) > 0, 'deliveries were in hand when it was killed')
    service = await startCounting()

    await releaseSome()
    await broker.restart()
  }
  publishing.release()
  await published
  await untilEmpty(relay.spool, drainDeadlineMs)
  await assertInvariants({
    surroundings,
    database,
    ledger,
    plans: [planned],
    services: [service],
    tap,
    drainDeadlineMs,
  })
  // I6: no view is pending, and none was given up.
  assert.deepEqual(recordsIn(relay.spool), [])
  const book = await ledger.read()
  assert.deepEqual(book.returned, planned.bad, 'the bad ones were refused, and nothing else')
  const confirmed = await relay.metric('confirmed_total')
  assert.ok(confirmed > 0, 'the last one published as well')
  assert.equal((await relay.end('SIGTERM')).code, 0)
}
