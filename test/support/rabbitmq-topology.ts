/** The contents of a virtual host except messages, in a form that brokers of different versions share. */

import type { Rabbitmq } from '../../tools/stack/rabbitmq.ts'

/** The part that is read here; definitions also hold users, permissions and parameters. */
export interface Definitions {
  queues: { name: string; vhost: string; durable: boolean; arguments: Record<string, unknown> }[]
  exchanges: { name: string; vhost: string; type: string; durable: boolean }[]
  bindings: { source: string; vhost: string; destination: string; routing_key: string }[]
  policies: Policy[]
}

export interface Policy {
  vhost: string
  name: string
  pattern: string
  'apply-to': string
  definition: Record<string, unknown>
  priority: number
}

type Api = Pick<Rabbitmq, 'api'>

export async function definitionsOf({ api }: Api): Promise<Definitions> {
  return (await api('GET', '/definitions')) as Definitions
}

/** Sorted; without the type that RabbitMQ 4 adds to the arguments of a queue declared without one. */
export function topologyIn(definitions: Definitions, ofVhost: string): unknown {
  const inVhost = <T extends { vhost: string }>(all: readonly T[]) =>
    all.filter(({ vhost }) => vhost === ofVhost)
  const sorted = <T>(all: readonly T[]) =>
    all.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  return {
    queues: sorted(
      inVhost(definitions.queues).map(({ name, durable, arguments: given }) => ({
        name,
        durable,
        type: given['x-queue-type'] ?? 'classic',
        arguments: sorted(Object.entries(given).filter(([argument]) => argument !== 'x-queue-type')),
      })),
    ),
    exchanges: sorted(
      inVhost(definitions.exchanges).map(({ name, type, durable }) => ({ name, type, durable })),
    ),
    bindings: sorted(
      inVhost(definitions.bindings).map(({ source, destination, routing_key }) => ({
        source,
        destination,
        routing_key,
      })),
    ),
    policies: sorted(
      inVhost(definitions.policies).map(({ name, pattern, definition }) => ({ name, pattern, definition })),
    ),
  }
}
