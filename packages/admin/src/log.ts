/** Logs: JSON lines under fixed event names. Never an address, a password, a session or a key. */

import { LogLines } from '@postviews/client/log-lines'
import { type Logger, pino } from 'pino'

export type Log = Logger

/** Every event that is logged, and what it means to the person on call. */
export const LOG_EVENTS = {
  'panel.started': 'the panel listens',
  'panel.stopping': 'a signal came: what was asked is still answered',
  'panel.stopped': 'the process ends',
  'panel.overdue': 'something has not ended within 18 s: the process ends itself by the signal',
  'panel.failed': 'the process ends because it cannot go on',
  'password.short': 'ADMIN_PASSWORD has under 12 characters',
  'sign_in.done': 'somebody signed in',
  'sign_in.refused': 'a wrong password, or too many attempts: many of these in a row are somebody guessing',
  'analytics.lost': 'the internal API does not answer, or refuses the key: the last numbers are shown as old',
  'analytics.back': 'the internal API answers again',
  'posts.lost': 'the posts service does not answer: ids are shown where titles are not known yet',
  'posts.back': 'the posts service answers again',
  'log.dropped':
    'whoever reads the log did not: so many lines were dropped since, and nothing else waited for them',
  'request.failed': 'a page could not be made',
  'request.cut': 'a file could not be read to its end, so its connection was ended: it does not look whole',
} as const

/** `lines` takes what is logged; nothing waits for whoever reads them. */
export function createLog(level: string, lines = new LogLines()): Log {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, messageKey: 'event' }, lines)
}

/** What is safe to say of an error: its message, and those of its causes. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `: ${describeError(error.cause)}`
  return `${error.message}${cause}`
}
