/** How our programs end when they are told to: in order where that is possible, and soon in any case. */

import { constants } from 'node:os'

/** Long work that has not ended at its next step by then is cut off: what it waits for may never come. */
const CUT_AFTER_MS = 3_000
/** Everything ends within 20 s of a signal. */
const DEADLINE_MS = 18_000
/** npm and the terminal may both pass on one Ctrl-C: what comes sooner than this is the same signal. */
const SAME_SIGNAL_MS = 1_000

/** Why work was ended before it was done. The next run goes on where this one was. */
export class Interrupted extends Error {
  override name = 'Interrupted'
  /** Null when no signal came: the process ends for a reason of its own. */
  readonly by: NodeJS.Signals | null

  constructor(by: NodeJS.Signals | null) {
    super('interrupted')
    this.by = by
  }
}

export interface Ending {
  /** Aborted with an `Interrupted` when the end begins: stop at the next step. */
  readonly signal: AbortSignal
  /** Aborted 3 s later: wait for nothing any more. */
  readonly cut: AbortSignal
  /** Begins the end without a signal. */
  begin(): void
  /** Everything is over: from now on a signal ends the process as if nobody listened. */
  finish(): void
}

export interface EndingOptions {
  onSignal?(signal: NodeJS.Signals): void
  /** The end takes longer than it may: the last moment to say something, before the process ends itself. */
  onOverdue?(): void
}

/**
 * Begins the end at the first SIGTERM or SIGINT. A second one, or the deadline, ends the process at once, whatever hangs:
 * a kill harms nothing here.
 */
export function endOnSignals({ onSignal, onOverdue }: EndingOptions): Ending {
  const stopping = new AbortController()
  const cutting = new AbortController()
  let begunAt: number | undefined
  let cutTimer: NodeJS.Timeout | undefined
  let deadline: NodeJS.Timeout | undefined

  const begin = (by: NodeJS.Signals | null) => {
    if (begunAt !== undefined) return
    begunAt = performance.now()
    cutTimer = setTimeout(() => cutting.abort(new Interrupted(by)), CUT_AFTER_MS)
    deadline = setTimeout(() => {
      onOverdue?.()
      endNow(by)
    }, DEADLINE_MS)
    // What is over by itself is not to wait for these.
    cutTimer.unref()
    deadline.unref()
    stopping.abort(new Interrupted(by))
  }
  const listener = (signal: NodeJS.Signals) => {
    if (begunAt === undefined) {
      onSignal?.(signal)
      begin(signal)
    } else if (performance.now() - begunAt > SAME_SIGNAL_MS) {
      endNow(signal)
    }
  }
  process.on('SIGTERM', listener).on('SIGINT', listener)
  return {
    signal: stopping.signal,
    cut: cutting.signal,
    begin: () => begin(null),
    finish() {
      clearTimeout(cutTimer)
      clearTimeout(deadline)
      process.off('SIGTERM', listener).off('SIGINT', listener)
    },
  }
}

/**
 * Ends the process by the signal, as whoever sent it expects: a shell says 130 or 143, and a script stops.
 * Only for a process that has nothing left that could hang.
 */
export function endBy(signal: NodeJS.Signals): never {
  raise(signal)
  // Process 1 of a container has no default for signals.
  process.exit(128 + constants.signals[signal])
}

/** `process.exit` joins all threads, and so waits for the statement that SQLite is at in one of them. This does not. */
function endNow(signal: NodeJS.Signals | null): never {
  raise(signal ?? 'SIGKILL')
  // Process 1 of a container cannot be killed by itself, but it can fail.
  process.abort()
}

function raise(signal: NodeJS.Signals): void {
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
}
