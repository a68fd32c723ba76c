/** A connection to `postviews.dead` that reads its messages in windows. */

import { DEAD_QUEUE, declareTopology, VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { brokerUrl, openConnection } from '@postviews/client/src/link.ts'
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib'
import { answered, Unanswered } from './answer.ts'
import { readAnyProperties } from './properties.ts'
import { isStream, returnAll, settleOnQueue } from './queues.ts'

const SETUP_TIMEOUT_MS = 20_000
const HEARTBEAT_SECONDS = 10
/** Large enough to share a round trip among many messages; small enough for memory, with bodies of up to 1 MiB. */
const WINDOW_MESSAGES = 100
/** After this time without a message, the broker is asked whether there are any. */
const QUIET_MS = 500
const NOTHING_COMES_MS = 10_000
const CLOSE_MS = 2_000

/** May run again on another node when one is lost: messages that it acknowledged before are then gone from the queue. */
type Work<T> = (channel: Channel, connection: ChannelModel) => Promise<T>

/** `lost`: the node went away or does not answer; another node may. */
type Outcome<T> = { result: T } | { lost: Error }

/**
 * Runs the work on a connection and channel of its own. Messages that it does not acknowledge return to the queue. If a node of
 * a cluster is lost, the work starts again on the next, until every node was lost.
 *
 * @param cut aborted to stop waiting at once, at whatever step the work is
 * @throws what the work throws, once its acknowledgements have arrived; the reason of `cut`
 */
export async function onDeadQueue<T>(
  amqpUrls: readonly string[],
  cut: AbortSignal | undefined,
  work: Work<T>,
): Promise<T> {
  const socket = new AbortController()
  const cutOff = Promise.withResolvers<never>()
  // A rejection that nothing awaits yet must not be unhandled.
  cutOff.promise.catch(() => {})
  const onCut = () => cutOff.reject(cut?.reason)
  if (cut?.aborted) onCut()
  cut?.addEventListener('abort', onCut, { once: true })
  try {
    return await Promise.race([workOnSomeNode(amqpUrls, work, socket.signal), cutOff.promise])
  } finally {
    cut?.removeEventListener('abort', onCut)
    socket.abort()
  }
}

async function workOnSomeNode<T>(amqpUrls: readonly string[], work: Work<T>, ended: AbortSignal): Promise<T> {
  const errors: Error[] = []
  for (const url of amqpUrls) {
    const socket = new AbortController()
    try {
      const outcome = await workOnDeadQueue(url, work, AbortSignal.any([socket.signal, ended]))
      if ('result' in outcome) return outcome.result
      errors.push(outcome.lost)
      if (ended.aborted) break
    } finally {
      socket.abort()
    }
  }
  throw errors.length === 1 ? errors[0] : new AggregateError(errors, '')
}

async function workOnDeadQueue<T>(amqpUrl: string, work: Work<T>, socket: AbortSignal): Promise<Outcome<T>> {
  const url = brokerUrl(amqpUrl, HEARTBEAT_SECONDS)
  const opened = await openConnection(
    { url, timeoutMs: SETUP_TIMEOUT_MS, signal: socket },
    async (connection, lost) => ({ connection, lost }),
  ).catch((error: Error) => error)
  if (opened instanceof Error) return { lost: opened }
  const { connection, lost } = opened
  readAnyProperties(connection)
  const done = workOnChannel(connection, work).then(result => ({ result }))
  // When the connection is lost it fails too, and nothing awaits it any more.
  done.catch(() => {})
  try {
    return await Promise.race([done, lost.then(error => ({ lost: error }))])
  } catch (error) {
    if (error instanceof Unanswered) return { lost: error }
    throw error
  } finally {
    // The reason of a lost connection is known already; a connection that does not answer is not waited for.
    await answered(connection.close(), 'close', CLOSE_MS).catch(() => {})
  }
}

async function workOnChannel<T>(connection: ChannelModel, work: Work<T>): Promise<T> {
  await answered(declareTopology(connection, [DEAD_QUEUE, VIEWS_QUEUE]), `declare ${DEAD_QUEUE}`)
  if (await answered(isStream(connection, DEAD_QUEUE), `look at ${DEAD_QUEUE}`))
    throw new Error(
      `${DEAD_QUEUE} is a stream, from which messages cannot be removed: delete it, and it is declared again as a queue`,
    )
  const channel = await answered(connection.createChannel(), 'open a channel')
  let isOver = false
  const closed = new Promise<never>((_, reject) =>
    channel.on('error', error => {
      isOver = true
      reject(error)
    }),
  )
  try {
    return await Promise.race([work(channel, connection), closed])
  } catch (error) {
    isOver ||= error instanceof Unanswered
    throw error
  } finally {
    // Interrupted work has acknowledged messages, too. This also detects a queue without a majority, which reports that it is
    // empty.
    if (!isOver) {
      await answered(settleOnQueue(channel, DEAD_QUEUE), `settle ${DEAD_QUEUE}`)
      // From RabbitMQ 4.3 on, messages returned by a closed channel would count against a delivery limit (`returnAll`).
      returnAll(channel)
      await answered(channel.close(), 'close a channel')
    }
  }
}

export interface Window {
  messages: ConsumeMessage[]
  /** How many messages were handed over so far, these included; `total`: how many there were at the beginning. */
  seen: number
  total: number
}

/** The messages that are there at the beginning, usually oldest first. Each window is fetched after the last was handled. */
export async function* windowsOf(channel: Channel): AsyncGenerator<Window> {
  const total = await countIn(channel)
  const arrived: ConsumeMessage[] = []
  for (let seen = 0; seen < total; ) {
    const size = Math.min(WINDOW_MESSAGES, total - seen)
    // Each window has its own consumer: messages that an earlier one left unacknowledged do not count against its prefetch.
    const consumer = await startConsumer(channel, size, arrived)
    try {
      await consumer.until(size)
      const messages = arrived.splice(0, size)
      // Another consumer has taken the others.
      if (messages.length === 0) return
      seen += messages.length
      yield { messages, seen, total }
    } finally {
      // Only now, so that the queue handles it after the acknowledgements (see `settleOnQueue`).
      await consumer.end()
    }
  }
}

async function countIn(channel: Channel): Promise<number> {
  return (await answered(channel.checkQueue(DEAD_QUEUE), `look at ${DEAD_QUEUE}`)).messageCount
}

/** `arrived` collects the deliveries. Acknowledging a message makes room for another. */
async function startConsumer(channel: Channel, prefetch: number, arrived: ConsumeMessage[]) {
  let wake = () => {}
  await answered(channel.prefetch(prefetch), 'set the prefetch')
  const onMessage = (message: ConsumeMessage | null) => {
    if (message !== null) arrived.push(message)
    wake()
  }
  const { consumerTag } = await answered(channel.consume(DEAD_QUEUE, onMessage), `consume ${DEAD_QUEUE}`)
  const quiet = () =>
    new Promise<void>(resolve => {
      const timer = setTimeout(resolve, QUIET_MS)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  return {
    /** Waits for `size` messages, or until the queue is empty. @throws {Error} when the broker delivers none of those left */
    async until(size: number): Promise<void> {
      for (let quietMs = 0; arrived.length < size; ) {
        if (quietMs >= NOTHING_COMES_MS) throw new Error(`the broker delivers nothing from ${DEAD_QUEUE}`)
        const before = arrived.length
        await quiet()
        if (arrived.length > before) quietMs = 0
        else if ((await countIn(channel)) === 0 && arrived.length === before) return
        else quietMs += QUIET_MS
      }
    },
    async end(): Promise<void> {
      await answered(channel.cancel(consumerTag), `cancel ${DEAD_QUEUE}`)
    },
  }
}
