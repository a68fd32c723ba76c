/** Shutdown of our programs on a signal: in order if possible, and soon in any case. */

import { constants } from 'node:os'

/** Long work stops at its next step, or is cut off after this time: what it waits for may never come. */
const CUT_AFTER_MS = 3_000
/** Everything ends within 20 s of a signal. */
const DEADLINE_MS = 18_000
/** npm and the terminal may both pass on one Ctrl-C: a second signal within this time counts as the same one. */
const SAME_SIGNAL_MS = 1_000

/** Why work was ended before it was done. The next run continues where this one stopped. */
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
  /** Aborted with an `Interrupted` when shutdown begins: stop at the next step. */
  readonly signal: AbortSignal
  /** Aborted 3 s later: stop waiting for anything. */
  readonly cut: AbortSignal
  /** Begins shutdown without a signal. */
  begin(): void
  /** Shutdown is complete: from now on a signal has its default effect. */
  finish(): void
}

export interface EndingOptions {
  onSignal?(signal: NodeJS.Signals): void
  /** Shutdown has passed its deadline: the last chance to log something before the process kills itself. */
  onOverdue?(): void
}

/**
 * Begins shutdown at the first SIGTERM or SIGINT. A second one, or the deadline, ends the process at once, even
 * if something hangs: a kill harms nothing here.
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
    // A process that has finished must not wait for these.
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
 * Ends the process by the signal, as its sender expects: a shell says 130 or 143, and a script stops.
 * Only for a process in which nothing can hang any more.
 */
export function endBy(signal: NodeJS.Signals): never {
  raise(signal)
  // Process 1 of a container ignores signals that it does not handle.
  process.exit(128 + constants.signals[signal])
}

/** `process.exit` joins all threads, so it waits for a SQLite statement that runs in one of them. This does not. */
function endNow(signal: NodeJS.Signals | null): never {
  raise(signal ?? 'SIGKILL')
  // Process 1 of a container cannot kill itself, but it can abort.
  process.abort()
}

function raise(signal: NodeJS.Signals): void {
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
}
