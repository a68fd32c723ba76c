/** Which queues views are consumed from: all except those that cannot be emptied, are exclusive, or do not answer. */

import {
  CONSUMED_QUEUES,
  DEAD_QUEUE,
  declareTopology,
  QUEUE_OPTIONS,
  VIEWS_QUEUE,
} from '@postviews/client/src/index.ts'
import { amqpCode, type ChannelSource, onOwnChannel } from '@postviews/client/src/link.ts'
import type { Channel } from 'amqplib'
import { answered, Unanswered } from './answer.ts'

/**
 * A stream keeps messages that were read, and readers choose where to start. An exclusive queue belongs to its connection alone.
 * In a cluster a classic queue is on one node: `down` while that is down, `silent` while it hangs.
 */
export type LeftAlone = 'stream' | 'exclusive' | 'down' | 'silent'

export interface Queues {
  consumed: readonly string[]
  leftAlone: ReadonlyMap<string, LeftAlone>
  /** Quorum queues: these answer only while they have a majority of their nodes. */
  quorum: ReadonlySet<string>
}

const ACCESS_REFUSED = 403
const NOT_FOUND = 404
const RESOURCE_LOCKED = 405
const PRECONDITION_FAILED = 406
/** More arguments than a queue can be declared with. */
const MOST_ARGUMENTS = 20
/** For each queue. If another node hangs, a declaration may take more than a minute, even one that changes nothing. */
const QUEUE_ANSWER_MS = 4_000

/**
 * Declares missing queues, and looks at each. A missing queue that we may not declare counts as consumed: consuming it fails
 * with the broker's 404.
 */
export async function findQueues(connection: ChannelSource): Promise<Queues> {
  const silent = await declareQueues(connection)
  return lookAtQueues(connection, silent)
}

/**
 * Declares missing queues. Skips queues that are exclusive, that we may not declare, or whose node is down. Returns the queues
 * about which the broker did not answer.
 */
export async function declareQueues(connection: ChannelSource): Promise<Set<string>> {
  const silent = new Set<string>()
  const declare = async (queue: string) => {
    try {
      await answered(declareTopology(connection, [queue]), `declare ${queue}`, QUEUE_ANSWER_MS)
    } catch (error) {
      const code = amqpCode(error)
      if (error instanceof Unanswered) silent.add(queue)
      else if (code !== RESOURCE_LOCKED && code !== ACCESS_REFUSED && !isDown(error)) throw error
    }
  }
  await Promise.all([DEAD_QUEUE, ...CONSUMED_QUEUES].map(declare))
  return silent
}

/**
 * Looks at each queue and declares none. A missing queue counts as consumed: somebody will declare it.
 * @param silent queues about which the broker has just not answered. Asking again would take as long again
 */
export async function lookAtQueues(
  connection: ChannelSource,
  silent: ReadonlySet<string> = new Set(),
): Promise<Queues> {
  const leftAlone = new Map<string, LeftAlone>()
  const quorum = new Set<string>()
  const look = async (queue: string) => {
    const isSilent = silent.has(queue) && queue !== VIEWS_QUEUE
    const found = isSilent ? 'silent' : await lookAtQueue(connection, queue)
    if (found === 'quorum') quorum.add(queue)
    else if (found !== null) leftAlone.set(queue, found)
  }
  await Promise.all([...CONSUMED_QUEUES, DEAD_QUEUE].map(look))
  return { consumed: CONSUMED_QUEUES.filter(queue => !leftAlone.has(queue)), leftAlone, quorum }
}

