import { isUtf8 } from 'node:buffer'
import { encodeView } from '../encode.ts'
import { INVALID_REASONS, type InvalidReason, type ViewEvent, whyInvalid } from '../view.ts'
import type { RelayLog } from './log.ts'
import { isTemporary, MAX_EVENT_BYTES, TEMPORARY_REASONS, type TemporaryReason } from './protocol.ts'
import { encodeRecord } from './record.ts'
import type { Spool } from './spool.ts'

export { isTemporary, TEMPORARY_REASONS } from './protocol.ts'

const TEMPORARY = Object.keys(TEMPORARY_REASONS) as TemporaryReason[]
export type RefusedReason = TemporaryReason | InvalidReason

/** Undefined: the event is in the spool. `unknown`: it may be; the sender gets no answer, so that it sends the event again. */
export type Outcome = RefusedReason | 'unknown' | undefined
export type Answer = (outcome: Outcome) => void

const REPORT_EVERY_MS = 10_000

/** The line that answers an event. */
export function answerLine(reason: RefusedReason | undefined): string {
  return reason === undefined ? 'ok\n' : `refused: ${reason}: ${wordsOf(reason)}\n`
}

function wordsOf(reason: RefusedReason): string {
  if (isTemporary(reason)) return TEMPORARY_REASONS[reason]
  return reason === 'too_large' ? `the event is over ${MAX_EVENT_BYTES} bytes` : INVALID_REASONS[reason]
}

/** Checks each event, from the socket or from HTTP, gives it an id and a time, and appends it to the spool. */
export class Intake {
  readonly #spool: Spool
  readonly #log: RelayLog
  /** The temporary reasons start at 0, because an alert on `increase()` misses a series that begins above 0. */
  readonly #refused = new Map<RefusedReason, number>(TEMPORARY.map(reason => [reason, 0]))
  readonly #untold = new Map<RefusedReason, number>()
  #reportTimer: NodeJS.Timeout | undefined
  #reportedAtMs = -REPORT_EVERY_MS
  #accepted = 0
  #isStopping = false

  constructor(spool: Spool, log: RelayLog) {
    this.#spool = spool
    this.#log = log
  }

  /** Events that are, or were, in the spool. */
  get accepted(): number {
    return this.#accepted
  }

  get refused(): ReadonlyMap<RefusedReason, number> {
    return this.#refused
  }

  /** One event, as a line. */
  acceptLine(line: Buffer, answer: Answer): void {
    this.#accept(readLine(line), answer)
  }

  /** One event, parsed from JSON. */
  acceptEvent(event: unknown, answer: Answer): void {
    this.#accept(readEvent(event), answer)
  }

  get isStopping(): boolean {
    return this.#isStopping
  }

  /** From now on everything is refused. */
  stop(): void {
    this.#isStopping = true
  }

  refuse(reason: RefusedReason, answer: Answer): void {
    this.#refused.set(reason, (this.#refused.get(reason) ?? 0) + 1)
    this.#untold.set(reason, (this.#untold.get(reason) ?? 0) + 1)
    if (reason === 'full') this.#log.rarely('error', 'spool.full')
    const waitMs = Math.max(0, this.#reportedAtMs + REPORT_EVERY_MS - performance.now())
    this.#reportTimer ??= setTimeout(() => this.report(), waitMs).unref()
    answer(reason)
  }

  /** Logs what was refused since the last report. */
  report(): void {
    clearTimeout(this.#reportTimer)
    this.#reportTimer = undefined
    if (this.#untold.size === 0) return
    this.#reportedAtMs = performance.now()
    this.#log.write('warn', 'view.refused', { reasons: Object.fromEntries(this.#untold) })
    this.#untold.clear()
  }

  #accept(read: Accepted, answer: Answer): void {
    if (this.#isStopping || 'reason' in read) {
      this.refuse('reason' in read ? read.reason : 'stopping', answer)
      return
    }
    this.#spool.append(read.record, noRoom => {
      if (noRoom === undefined) {
        this.#accepted++
        answer(undefined)
      } else if (noRoom === 'unknown') {
        answer(noRoom)
      } else {
        this.refuse(noRoom, answer)
      }
    })
  }
}

/** The record of an event, or why it is invalid. */
type Accepted = { record: string } | { reason: InvalidReason }

function readLine(line: Buffer): Accepted {
  if (line.length > MAX_EVENT_BYTES) return { reason: 'too_large' }
  if (!isUtf8(line)) return { reason: 'not_utf8' }
  let event: unknown
  try {
    event = JSON.parse(line.toString('utf8'))
  } catch {
    return { reason: 'not_json' }
  }
  return readEvent(event)
}

function readEvent(event: unknown): Accepted {
  // Checked before `encodeView`, which turns some invalid values into valid ones for callers in the same process.
  const reason = whyInvalid(event)
  if (reason !== undefined) return { reason }
  const encoded = encodeView(event as ViewEvent)
  if (encoded === 'unserializable') return { reason: 'not_an_event' }
  if (encoded === 'too_large' || encoded.bytes > MAX_EVENT_BYTES) return { reason: 'too_large' }
  // A valid event has a UUID as its id.
  return { record: encodeRecord({ id: encoded.id!, json: encoded.json }) }
}
