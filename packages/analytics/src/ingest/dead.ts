/**
 * What was set aside, for the person who decides: listed without being consumed, replayed after a fix, purged.
 * Also finds what the broker itself dead-lettered at a delivery limit.
 */

import { DEAD_QUEUE, declareTopology, decodeMessage, INVALID_REASONS, VIEWS_QUEUE } from '@postviews/client'
import { brokerUrl, openConnection } from '@postviews/client/link'
import type { ConfirmChannel, GetMessage } from 'amqplib'
import { withoutSecrets } from '../config.ts'
import type { Progress } from '../store/store.ts'
import type { SetAsideReason } from './set-aside.ts'

const SETUP_TIMEOUT_MS = 20_000
const HEARTBEAT_SECONDS = 10

/** Why a message may be in `postviews.dead`: our own reasons, then those of a broker that dead-letters by a policy. */
export const DEAD_REASONS = {
  ...INVALID_REASONS,
  unstorable: 'the store keeps no such row',
  delivery_limit: 'the broker gave it up after too many deliveries, as some policy says',
  expired: 'the broker gave it up because it waited too long, as some policy says',
  maxlen: 'the broker gave it up because its queue was full, as some policy says',
  rejected: 'another consumer rejected it',
  unknown: 'it came without a reason: not from this service',
} as const satisfies Record<SetAsideReason, string> & Record<string, string>

/** A message in `postviews.dead`. */
export interface DeadMessage {
  setAsideId: string | null
  /** One of `DEAD_REASONS`, as a rule: a broker of another version may know more. */
  reason: string
  /** ISO 8601; null when nobody said. */
  setAsideAt: string | null
  sourceQueue: string | null
  /** Its place in the array it came in; null when it is the whole message. */
  index: number | null
  messageId: string | null
  /** May hold personal data. */
  body: Buffer
}

export interface ReplayOptions {
  /** Only messages set aside for one of these; all by default. */
  reasons?: readonly string[]
  /** Views that are older than this stay: they would only come back. */
  maxAgeSeconds: number
}

export interface Replayed {
  /** Messages on their way to be counted. */
  replayed: number
  /** Messages that stay set aside. */
  left: number
  /** Those of them that were wanted, and would only come back. */
  tooOld: number
}

/**
 * Hands over messages, at most `limit`; all stay in the queue, though those that were handed over last may then come
 * after others. Returns how many there are.
 */
export function listDead(
  amqpUrl: string,
  limit: number,
  onMessage: (message: DeadMessage) => void,
): Promise<number> {
  return onDeadQueue(amqpUrl, async (channel, count) => {
    for (let seen = 0; seen < Math.min(limit, count); seen++) {
      const message = await channel.get(DEAD_QUEUE)
      if (message === false) break
      onMessage(toDeadMessage(message))
    }
    // Nothing was acknowledged: closing the connection puts everything back.
    return count
  })
}

/**
 * Publishes each message to our own queue again and takes it out of `postviews.dead` once that is confirmed. A crash
 * in between replays it twice: an event with an id still counts once.
 */
export function replayDead(
  amqpUrl: string,
  options: ReplayOptions,
  progress: Progress = () => {},
): Promise<Replayed> {
  return onDeadQueue(amqpUrl, async (channel, count) => {
    let replayed = 0
    let left = 0
    let tooOld = 0
    for (let seen = 0; seen < count; seen++) {
      const message = await channel.get(DEAD_QUEUE)
      if (message === false) break
      const dead = toDeadMessage(message)
      const isWanted = options.reasons === undefined || options.reasons.includes(dead.reason)
      const stays = isWanted && isTooOld(message, options.maxAgeSeconds)
      if (isWanted && !stays) {
        await publishAgain(channel, message)
        channel.ack(message)
        replayed++
      } else {
        left++
        if (stays) tooOld++
      }
      progress('messages', seen + 1, count)
    }
    return { replayed, left, tooOld }
  })
}

/** Removes messages for good: those set aside before `before` (Unix milliseconds), or all of one reason, or all. */
export function purgeDead(
  amqpUrl: string,
  { before, reasons }: { before?: number; reasons?: readonly string[] },
  progress: Progress = () => {},
): Promise<number> {
  return onDeadQueue(amqpUrl, async (channel, count) => {
    let purged = 0
    for (let seen = 0; seen < count; seen++) {
      const message = await channel.get(DEAD_QUEUE)
      if (message === false) break
      const dead = toDeadMessage(message)
      const at = Date.parse(dead.setAsideAt ?? '')
      const isOld = before === undefined || at < before
      if (isOld && (reasons === undefined || reasons.includes(dead.reason))) {
        channel.ack(message)
        purged++
      }
      progress('messages', seen + 1, count)
    }
    return purged
  })
}

async function onDeadQueue<T>(
  amqpUrl: string,
  work: (channel: ConfirmChannel, count: number) => Promise<T>,
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
    const failed = lost.then(error => {
      throw error
    })
    const done = (async () => {
      await declareTopology(connection, [DEAD_QUEUE, VIEWS_QUEUE])
      const channel = await connection.createConfirmChannel()
      const { messageCount } = await channel.checkQueue(DEAD_QUEUE)
      const result = await work(channel, messageCount)
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

/** Whether nothing but its age keeps it from being counted. */
function isTooOld({ content, properties }: GetMessage, maxAgeSeconds: number): boolean {
  const receivedAt = Date.now() / 1_000
  const { views, invalid } = decodeMessage(content, properties, { receivedAt, maxAgeSeconds })
  // Of an array that the broker dead-lettered whole, the views that are not too old count.
  return views.length === 0 && invalid.some(({ reason }) => reason === 'too_old')
}

function publishAgain(channel: ConfirmChannel, { content, properties }: GetMessage): Promise<void> {
  const { messageId, timestamp, contentType, type, appId, headers } = properties
  return new Promise((resolve, reject) => {
    const onReturn = () =>
      reject(new Error(`${VIEWS_QUEUE} is gone: nothing was taken out of ${DEAD_QUEUE} for it`))
    channel.once('return', onReturn)
    const stamped = headers?.['timestamp_in_ms']
    channel.publish(
      '',
      VIEWS_QUEUE,
      content,
      {
        mandatory: true,
        persistent: true,
        messageId,
        timestamp,
        contentType,
        type,
        appId,
        headers: stamped === undefined ? {} : { timestamp_in_ms: stamped },
      },
      error => {
        channel.off('return', onReturn)
        if (error === null) resolve()
        else reject(new Error('the broker did not take a message again', { cause: error }))
      },
    )
  })
}

function toDeadMessage({ content, properties }: GetMessage): DeadMessage {
  const headers = properties.headers ?? {}
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null)
  return {
    setAsideId: text(headers['set-aside-id']),
    reason: text(headers['reason']) ?? text(headers['x-first-death-reason']) ?? 'unknown',
    setAsideAt: text(headers['set-aside-at']) ?? deadLetteredAt(headers['x-death']),
    sourceQueue: text(headers['source-queue']) ?? text(headers['x-first-death-queue']),
    index: typeof headers['index'] === 'number' ? headers['index'] : null,
    messageId: text(properties.messageId),
    body: content,
  }
}

/** When the broker dead-lettered a message, by its own account: the latest entry comes first. */
function deadLetteredAt(deaths: unknown): string | null {
  const [latest] = Array.isArray(deaths) ? deaths : []
  const seconds: unknown = latest?.time?.value
  return typeof seconds === 'number' ? new Date(seconds * 1_000).toISOString() : null
}
