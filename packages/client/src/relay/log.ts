/** The relay's log: JSON lines, as the service's. Never an event, nor anything of one. */

import type { LogEntry } from '../log.ts'
import { LogLines } from '../log-lines.ts'

/** Every event that is logged, and what it means to the person on call; with those of the tracker that begin `broker.`. */
export const RELAY_LOG_EVENTS = {
  'relay.started': 'views are taken, with these settings',
  'relay.stopping':
    'a signal came: nothing more is taken, and what is in the spool is published for 5 s at most',
  'relay.stopped': 'what is not published is in the spool, so many bytes of it',
  'relay.overdue': 'a part has not ended within 18 s: the process ends itself with the signal',
  'relay.failed': 'the process ends because it cannot continue; the message says what to do',
  'view.refused': 'events were refused: how many, by reason, since the last such line',
  'spool.full': 'the spool has RELAY_MAX_BYTES: views are refused until the broker takes what is in it',
  'spool.unwritable': 'the disk does not take what is written: views are refused, and each is tried',
  'spool.writable': 'the disk takes what is written again',
  'spool.unreadable': 'what is in the spool cannot be read; it is tried again each second',
  'spool.damaged':
    'bytes of the spool are no record any more: whatever view stood there is lost, the ones behind it are published',
  'spool.unfinished':
    'a segment ends within a record, because its process was killed while it wrote; nobody was told that it was taken',
  'connection.displaced': 'more connections than the relay has room for: the quietest one was ended',
  'connection.unfinished':
    'a connection was ended because a line on it had no end within 10 s: whoever sends it may have left out the line feed',
  'log.dropped': 'this many log lines were dropped because stdout was not read in time',
} as const

export type RelayLogEvent = keyof typeof RELAY_LOG_EVENTS

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** As pino numbers them. */
const NUMBERS: Record<LogLevel, number> = { debug: 20, info: 30, warn: 40, error: 50, fatal: 60, silent: 100 }
const RARELY_MS = 10_000
const GOOD_NEWS: readonly string[] = ['broker.connected', 'broker.unblocked'] satisfies LogEntry['event'][]

type Fields = Record<string, unknown>

export class RelayLog {
  readonly #least: number
  readonly #lines: LogLines
  readonly #rare = new Map<string, { nextAtMs: number; suppressed: number }>()

  constructor(level: LogLevel) {
    this.#least = NUMBERS[level]
    this.#lines = new LogLines({ onRoom: lines => this.write('warn', 'log.dropped', { lines }) })
  }

  write(level: LogLevel, event: RelayLogEvent, fields: Fields = {}): void {
    this.#write(level, event, fields)
  }

  /** At most one line of that name in 10 s; the next one says how many were left out. */
  rarely(level: LogLevel, event: RelayLogEvent, fields: Fields = {}): void {
    this.#rarely(level, event, fields)
  }

  /** What the publisher has to tell; it leaves repetitions to us. */
  broker(event: LogEntry['event'], detail: string): void {
    this.#rarely(GOOD_NEWS.includes(event) ? 'info' : 'warn', event, { detail })
  }

  /** Ends the process, after a moment in which what was logged last may be read. */
  leave(exitCode: number): Promise<never> {
    return this.#lines.leave(exitCode)
  }

  #rarely(level: LogLevel, event: string, fields: Fields): void {
    const now = performance.now()
    const last = this.#rare.get(event)
    if (last !== undefined && now < last.nextAtMs) {
      last.suppressed++
      return
    }
    this.#rare.set(event, { nextAtMs: now + RARELY_MS, suppressed: 0 })
    const suppressed = last?.suppressed ?? 0
    this.#write(level, event, suppressed === 0 ? fields : { ...fields, suppressed })
  }

  #write(level: LogLevel, event: string, fields: Fields): void {
    if (NUMBERS[level] < this.#least) return
    const time = new Date().toISOString()
    this.#lines.write(`${JSON.stringify({ level: NUMBERS[level], time, ...fields, event })}\n`)
  }
}
