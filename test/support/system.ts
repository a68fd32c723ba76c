/** Broker, database, ledger and service of one test, and the invariants to check at its end. */

import type { TestContext } from 'node:test'
import { CONSUMED_QUEUES, DEAD_QUEUE, declareTopology } from '@postviews/client/src/index.ts'
import { connect } from 'amqplib'
import { testRabbitmq } from '../../tools/stack/for-tests.ts'
import { type AmqpTap, tapAmqp } from './amqp-tap.ts'
import { atEnd } from './at-end.ts'
import type { TestDatabase } from './engines.ts'
import { assertInvariants } from './invariants.ts'
import { Ledger, type LedgerMessage, publish } from './ledger.ts'
import type { Plan } from './planned.ts'
import { type Service, type ServiceOptions, type Surroundings, startService } from './service.ts'
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts'

export interface SystemOptions {
  database: TestDatabase
  /** Default: a new virtual host on the run's broker. */
  broker?: { url: string }
  settings?: Record<string, string>
  /** False: the test declares the queues itself. */
  declares?: boolean
}

export interface TestSystem {
  surroundings: Surroundings
  database: TestDatabase
  /** Between the service and the broker. */
  proxy: TcpProxy
  tap: AmqpTap
  /** Starts a service through the proxy. From now on the tap counts only this service, unless it is one of several. */
  start(options?: Partial<ServiceOptions> & { oneOfSeveral?: boolean }): Promise<Service>
  /** Publishes the plan's messages, or the given ones, past the proxy. */
  publish(plan: Plan, messages?: Iterable<LedgerMessage> | AsyncIterable<LedgerMessage>): Promise<void>
  /** Waits until everything is drained, stops the running services, and checks every invariant. */
  check(drainDeadlineMs?: number, options?: { replayed: boolean }): Promise<void>
}

export async function createSystem(t: TestContext, options: SystemOptions): Promise<TestSystem> {
  const { database, settings = {}, declares = true } = options
  const { url } = options.broker ?? (await testRabbitmq())
  if (declares) await declareQueues(url)
  const proxy = await startTcpProxy(Number(new URL(url).port))
  atEnd(t, () => proxy.close())
  const tap = tapAmqp(proxy)
  const ledger = await Ledger.open(t)
  const surroundings = { amqpUrl: url, databaseUrl: database.url, settings }
  const plans = new Set<Plan>()
  const services: Service[] = []

  return {
    surroundings,
    database,
    proxy,
    tap,
    async start({ oneOfSeveral = false, ...more } = {}) {
      if (!oneOfSeveral) tap.forget()
      const service = await startService(t, { ...surroundings, amqpUrl: proxy.through(url), ...more })
      services.push(service)
      return service
    },
    publish(plan, messages = plan.messages) {
      plans.add(plan)
      return publish(url, ledger, messages)
    },
    check: (drainDeadlineMs, { replayed } = { replayed: false }) =>
      assertInvariants({
        surroundings,
        database,
        ledger,
        plans: [...plans],
        services: services.filter(({ isRunning }) => isRunning),
        tap,
        replayed,
        ...(drainDeadlineMs !== undefined && { drainDeadlineMs }),
      }),
  }
}

/** Declares the queues as our publishers do, so that no message comes back to a publisher that starts first. */
export async function declareQueues(amqpUrl: string): Promise<void> {
  const connection = await connect(amqpUrl)
  await declareTopology(connection, [...CONSUMED_QUEUES, DEAD_QUEUE])
  await connection.close()
}
