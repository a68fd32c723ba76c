/**
 * The main promise, on the whole system: some of the published views are repeated and some are bad. Meanwhile the service is
 * killed again and again with deliveries in hand, and the broker and the database once each. In the end every number is exact.
 */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startRabbitmq } from '../../tools/stack/rabbitmq.ts'
import { tapAmqp } from './amqp-tap.ts'
import { atEnd } from './at-end.ts'
import type { TestDatabase } from './engines.ts'
import { assertInvariants } from './invariants.ts'
import { type KillMoment, killAmid } from './kill-amid.ts'
import { Ledger, publish } from './ledger.ts'
import { Parts } from './parts.ts'
import { plan } from './planned.ts'
import { startService } from './service.ts'
import { startTcpProxy } from './tcp-proxy.ts'

const [VIEWS, DRAIN_DEADLINE_MS] = process.env['FULL'] === '1' ? [200_000, 400_000] : [30_000, 60_000]
const KILLS = 10
const PARTS = KILLS + 1
const BROKER_KILLED_IN = 4
const QUEUE_COLUMNS = ['name', 'type', 'messages_ready', 'messages_unacknowledged', 'consumers']
const DATABASE_KILLED_IN = 7

export interface KillableDatabase extends TestDatabase {
  /** Kills its server, if it has one, and restarts it. */
  killServer(): Promise<void>
}

export function countsWhateverIsKilled(
  name: string,
  create: (t: TestContext) => Promise<KillableDatabase>,
): void {
  test(`counts every view exactly once on ${name}, whatever is killed meanwhile`, async t => {
    const broker = await startRabbitmq({ management: false })
    atEnd(t, () => broker.stop())
    const proxy = await startTcpProxy(broker.port)
    atEnd(t, () => proxy.close())
    const tap = tapAmqp(proxy)
    const database = await create(t)
    const surroundings = { amqpUrl: broker.url, databaseUrl: database.url }
    const start = () => {
      tap.forget()
      return startService(t, { ...surroundings, amqpUrl: proxy.through(broker.url) })
    }

    const ledger = await Ledger.open(t)
    const planned = plan({ views: VIEWS })
    const publishing = new Parts(planned.messages, PARTS)
    let service = await start()
    await service.untilReady()
    const published = publish(broker.url, ledger, publishing)

    for (let part = 1; part <= KILLS; part++) {
      // Before new messages are released: settling takes seconds, in which the service would already count them.
      if (part === BROKER_KILLED_IN) await broker.settle()
      publishing.release()
      if (part === BROKER_KILLED_IN) await broker.restart()
      if (part === DATABASE_KILLED_IN) await database.killServer()
      const isAtAck = part % 2 === 0
      const moment: KillMoment = isAtAck
        ? { at: 'ack', nth: 1 + (part % 3) }
        : { at: 'deliver', nth: 50 * part }
      const unacknowledged = await killAmid(service, tap, moment)
      assert.ok(unacknowledged > 0, 'deliveries were in hand when it was killed')
      service = await start()
    }
    publishing.release()
    await published
    await assertInvariants({
      surroundings,
      database,
      ledger,
      plans: [planned],
      services: [service],
      tap,
      drainDeadlineMs: DRAIN_DEADLINE_MS,
    }).catch(async error => {
      // Whether it was the broker or the service that lost something.
      t.diagnostic(await broker.ctl('list_queues', ...QUEUE_COLUMNS).catch(String))
      t.diagnostic(await broker.ctl('list_bindings').catch(String))
      throw error
    })
    assert.ok(tap.redelivered > 0, 'what was in hand is delivered again')
    assert.equal(tap.refused, 0)
  })
}
