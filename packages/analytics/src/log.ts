/** Logs: JSON lines under fixed event names. Never a payload, an address, a user agent, a key or a credential. */

import { LogLines } from '@postviews/client/log-lines'
import { type Logger, pino } from 'pino'

export type Log = Logger

/** Every event that is logged, and what it means to the person on call. */
export const LOG_EVENTS = {
  'service.started': 'the process runs and has said on what settings',
  'service.stopping': 'a signal came: what is in hand is committed and acknowledged, then the process ends',
  'service.end_failed': 'a part did not end well; the others are ended all the same',
  'service.overdue':
    'a part has not ended within 18 s: the process ends itself by the signal. What was not acknowledged is delivered again',
  'service.stopped': 'everything in hand was committed and acknowledged',
  'service.failed': 'the process ends because it cannot go on; the message says what to do',
  'hosts.outdated':
    'SITE_HOSTS is a list that another has replaced: what is recorded is used; `postviews migrate` goes back',
  'key.short': 'a key of the internal API has under 16 characters',
  'batch.stored': 'a batch is committed (debug level: see the metrics)',
  'view.dead_lettered':
    'events that cannot be counted become dead letters, with the reasons and how many of each',
  'view.dead_letter_waits':
    'the broker refuses dead letters, or does not answer; their messages stay unacknowledged',
  'view.discarded':
    'dead letters are given up, because they were refused for long (`refused`) or DEAD_MAX_BYTES is reached (`full`): how many, by reason',
  'view.properties_left_out':
    'a dead letter goes without the properties of its message, which cannot be written again',
  'store.lost': 'the store does not take a batch: consuming pauses, the batch is held and tried again',
  'store.broken':
    'the store refuses what no retry cures, at the step that is named: nothing is consumed, what was in hand is back in its queue, and the store is tried once a minute',
  'store.warning':
    'the store is used, but somebody should look at its files: what is wrong with them, and what to do',
  'store.back': 'the store takes batches again',
  'day.key_replaced':
    'a day that this process counts on was closed by another, with a shorter EVENT_MAX_AGE or a clock that is ahead: it is opened again, and its views count',
  'day.reopened': 'days that were closed are open again to the end: their unique views are exact',
  'day.reopening_waits':
    'the store is away while a day is being opened again; it goes on afterwards (debug level)',
  'broker.connected': 'consuming from the broker',
  'broker.lost': 'the connection is gone or refused; it is tried again for ever',
  'queue.lost': 'the broker ended a consumer (its queue was deleted, say); it is made anew',
  'queue.left_alone': 'a queue is a stream, or exclusive to another connection: it is not consumed',
  'prune.done': 'retention removed what was over',
  'prune.failed': 'retention could not run; it is tried again',
  'adoption.progress':
    'the database is brought to this version; tables of the article are adopted with their data',
  'agreement.replaced':
    'this process recorded something new that all processes must agree on, such as newer zone rules or another SITE_HOSTS; processes that still count by the old stop before their next batch',
  'log.dropped':
    'whoever reads the log did not: so many lines were dropped since, and nothing else waited for them',
  'request.failed': 'the internal API could not answer',
} as const

export type LogEvent = keyof typeof LOG_EVENTS

/** `lines` takes what is logged; nothing waits for whoever reads them. */
export function createLog(level: string, lines = new LogLines()): Log {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, messageKey: 'event' }, lines)
}

/** What is safe to say of an error: its kind and message, and those of its causes. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const cause = error.cause === undefined ? '' : `: ${describeError(error.cause)}`
  // A name with several addresses, of which none answers: the error itself says nothing.
  if (error instanceof AggregateError && error.message === '')
    return `${error.errors.map(describeError).join('; ')}${cause}`
  return `${error.message}${error.message.includes(code) ? '' : ` (${code})`}${cause}`
}
