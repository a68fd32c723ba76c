export interface LogEntry {
  event:
    | 'broker.connected'
    | 'broker.lost'
    | 'broker.blocked'
    | 'broker.unblocked'
    | 'relay.connected'
    | 'relay.lost'
    | 'topology.refused'
    | 'message.returned'
    | 'message.refused'
    | 'event.dropped'
    | 'view.invalid'
  /** Never holds any part of an event, nor a password. */
  detail: string
  /** Entries of this name that were left out since the last one. */
  suppressed: number
}

export type Log = (event: LogEntry['event'], detail: string) => void

const INTERVAL_MS = 10_000

/** Passes on at most one entry of each name in 10 s, by default to stderr. What the sink throws is ignored. */
export function rateLimited(sink: (entry: LogEntry) => void = toStderr): Log {
  const logged = new Map<LogEntry['event'], { nextAtMs: number; suppressed: number }>()
  return (event, detail) => {
    const now = performance.now()
    const last = logged.get(event)
    if (last !== undefined && now < last.nextAtMs) {
      last.suppressed++
      return
    }
    logged.set(event, { nextAtMs: now + INTERVAL_MS, suppressed: 0 })
    callSafely(sink, { event, detail, suppressed: last?.suppressed ?? 0 })
  }
}

function toStderr({ event, detail, suppressed }: LogEntry): void {
  console.warn(`postviews ${event}: ${detail}${suppressed === 0 ? '' : ` (and ${suppressed} more)`}`)
}

/** Calls a callback from a user of this package; what it throws, now or later, must not reach our caller. */
export function callSafely<Args extends unknown[]>(
  callback: ((...args: Args) => unknown) | undefined,
  ...args: Args
): void {
  try {
    const result = callback?.(...args)
    if (result instanceof Promise) result.catch(() => {})
  } catch {
    // Reporting is what failed, so there is nowhere to report it.
  }
}

/** The message of an error; some that Node throws have none, only a code. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `: ${describe(error.cause)}`
  return `${ownWords(error)}${cause}`
}

function ownWords(error: Error): string {
  if (error.message !== '') return error.message
  // A host name with several addresses, none of which answers: the error itself has no message.
  if (error instanceof AggregateError) return error.errors.map(describe).join('; ')
  return 'code' in error ? String(error.code) : error.name
}
