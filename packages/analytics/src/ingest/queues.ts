/** Which queues views are consumed from: all that there are, but those that cannot be emptied or are somebody's own. */

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
 * A stream keeps what was read, and hands it out from wherever a reader says. An exclusive queue is its connection's alone. In
 * a cluster a classic queue is on one node, and is away while that is: `down`, or `silent` where the node hangs.
 */
export type LeftAlone = 'stream' | 'exclusive' | 'down' | 'silent'

export interface Queues {
  consumed: readonly string[]
  leftAlone: ReadonlyMap<string, LeftAlone>
  /** Those of the consumed ones that have a majority of nodes to answer for them, or none. */
  quorum: ReadonlySet<string>
}

const ACCESS_REFUSED = 403
const NOT_FOUND = 404
const RESOURCE_LOCKED = 405
const PRECONDITION_FAILED = 406
/** More arguments than a queue can be declared with. */
const MOST_ARGUMENTS = 20
/** For each queue. Another node hanging may hold up a declaration, even one that changes nothing, for more than a minute. */
const QUEUE_ANSWER_MS = 4_000

/**
 * Declares what is missing, and looks at each queue. One that is missing, and that we may not make, counts as consumed:
 * consuming it fails with the broker's 404.
 */
export async function findQueues(connection: ChannelSource): Promise<Queues> {
  const silent = await declareQueues(connection)
  return lookAtQueues(connection, silent)
}

/**
 * Declares what is missing. What is somebody's own, or may not be declared by us, or is on a node that is away, is left as it
 * is. Returns the queues about which the broker did not answer.
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
 * Looks at each queue and declares none. One that is missing counts as consumed: somebody will declare it.
 * @param silent about which the broker has just not answered. Asking about those again would take the same time again
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

/** Why it is left alone, or that it is a quorum queue; null for all others. */
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

/** Says it of a queue that is there, on a node that is not. The code is that of a queue that is not there. */
function isDown(error: unknown): boolean {
  return amqpCode(error) === NOT_FOUND && /down or inaccessible|stopped by supervisor/.test(String(error))
}

/**
 * AMQP has no way to ask of what type a queue is. But where a queue is there already, declaring it otherwise changes
 * nothing, and the broker names the first argument that differs, and what it is: so each is taken over until it names the
 * type, or nothing differs any more. Undefined where it cannot be told.
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
      // Who may not declare cannot ask either.
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

/** Of `inequivalent arg 'NAME' for queue …: received … but current is …`, as RabbitMQ 3.10 to 4.3 say it. */
export function differingArgument(
  message: string,
): { name: string; current: string | number | boolean | undefined } | null {
  const name = /inequivalent arg '(x-[^']*)'/.exec(message)?.[1]
  const current = /but current is (?:the value '(.*?)' of type '(\w+)'|'(.*?)'|none)/.exec(message)
  // Whatever else differs (`durable`, say) a stream has no choice of.
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
 * Returns everything that is not acknowledged, on a channel without consumers. What a nack returns does not count against a
 * queue's delivery limit from RabbitMQ 4.3 on; what a channel returns because it is closed, or lost, does. Up to 4.2 both count.
 */
export function returnAll(channel: Channel): void {
  channel.nackAll(true)
}
