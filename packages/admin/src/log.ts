/** Logs: JSON lines under fixed event names. Never an address, a password, a session or a key. */

import { LogLines } from '@postviews/client/src/log-lines.ts'
import { type Logger, pino } from 'pino'

export type Log = Logger

/** Every event that is logged, and what it means to the person on call. */
export const LOG_EVENTS = {
  'panel.started': 'the panel listens',
  'panel.stopping': 'a signal came; requests under way are still answered',
  'panel.stopped': 'the process ends',
  'panel.overdue': 'a part has not stopped within 18 s: the process kills itself with the signal',
  'panel.failed': 'the process ends because it cannot continue',
  'password.short': 'ADMIN_PASSWORD has fewer than 12 characters',
  'sign_in.done': 'somebody signed in',
  'sign_in.refused': 'a wrong password, or too many attempts; many in a row: somebody is guessing',
  'analytics.lost':
    'the internal API does not answer or refuses the key; the last numbers are shown, marked as old',
  'analytics.back': 'the internal API answers again',
  'posts.lost': 'the posts service does not answer; posts without a known title are shown by their ids',
  'posts.back': 'the posts service answers again',
  'log.dropped':
    'this many log lines were dropped because stdout was not read in time; nothing else was delayed',
  'request.failed': 'a page could not be created',
  'request.cut':
    'a download could not be completed, so its connection was closed: the file does not look complete',
} as const

/** `lines` takes what is logged; logging never waits for its reader. */
export function createLog(level: string, lines = new LogLines()): Log {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, messageKey: 'event' }, lines)
}

/** What is safe to say of an error: its message, and those of its causes. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `: ${describeError(error.cause)}`
  // A host name with several addresses, none of which answers: the error itself has no message.
  if (error instanceof AggregateError && error.message === '')
    return `${error.errors.map(describeError).join('; ')}${cause}`
  return `${error.message}${cause}`
}
