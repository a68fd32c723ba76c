/** A connection to `postviews.dead`, and its messages a window at a time. */

import { DEAD_QUEUE, declareTopology, VIEWS_QUEUE } from '@postviews/client'
import { brokerUrl, openConnection } from '@postviews/client/link'
import type { ConfirmChannel, ConsumeMessage } from 'amqplib'
import { withoutSecrets } from '../config.ts'
import { readAnyProperties } from './properties.ts'

const SETUP_TIMEOUT_MS = 20_000
const HEARTBEAT_SECONDS = 10
/** Large enough that a round trip is shared by many; small enough to be held, with bodies of up to 1 MiB. */
const WINDOW_MESSAGES = 100
/** Without a message for so long the broker is asked whether there are any. */
const QUIET_MS = 500
const NOTHING_COMES_MS = 10_000

/** Does the work on a channel of a connection of its own. What was delivered on it and not acknowledged goes back. */
export async function onDeadQueue<T>(
  amqpUrl: string,
  work: (channel: ConfirmChannel) => Promise<T>,
): Promise<T> {
  const socket = new AbortController()
  const url = brokerUrl(amqpUrl, HEARTBEAT_SECONDS)
  try {
    const { connection, lost } = await openConnection(
      { url, timeoutMs: SETUP_TIMEOUT_MS, signal: socket.signal },
      async (connection, lost) => ({ connection, lost }),
    ).catch((cause: unknown) => {
      throw new Error(`no connection to the broker at ${withoutSecrets(amqpUrl)}`, { cause })
    })
    readAnyProperties(connection)
    const failed = lost.then(error => {
      throw error
    })
    const done = (async () => {
      await declareTopology(connection, [DEAD_QUEUE, VIEWS_QUEUE])
      const channel = await connection.createConfirmChannel()
      const closed = new Promise<never>((_, reject) => channel.on('error', reject))
      const result = await Promise.race([work(channel), closed])
      // In order: what was acknowledged has arrived when this is answered.
      await channel.close()
      return result
    })()
    const result = await Promise.race([done, failed])
    await connection.close()
    return result
  } finally {
    socket.abort()
  }
}

export interface Window {
  messages: ConsumeMessage[]
  /** How many were handed over so far, these included, of how many there were at the beginning. */
  seen: number
  total: number
}

/** The messages that are there at the beginning, oldest first as a rule; the next window is asked for after each. */
export async function* windowsOf(channel: ConfirmChannel): AsyncGenerator<Window> {
  const { messageCount: total } = await channel.checkQueue(DEAD_QUEUE)
  for (let seen = 0; seen < total; ) {
    const messages = await nextWindow(channel, Math.min(WINDOW_MESSAGES, total - seen))
    // Somebody else has taken the others.
    if (messages.length === 0) return
    seen += messages.length
    yield { messages, seen, total }
  }
}

/** Fewer than so many only where there are no more. @throws {Error} when the broker hands none out, though there are */
async function nextWindow(channel: ConfirmChannel, size: number): Promise<ConsumeMessage[]> {
  const messages: ConsumeMessage[] = []
  let wake = () => {}
  // Each window is a consumer of its own: what an earlier one left unacknowledged does not count against its prefetch.
  await channel.prefetch(size)
  const { consumerTag } = await channel.consume(DEAD_QUEUE, message => {
    if (message !== null) messages.push(message)
    wake()
  })
  for (let quietMs = 0; messages.length < size; ) {
    if (quietMs >= NOTHING_COMES_MS) throw new Error(`the broker hands out nothing of ${DEAD_QUEUE}`)
    const before = messages.length
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, QUIET_MS)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    if (messages.length > before) quietMs = 0
    else if ((await channel.checkQueue(DEAD_QUEUE)).messageCount === 0 && messages.length === before) break
    else quietMs += QUIET_MS
  }
  await channel.cancel(consumerTag)
  return messages
}
