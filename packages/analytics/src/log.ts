/** Logs: JSON lines under fixed event names. Never a payload, an address, a user agent, a key or a credential. */

import { LogLines } from '@postviews/client/src/log-lines.ts'
import { type Logger, pino } from 'pino'

export type Log = Logger

/** Every event that is logged, and what it means to the person on call. */
export const LOG_EVENTS = {
  'service.started': 'the process runs, with these settings',
  'service.stopping':
    'a signal came: batches under way are committed and acknowledged, then the process ends',
  'service.end_failed': 'a part failed to stop; the other parts are stopped all the same',
  'service.overdue':
    'a part has not stopped within 18 s: the process kills itself with the signal. Unacknowledged messages are delivered again',
  'service.stopped': 'everything received was committed and acknowledged',
  'service.failed': 'the process ends because it cannot continue; the message says what to do',
  'hosts.outdated':
    'SITE_HOSTS is a list that was replaced in the database: the recorded list is used; `postviews migrate` records the old one again',
  'key.short': 'a key of the internal API has fewer than 16 characters',
  'batch.stored': 'a batch is committed (debug level: see the metrics)',
  'view.dead_lettered': 'events that cannot be counted became dead letters: how many, by reason',
  'view.dead_letter_waits':
    'the broker refuses dead letters, or does not answer; their messages stay unacknowledged',
  'view.discarded':
    'bad events were discarded because the broker has refused dead letters for long (`refused`) or DEAD_MAX_BYTES is reached (`full`): how many, by reason',
  'view.properties_left_out':
    'a dead letter was published without the properties of its message, which could not be encoded',
  'store.lost': 'the store does not take a batch: consuming pauses, and the batch is retried',
  'store.broken':
    'the store fails at the named step in a way that no retry cures: nothing is consumed, unacknowledged messages are back in their queues, and the store is tried once a minute',
  'store.warning':
    'the store is used, but something is wrong with its files; the message says what, and what to do',
  'store.back': 'the store takes batches again',
  'roll.lost':
    'recorded views cannot be counted for now (ClickHouse): they are kept, the numbers grow older, and counting is tried again',
  'roll.back': 'recorded views are counted again',
  'day.key_replaced':
    'another process, with a shorter EVENT_MAX_AGE or a clock that is ahead, closed a day while this one was counting on it: the day was reopened, and its views are counted',
  'day.reopened': 'closed days are completely open again: their unique views are exact',
  'day.reopening_waits':
    'the store is down while a day is being reopened; reopening continues afterwards (debug level). At error level: the store fails at the named step in a way that no retry cures',
  'broker.connected': 'consuming from the broker',
  'broker.lost': 'the connection is lost or refused; it is retried for ever',
  'queue.lost':
    'the broker ended a consumer (its queue was deleted, for example); the queue is declared again',
  'queue.left_alone':
    'a queue is a stream, or exclusive to another connection, or on a node of a cluster that is down or silent: it is not consumed',
  'prune.done': 'retention removed what was due',
  'prune.failed': 'retention failed; it is tried again',
  'adoption.progress':
    'the database is being upgraded to this version; existing tables are being adopted with their data',
  'agreement.replaced':
    'this process recorded a new value that all processes must share, such as newer zone rules or another SITE_HOSTS; processes with the old value stop before their next batch',
  'log.dropped':
    'this many log lines were dropped because stdout was not read in time; nothing else was delayed',
  'request.failed': 'the internal API could not answer',
} as const

export type LogEvent = keyof typeof LOG_EVENTS

/** `lines` takes what is logged; the service never waits for its reader. */
export function createLog(level: string, lines = new LogLines()): Log {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, messageKey: 'event' }, lines)
}

/** What is safe to log of an error: its message and code, and those of its causes. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const cause = error.cause === undefined ? '' : `: ${describeError(error.cause)}`
  // A name with several addresses, none of which answers: the error itself has no message.
  if (error instanceof AggregateError && error.message === '')
    return `${error.errors.map(describeError).join('; ')}${cause}`
  return `${error.message}${error.message.includes(code) ? '' : ` (${code})`}${cause}`
}
