/** The names that client and service use, and how both of them declare each. */

import type { Channel, Options } from 'amqplib'

/** The durable topic exchange that our publishers use. */
export const EXCHANGE = 'post.events'

/** The routing key, and the AMQP `type`, of a view. */
export const ROUTING_KEY = 'post.viewed'

/** Our own queue: what the exchange routes to. */
export const VIEWS_QUEUE = 'postviews.views'

/** Keeps an event that cannot be counted, with the reason, until somebody decides. */
export const DEAD_QUEUE = 'postviews.dead'

/** Queues that publishers written after the two articles send to directly, and may have declared themselves. */
export const ARTICLE_QUEUES = ['analytics.post_views', 'post.viewed'] as const

/** Every queue that views are consumed from. */
export const CONSUMED_QUEUES = [VIEWS_QUEUE, ...ARTICLE_QUEUES] as const

// -1 would mean "no limit" to RabbitMQ 4 and "drop at the first return" to 3.10; this number works in both.
const NO_DELIVERY_LIMIT = 2_147_483_647

/** How each queue is declared when it does not exist yet. One that exists is used as it is. */
export const QUEUE_OPTIONS: Readonly<Record<string, Options.AssertQueue>> = {
  [VIEWS_QUEUE]: {
    durable: true,
    arguments: {
      'x-queue-type': 'quorum',
      'x-delivery-limit': NO_DELIVERY_LIMIT,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': DEAD_QUEUE,
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
    },
  },
  [DEAD_QUEUE]: {
    durable: true,
    arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': NO_DELIVERY_LIMIT },
  },
  // Exactly as the articles' publishers declare them: other arguments would close their channel with a 406.
  'analytics.post_views': { durable: true },
  'post.viewed': { durable: true },
}

/** What `declareTopology` needs of a connection; a channel that a refused declaration closes is thrown away. */
export interface ChannelSource {
  createChannel(): Promise<Channel>
}

/**
 * Declares the exchange, its binding and the queues. Those that exist stay as they are, whatever their arguments.
 * Each step has a channel of its own, because the broker closes the channel of a step that it refuses.
 *
 * @throws the broker's error when something does not exist and may not be declared.
 */
export async function declareTopology(connection: ChannelSource, queues: readonly string[]): Promise<void> {
  await adoptOrDeclare(
    connection,
    channel => channel.checkExchange(EXCHANGE),
    channel => channel.assertExchange(EXCHANGE, 'topic', { durable: true }),
  )
  for (const queue of queues) {
    await adoptOrDeclare(
      connection,
      channel => channel.checkQueue(queue),
      channel => channel.assertQueue(queue, QUEUE_OPTIONS[queue]),
    )
  }
  if (queues.includes(VIEWS_QUEUE)) {
    await onOwnChannel(connection, channel => channel.bindQueue(VIEWS_QUEUE, EXCHANGE, ROUTING_KEY))
  }
}

type Step = (channel: Channel) => Promise<unknown>

async function adoptOrDeclare(connection: ChannelSource, look: Step, declare: Step): Promise<void> {
  try {
    return await onOwnChannel(connection, look)
  } catch (error) {
    if (amqpCode(error) !== 404) throw error
  }
  try {
    await onOwnChannel(connection, declare)
  } catch (error) {
    // 406: somebody declared it with other arguments after our check. Theirs stay.
    if (amqpCode(error) !== 406) throw error
  }
}

/** Runs a step on a channel of its own, because the broker closes the channel of a step that it refuses. */
export async function onOwnChannel(connection: ChannelSource, step: Step): Promise<void> {
  const channel = await connection.createChannel()
  // The step's own rejection reports the error; without a listener the event would end the process.
  channel.on('error', () => {})
  const closed = new Promise<void>(resolve => channel.on('close', resolve))
  await step(channel)
  // This promise is not awaited: it never settles if the connection dies before the answer.
  channel.close().catch(() => {
    // The channel is closed already, and its step is done.
  })
  await closed
}

/** The AMQP reply code of a channel or connection error (404, 406, …), if it is one. */
export function amqpCode(error: unknown): number | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' ? error.code : undefined
}
