/** Publishes messages to the service's own queue, as fast as the broker confirms them, with the client's properties. */

import {
  DEAD_QUEUE,
  declareTopology,
  EXCHANGE,
  ROUTING_KEY,
  VIEWS_QUEUE,
} from '@postviews/client/src/index.ts'
import { type ChannelModel, connect } from 'amqplib'
import type { BenchMessage } from './events.ts'

/** Limits of unconfirmed messages, in number and in bytes. */
const WINDOW_MESSAGES = 4_000
const WINDOW_BYTES = 4 * 1_048_576

/**
 * When this resolves, all messages are confirmed and in the queue.
 * @throws {Error} when the queue then does not hold as many
 */
export async function fillQueue(
  amqpUrl: string,
  messages: Iterable<BenchMessage>,
  onPublished: (events: number) => void = () => {},
): Promise<void> {
  await withConnection(amqpUrl, async connection => {
    await declareTopology(connection, [DEAD_QUEUE, VIEWS_QUEUE])
    const channel = await connection.createConfirmChannel()
    let events = 0
    let count = 0
    let windowMessages = 0
    let windowBytes = 0
    for (const message of messages) {
      publish(channel, message)
      events += message.events
      count++
      windowMessages++
      windowBytes += message.body.length
      if (windowMessages < WINDOW_MESSAGES && windowBytes < WINDOW_BYTES) continue
      await channel.waitForConfirms()
      windowMessages = 0
      windowBytes = 0
      onPublished(events)
    }
    await channel.waitForConfirms()
    await channel.close()
    const depth = await depthOf(connection)
    if (depth !== count) throw new Error(`the queue holds ${depth} messages, not the ${count} published`)
  })
}

/** Messages in the service's queue that no consumer has taken. */
export function queueDepth(amqpUrl: string): Promise<number> {
  return withConnection(amqpUrl, depthOf)
}

type Publishes = Pick<Awaited<ReturnType<ChannelModel['createConfirmChannel']>>, 'publish'>

function publish(channel: Publishes, { id, body }: BenchMessage): void {
  channel.publish(EXCHANGE, ROUTING_KEY, body, {
    mandatory: true,
    persistent: true,
    contentType: 'application/json',
    type: ROUTING_KEY,
    messageId: id,
    timestamp: Math.floor(Date.now() / 1_000),
    appId: 'postviews-bench',
  })
}

async function depthOf(connection: ChannelModel): Promise<number> {
  const channel = await connection.createChannel()
  const { messageCount } = await channel.checkQueue(VIEWS_QUEUE)
  await channel.close()
  return messageCount
}

async function withConnection<T>(
  amqpUrl: string,
  work: (connection: ChannelModel) => Promise<T>,
): Promise<T> {
  const connection = await connect(amqpUrl)
  try {
    return await work(connection)
  } finally {
    await connection.close()
  }
}
