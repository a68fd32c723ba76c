/** Which queues views are consumed from: all that there are, but those that cannot be emptied or are somebody's own. */

import { CONSUMED_QUEUES, DEAD_QUEUE, declareTopology, QUEUE_OPTIONS } from '@postviews/client/src/index.ts'
import { amqpCode, type ChannelSource, onOwnChannel } from '@postviews/client/src/link.ts'
import type { Channel } from 'amqplib'

/** A stream keeps what was read, and hands it out from wherever a reader says. An exclusive queue is its connection's alone. */
export type LeftAlone = 'stream' | 'exclusive'

export interface Queues {
  consumed: readonly string[]
  leftAlone: ReadonlyMap<string, LeftAlone>
}

const ACCESS_REFUSED = 403
const NOT_FOUND = 404
const RESOURCE_LOCKED = 405
const PRECONDITION_FAILED = 406
/** More arguments than a queue can be declared with. */
const MOST_ARGUMENTS = 20

/**
 * Declares what is missing, and looks at each queue. One that is missing, and that we may not make, counts as consumed:
 * consuming it fails with the broker's 404.
 */
export async function findQueues(connection: ChannelSource): Promise<Queues> {
  await declareQueues(connection)
  return lookAtQueues(connection)
}

/** Declares what is missing. What is somebody's own, or may not be declared by us, is left as it is. */
export async function declareQueues(connection: ChannelSource): Promise<void> {
  for (const queue of [DEAD_QUEUE, ...CONSUMED_QUEUES]) {
    try {
      await declareTopology(connection, [queue])
    } catch (error) {
      const code = amqpCode(error)
      if (code !== RESOURCE_LOCKED && code !== ACCESS_REFUSED) throw error
    }
  }
}

/** Looks at each queue and declares none. One that is missing counts as consumed: somebody will declare it. */
export async function lookAtQueues(connection: ChannelSource): Promise<Queues> {
  const leftAlone = new Map<string, LeftAlone>()
  for (const queue of [...CONSUMED_QUEUES, DEAD_QUEUE]) {
    const why = await whyLeftAlone(connection, queue)
    if (why !== null) leftAlone.set(queue, why)
  }
  return { consumed: CONSUMED_QUEUES.filter(queue => !leftAlone.has(queue)), leftAlone }
}

async function whyLeftAlone(connection: ChannelSource, queue: string): Promise<LeftAlone | null> {
  try {
    await onOwnChannel(connection, channel => channel.checkQueue(queue))
  } catch (error) {
    if (amqpCode(error) === NOT_FOUND) return null
    if (amqpCode(error) === RESOURCE_LOCKED) return 'exclusive'
    throw error
  }
  return (await isStream(connection, queue)) ? 'stream' : null
}

/**
 * AMQP has no way to ask of what type a queue is. But where a queue is there already, declaring it otherwise changes
 * nothing, and the broker names the first argument that differs, and what it is: so each is taken over until it names the
 * type, or nothing differs any more.
 */
export async function isStream(connection: ChannelSource, queue: string): Promise<boolean> {
  const options = QUEUE_OPTIONS[queue]!
  const learned: Record<string, unknown> = { 'x-queue-type': 'classic', ...options.arguments }
  for (let tries = 0; tries < MOST_ARGUMENTS; tries++) {
    try {
      await onOwnChannel(connection, channel =>
        channel.assertQueue(queue, { ...options, arguments: learned }),
      )
      return false
    } catch (error) {
      // Who may not declare cannot ask either.
      if (amqpCode(error) === ACCESS_REFUSED) return false
      if (amqpCode(error) !== PRECONDITION_FAILED) throw error
      const differing = differingArgument(String(error))
      if (differing === null) return false
      const { name, current } = differing
      if (name === 'x-queue-type') return current === 'stream'
      if (current === undefined) delete learned[name]
      else learned[name] = current
    }
  }
  return false
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
