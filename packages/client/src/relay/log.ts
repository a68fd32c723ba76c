/** The relay's log: JSON lines, as the service's. Never an event, nor any part of one. */

import type { LogEntry } from '../log.ts'
import { LogLines } from '../log-lines.ts'

/** Every event that is logged, and what it means to the person on call; includes the tracker's `broker.` events. */
export const RELAY_LOG_EVENTS = {
  'relay.started': 'the relay accepts views, with these settings',
  'relay.stopping':
    'a signal came: the relay accepts no more views, and publishes those in the spool for 5 s at most',
  'relay.stopped': 'the views that are not published are in the spool, which has `spoolBytes` bytes',
  'relay.overdue': 'a part has not stopped within 18 s: the process kills itself with the signal',
  'relay.failed': 'the process ends because it cannot continue; the message says what to do',
  'view.refused': 'events were refused: how many, by reason, since the last such line',
  'spool.full':
    'the spool has reached RELAY_MAX_BYTES: views are refused until the broker takes some of its views',
  'spool.unwritable': 'the disk refuses writes: views are refused, but the relay tries to write each of them',
  'spool.writable': 'the disk accepts writes again',
  'spool.unreadable': 'the spool cannot be read; the relay tries again each second',
  'spool.damaged':
    'some bytes of the spool are damaged: the view that stood there is lost, and those after it are published',
  'spool.unfinished':
    'a segment ends with an incomplete record, because its process was killed while it wrote; no sender was told `ok` for it',
  'connection.displaced': 'there were too many connections: the one that was quiet for longest was closed',
  'connection.unfinished':
    'a connection was closed because a line on it was not complete within 10 s: its sender may have left out the line feed',
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

  /** Logs an event of the publisher, which leaves rate limiting to us. */
  broker(event: LogEntry['event'], detail: string): void {
    this.#rarely(GOOD_NEWS.includes(event) ? 'info' : 'warn', event, { detail })
  }

  /** Ends the process, after at most a second in which the last lines may be read. */
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
