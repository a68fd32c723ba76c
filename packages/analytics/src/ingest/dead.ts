/**
 * Lists the dead letters in `postviews.dead` without removing them, replays them after a fix, and purges them. The queue may
 * also hold messages that the broker itself dead-lettered at a delivery limit, and messages of other programs.
 */

import { setTimeout as sleep } from 'node:timers/promises'
import { cut as cutText, decodeMessage, INVALID_REASONS, VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import type { ChannelModel, Message } from 'amqplib'
import type { DeadReason } from '../dead-reason.ts'
import { describeError } from '../log.ts'
import type { Progress } from '../store/store.ts'
import { zoneTime } from '../store/zone-rules.ts'
import { answered } from './answer.ts'
import { carryOver, OWN_HEADERS } from './carry-over.ts'
import { onDeadQueue, windowsOf } from './dead-queue.ts'
import { type Fields, type FieldValue, plain, propertiesOf } from './properties.ts'

/** Why a message may be in `postviews.dead`: our own reasons, then those of a broker that dead-letters by a policy. */
export const DEAD_REASONS = {
  ...INVALID_REASONS,
  unstorable: 'the store refuses to store this row',
  delivery_limit: 'the broker dead-lettered it after too many deliveries (a policy)',
  expired: 'the broker dead-lettered it because it waited too long (a policy)',
  maxlen: 'the broker dead-lettered it because its queue was full (a policy)',
  rejected: 'another consumer rejected it',
  unknown: 'it has no reason, so it is not from this service',
} as const satisfies Record<DeadReason, string> & Record<string, string>

/** A message in `postviews.dead`. A part that cannot be read is null. */
export interface DeadMessage {
  setAsideId: string | null
  /** One of `DEAD_REASONS`, as a rule: a broker of another version may know more. */
  reason: string
  /** ISO 8601; null when unknown. */
  setAsideAt: string | null
  sourceQueue: string | null
  /** Its place in the array it came in; null when it is the whole message. */
  index: number | null
  messageId: string | null
  /** Properties of its message that it lacks, because they could not be written again. */
  leftOut: string[]
  /** May hold personal data. */
  body: Buffer
}

export interface ReplayOptions {
  /** Only dead letters with one of these reasons; all by default. */
  reasons?: readonly string[]
  /** Older views stay: they would only become dead letters again. */
  maxAgeSeconds: number
}

export interface Replayed {
  /** Messages on their way to be counted. */
  replayed: number
  /** Messages that stay dead letters. */
  left: number
  /** Messages among `left` that match the reasons and are too old. */
  tooOld: number
  /** Messages among `left` that match the reasons and could not be sent. */
  failed: number
}

/** Another program may give every message its own reason; reasons beyond this number count as `unknown`. */
const MAX_REASONS = 1_000
const MAX_REASON_CHARACTERS = 200

/**
 * How a caller follows work on dead letters, and ends it: a `progress` that throws ends it at the next step, a `cut` that is
 * aborted ends it at once. What was done before stays done.
 */
export interface Followed {
  progress?: Progress
  cut?: AbortSignal
}

/**
 * Looks at all messages and hands over the first `limit`. All stay in the queue, but their order may change. Returns how
 * many there are for each reason.
 */
export function listDead(
  amqpUrls: readonly string[],
  limit: number,
  onMessage: (message: DeadMessage) => void,
  { progress = () => {}, cut }: Followed = {},
): Promise<Map<string, number>> {
  let shown = 0
  return onDeadQueue(amqpUrls, cut, async channel => {
    // On another node they may come in another order.
    if (shown > 0) throw new Error('the broker was lost while the dead letters were listed: list them again')
    const reasons = new Map<string, number>()
    for await (const { messages, seen, total } of windowsOf(channel)) {
      for (const message of messages) {
        const dead = toDeadMessage(message)
        const said = cutText(dead.reason, MAX_REASON_CHARACTERS)!
        const reason = reasons.size < MAX_REASONS || reasons.has(said) ? said : 'unknown'
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
        if (shown++ < limit) onMessage(dead)
      }
      progress('messages', seen, total)
    }
    // Nothing was acknowledged: everything goes back.
    return reasons
  })
}

/**
 * Publishes each message to our own queue again, and removes it from `postviews.dead` once that is confirmed. A crash in
 * between replays it twice; an event with an id still counts once. A message that cannot be sent stays, and the rest go on.
 */
export function replayDead(
  amqpUrls: readonly string[],
  options: ReplayOptions,
  onFailed: (message: DeadMessage, why: string) => void,
  { progress = () => {}, cut }: Followed = {},
): Promise<Replayed> {
  let replayed = 0
  return onDeadQueue(amqpUrls, cut, async (channel, connection) => {
    const replayedBefore = replayed
    const stayed = { left: 0, tooOld: 0, failed: 0 }
    const isWanted = ({ reason }: DeadMessage) => options.reasons?.includes(reason) ?? true
    for await (const { messages, seen, total } of windowsOf(channel)) {
      const wanted = messages.filter(message => isWanted(toDeadMessage(message)))
      const sent = wanted.filter(message => !isTooOld(message, options.maxAgeSeconds))
      for (const [message, failure] of await publishAgain(connection, sent)) {
        if (failure === null) {
          channel.ack(message)
          replayed++
        } else {
          onFailed(toDeadMessage(message), failure)
          stayed.failed++
        }
      }
      stayed.tooOld += wanted.length - sent.length
      stayed.left = seen - (replayed - replayedBefore)
      progress('messages', seen, total)
    }
    return { replayed, ...stayed }
  })
}

/**
 * Removes messages permanently: those older than `before` (Unix milliseconds) and of one of `reasons`; both are optional.
 */
export function purgeDead(
  amqpUrls: readonly string[],
  { before, reasons }: { before?: number; reasons?: readonly string[] },
  { progress = () => {}, cut }: Followed = {},
): Promise<number> {
  let purged = 0
  return onDeadQueue(amqpUrls, cut, async channel => {
    for await (const { messages, seen, total } of windowsOf(channel)) {
      for (const message of messages) {
        const dead = toDeadMessage(message)
        const isOld = before === undefined || timeOf(dead) < before
        if (!isOld || reasons?.includes(dead.reason) === false) continue
        channel.ack(message)
        purged++
      }
      progress('messages', seen, total)
    }
    return purged
  })
}

/** After this many young messages without a priority, all that follow are young as well. */
const MOST_YOUNG = 200

/**
 * Retention: removes messages older than `before` (Unix milliseconds) from the head of the queue, where the oldest are, and
 * stops as soon as it can. With `isWhole` it looks at all, and so finds messages that the broker dead-lettered with a
 * priority, and puts last. `onHeld` is told how many remaining messages are in hand, and so not in the broker's count.
 */
export function purgeOldDead(
  amqpUrls: readonly string[],
  before: number,
  onHeld: (messages: number) => void,
  { progress = () => {}, cut, isWhole = false }: Followed & { isWhole?: boolean } = {},
): Promise<number> {
  let purged = 0
  return onDeadQueue(amqpUrls, cut, async channel => {
    let kept = 0
    let young = 0
    for await (const { messages, seen, total } of windowsOf(channel)) {
      for (const message of messages) {
        const time = timeOf(toDeadMessage(message))
        if (time < before) {
          channel.ack(message)
          purged++
        } else {
          kept++
          // A message of unknown age, or one that its priority puts before older ones, says nothing about those behind it.
          if (time >= before && propertiesOf(message).priority === undefined) young++
        }
      }
      onHeld(kept)
      progress('messages', seen, total)
      if (young > MOST_YOUNG && !isWhole) break
    }
    return purged
  }).finally(() => onHeld(0))
}

function timeOf({ setAsideAt }: DeadMessage): number {
  return Date.parse(setAsideAt ?? '')
}

/** Whether only its age keeps it from being counted. */
function isTooOld(message: Message, maxAgeSeconds: number): boolean {
  const receivedAt = Date.now() / 1_000
  const { views, invalid } = decodeMessage(message.content, propertiesOf(message), {
    receivedAt,
    maxAgeSeconds,
    zoneTime,
  })
  // If the broker dead-lettered a whole array, its views that are not too old still count.
  return views.length === 0 && invalid.some(({ reason }) => reason === 'too_old')
}

const ANSWER_MS = 30_000
const CLOSE_MS = 5_000
const MAX_HEADER_BYTES = 40 * 1_024

/** Headers that the broker adds to a message. From a publisher they mean something else, or nothing. */
const BROKER_HEADERS = [
  'x-death',
  'x-first-death-exchange',
  'x-first-death-queue',
  'x-first-death-reason',
  'x-last-death-exchange',
  'x-last-death-queue',
  'x-last-death-reason',
  'x-opt-deaths',
]

/** For each message, why the broker did not take it; null if it did. */
async function publishAgain(
  connection: ChannelModel,
  messages: readonly Message[],
): Promise<Map<Message, string | null>> {
  const outcomes = new Map<Message, string | null>()
  if (messages.length === 0) return outcomes
  let refusal = await publishOn(connection, messages, outcomes)
  // When the broker refuses a message, it closes the channel and does not say which it was. So each gets its own channel.
  for (const message of messages) {
    if (outcomes.has(message)) continue
    refusal = await publishOn(connection, [message], outcomes)
    if (!outcomes.has(message)) outcomes.set(message, `the broker refuses it: ${describeError(refusal)}`)
  }
  return outcomes
}

/** Records the outcome of each message that was answered. Returns why the channel was closed, if it was. */
async function publishOn(
  connection: ChannelModel,
  messages: readonly Message[],
  outcomes: Map<Message, string | null>,
): Promise<Error | undefined> {
  const channel = await answered(connection.createConfirmChannel(), 'open a channel')
  const end: { refusal?: Error } = {}
  channel.on('error', (error: Error) => {
    end.refusal = error
  })
  // A return identifies its message only by the body; messages with the same body share an outcome.
  channel.on('return', ({ content }: Message) => {
    const returned = messages.find(message => !outcomes.has(message) && message.content.equals(content))
    if (returned !== undefined) outcomes.set(returned, `${VIEWS_QUEUE} is gone`)
  })
  const answers = messages.map(
    message =>
      new Promise<void>(resolve => {
        const settle = (failure: string | null) => {
          if (!outcomes.has(message)) outcomes.set(message, failure)
          resolve()
        }
        const without = [...OWN_HEADERS, ...BROKER_HEADERS]
        const { options } = carryOver(propertiesOf(message), without, MAX_HEADER_BYTES)
        const publish = { ...options, mandatory: true, persistent: true }
        try {
          channel.publish('', VIEWS_QUEUE, message.content, publish, error => {
            if (end.refusal !== undefined) resolve()
            else settle(error === null ? null : `the broker did not take it: ${describeError(error)}`)
          })
        } catch (error) {
          settle(describeError(error))
        }
      }),
  )
  await Promise.race([Promise.all(answers), sleep(ANSWER_MS, undefined, { ref: false })])
  if (end.refusal !== undefined) return end.refusal
  for (const message of messages) {
    if (!outcomes.has(message))
      outcomes.set(message, `the broker did not answer within ${ANSWER_MS / 1_000} s`)
  }
  // A broker without memory or disk left no longer reads from this connection, so it would never answer the close.
  await answered(channel.close(), 'close a channel', CLOSE_MS)
  return undefined
}

function toDeadMessage(message: Message): DeadMessage {
  const properties = propertiesOf(message)
  const { fields } = properties.allHeaders
  const text = (name: string): string | null => {
    const value = fields[name]
    return typeof value === 'string' ? value : null
  }
  const index = plainOf(fields, 'index')
  const leftOut = fields['left-out']
  return {
    setAsideId: text('set-aside-id'),
    reason: text('reason') ?? text('x-first-death-reason') ?? 'unknown',
    setAsideAt: isoTime(Date.parse(text('set-aside-at') ?? '')) ?? deadLetteredAt(fields['x-death']),
    sourceQueue: text('source-queue') ?? text('x-first-death-queue'),
    index: typeof index === 'number' ? index : null,
    messageId: properties.messageId ?? null,
    leftOut: Array.isArray(leftOut) ? leftOut.filter(name => typeof name === 'string') : [],
    body: message.content,
  }
}

/** When the broker dead-lettered a message, from its `x-death` header: the latest entry comes first. */
function deadLetteredAt(deaths: FieldValue | undefined): string | null {
  const [latest] = Array.isArray(deaths) ? deaths : []
  if (typeof latest !== 'object' || latest === null || !('time' in latest)) return null
  const seconds = plainOf(latest as Fields, 'time')
  return typeof seconds === 'number' ? isoTime(seconds * 1_000) : null
}

function plainOf(fields: Fields, name: string): unknown {
  const value = fields[name]
  return value === undefined ? undefined : plain(value)
}

/** Null if it is not a time, or beyond what a Date can hold. */
function isoTime(unixMs: number): string | null {
  const date = new Date(unixMs)
  return Number.isNaN(date.getTime()) ? null : date.toISOString()
}