/** Why the queue is left alone, or that it is a quorum queue; null for all others. */
async function lookAtQueue(connection: ChannelSource, queue: string): Promise<LeftAlone | 'quorum' | null> {
  const ask = async () => {
    await onOwnChannel(connection, channel => channel.checkQueue(queue))
    return typeOf(connection, queue)
  }
  try {
    const type = await answered(ask(), `look at ${queue}`, QUEUE_ANSWER_MS)
    return type === 'stream' || type === 'quorum' ? type : null
  } catch (error) {
    if (isDown(error)) return 'down'
    if (amqpCode(error) === NOT_FOUND) return null
    if (amqpCode(error) === RESOURCE_LOCKED) return 'exclusive'
    // Our own queue has a copy on several nodes. If this node does not answer, another one may, so the connection is given up.
    if (error instanceof Unanswered && queue !== VIEWS_QUEUE) return 'silent'
    throw error
  }
}

/** Whether the queue exists, on a node that is down. The code is the same as for a queue that does not exist. */
function isDown(error: unknown): boolean {
  return amqpCode(error) === NOT_FOUND && /down or inaccessible|stopped by supervisor/.test(String(error))
}

/**
 * AMQP has no question for the type of a queue. But if a queue exists, a different declaration changes nothing, and the broker
 * names the first argument that differs, and its value. So each value is taken over until the broker names the type, or nothing
 * differs any more. Undefined if the type cannot be found out.
 */
async function typeOf(connection: ChannelSource, queue: string): Promise<string | undefined> {
  const options = QUEUE_OPTIONS[queue]!
  const learned: Record<string, unknown> = { 'x-queue-type': 'classic', ...options.arguments }
  for (let tries = 0; tries < MOST_ARGUMENTS; tries++) {
    try {
      await onOwnChannel(connection, channel =>
        channel.assertQueue(queue, { ...options, arguments: learned }),
      )
      return String(learned['x-queue-type'])
    } catch (error) {
      // Without permission to declare, this question is refused, too.
      if (amqpCode(error) === ACCESS_REFUSED) return undefined
      if (amqpCode(error) !== PRECONDITION_FAILED) throw error
      const differing = differingArgument(String(error))
      if (differing === null) return undefined
      const { name, current } = differing
      if (name === 'x-queue-type') return current === undefined ? 'classic' : String(current)
      if (current === undefined) delete learned[name]
      else learned[name] = current
    }
  }
  return undefined
}

export async function isStream(connection: ChannelSource, queue: string): Promise<boolean> {
  return (await typeOf(connection, queue)) === 'stream'
}

/** Reads `inequivalent arg 'NAME' for queue …: received … but current is …`, as RabbitMQ 3.10 to 4.3 write it. */
export function differingArgument(
  message: string,
): { name: string; current: string | number | boolean | undefined } | null {
  const name = /inequivalent arg '(x-[^']*)'/.exec(message)?.[1]
  const current = /but current is (?:the value '(.*?)' of type '(\w+)'|'(.*?)'|none)/.exec(message)
  // Everything else that may differ (`durable`, for example) is fixed for a stream.
  if (name === undefined || current === null) return null
  const [, value, type, text] = current
  if (value === undefined) return { name, current: text }
  if (type === 'longstr') return { name, current: value }
  if (type === 'bool') return { name, current: value === 'true' }
  return Number.isNaN(Number(value)) ? null : { name, current: Number(value) }
}

/**
 * Resolves when everything acknowledged on the channel so far has reached the queue. RabbitMQ 3.10 buffers single
 * acknowledgements to a quorum queue beyond some thirty, and drops that buffer when the channel closes. Starting and ending
 * a consumer goes through the queue after them. That consumer may be handed one message, which goes back when the channel
 * closes.
 */
export async function settleOnQueue(channel: Channel, queue: string): Promise<void> {
  await channel.prefetch(1)
  const { consumerTag } = await channel.consume(queue, () => {})
  await channel.cancel(consumerTag)
}

/**
 * Returns all unacknowledged messages, on a channel without consumers. From RabbitMQ 4.3 on, messages returned by a nack do not
 * count against a queue's delivery limit; those returned because the channel closed, or was lost, do. Up to 4.2 both count.
 */
export function returnAll(channel: Channel): void {
  channel.nackAll(true)
}
