/** A connection to `postviews.dead`, and its messages a window at a time. */

import { DEAD_QUEUE, declareTopology, VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { brokerUrl, openConnection } from '@postviews/client/src/link.ts'
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib'
import { readAnyProperties } from './properties.ts'
import { isStream, returnAll, settleOnQueue } from './queues.ts'

const SETUP_TIMEOUT_MS = 20_000
const HEARTBEAT_SECONDS = 10
/** Large enough that a round trip is shared by many; small enough to be held, with bodies of up to 1 MiB. */
const WINDOW_MESSAGES = 100
/** Without a message for so long the broker is asked whether there are any. */
const QUIET_MS = 500
const NOTHING_COMES_MS = 10_000

/**
 * Does the work on a channel of a connection of its own. What was delivered on it and not acknowledged goes back.
 *
 * @param cut aborted when nothing is to be waited for any more, whatever the work is at
 * @throws what the work throws, once what it acknowledged has arrived; the reason of `cut`
 */
export async function onDeadQueue<T>(
  amqpUrl: string,
  cut: AbortSignal | undefined,
  work: (channel: Channel, connection: ChannelModel) => Promise<T>,
): Promise<T> {
  const socket = new AbortController()
  const cutOff = Promise.withResolvers<never>()
  // It is heard of where something waits for it.
  cutOff.promise.catch(() => {})
  const onCut = () => cutOff.reject(cut?.reason)
  if (cut?.aborted) onCut()
  cut?.addEventListener('abort', onCut, { once: true })
  try {
    return await Promise.race([workOnDeadQueue(amqpUrl, work, socket.signal), cutOff.promise])
  } finally {
    cut?.removeEventListener('abort', onCut)
    socket.abort()
  }
}

async function workOnDeadQueue<T>(
  amqpUrl: string,
  work: (channel: Channel, connection: ChannelModel) => Promise<T>,
  socket: AbortSignal,
): Promise<T> {
  const url = brokerUrl(amqpUrl, HEARTBEAT_SECONDS)
  const { connection, lost } = await openConnection(
    { url, timeoutMs: SETUP_TIMEOUT_MS, signal: socket },
    async (connection, lost) => ({ connection, lost }),
  )
  readAnyProperties(connection)
  const failed = lost.then(error => {
    throw error
  })
  const done = (async () => {
    await declareTopology(connection, [DEAD_QUEUE, VIEWS_QUEUE])
    if (await isStream(connection, DEAD_QUEUE))
      throw new Error(
        `${DEAD_QUEUE} is a stream, from which messages cannot be removed: delete it, and it is declared again as a queue`,
      )
    const channel = await connection.createChannel()
    let isClosed = false
    const closed = new Promise<never>((_, reject) =>
      channel.on('error', error => {
        isClosed = true
        reject(error)
      }),
    )
    try {
      return await Promise.race([work(channel, connection), closed])
    } finally {
      // Work that was interrupted has acknowledged something as well.
      if (!isClosed) {
        await settleOnQueue(channel, DEAD_QUEUE)
        // Returned by a closed channel, they would count against a delivery limit from RabbitMQ 4.3 on (`returnAll`).
        returnAll(channel)
        await channel.close()
      }
    }
  })()
  try {
    return await Promise.race([done, failed])
  } finally {
    // Of one that is lost, the reason is told already.
    await connection.close().catch(() => {})
  }
}

export interface Window {
  messages: ConsumeMessage[]
  /** How many were handed over so far, these included, of how many there were at the beginning. */
  seen: number
  total: number
}

/** The messages that are there at the beginning, oldest first as a rule; the next window is asked for after each. */
export async function* windowsOf(channel: Channel): AsyncGenerator<Window> {
  const { messageCount: total } = await channel.checkQueue(DEAD_QUEUE)
  const arrived: ConsumeMessage[] = []
  for (let seen = 0; seen < total; ) {
    const size = Math.min(WINDOW_MESSAGES, total - seen)
    // Each window is a consumer of its own: what an earlier one left unacknowledged does not count against its prefetch.
    const consumer = await startConsumer(channel, size, arrived)
    try {
      await consumer.until(size)
      const messages = arrived.splice(0, size)
      // Somebody else has taken the others.
      if (messages.length === 0) return
      seen += messages.length
      yield { messages, seen, total }
    } finally {
      // Only now: it takes its turn after the acknowledgements (see `settleOnQueue`).
      await consumer.end()
    }
  }
}

/** `arrived` takes what is delivered: what is acknowledged makes room for more. */
async function startConsumer(channel: Channel, prefetch: number, arrived: ConsumeMessage[]) {
  let wake = () => {}
  await channel.prefetch(prefetch)
  const { consumerTag } = await channel.consume(DEAD_QUEUE, message => {
    if (message !== null) arrived.push(message)
    wake()
  })
  const quiet = () =>
    new Promise<void>(resolve => {
      const timer = setTimeout(resolve, QUIET_MS)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  return {
    /** Waits for so many, or until there are no more. @throws {Error} when the broker hands none out, though there are */
    async until(size: number): Promise<void> {
      for (let quietMs = 0; arrived.length < size; ) {
        if (quietMs >= NOTHING_COMES_MS) throw new Error(`the broker delivers nothing from ${DEAD_QUEUE}`)
        const before = arrived.length
        await quiet()
        if (arrived.length > before) quietMs = 0
        else if ((await channel.checkQueue(DEAD_QUEUE)).messageCount === 0 && arrived.length === before)
          return
        else quietMs += QUIET_MS
      }
    },
    async end(): Promise<void> {
      await channel.cancel(consumerTag)
    },
  }
}
