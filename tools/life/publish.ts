/** Publishes what the simulated readers do as any Frontend would: through the client, and in no other way. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Tracker } from '@postviews/client/src/index.ts'
import type { TimedView } from './visits.ts'

/** Unconfirmed at most: far below what the tracker would drop. */
const MAX_PENDING = 5_000
const PAUSE_MS = 10
/** What should have happened longer ago did not: the machine slept, and so did the readers. */
const MAX_LATE_MS = 2_000

/** As fast as the broker takes them. Resolves when it has confirmed all of them, or the signal says stop. */
export async function publishAll(
  views: readonly TimedView[],
  tracker: Pick<Tracker, 'trackView' | 'stats'>,
  signal: AbortSignal,
): Promise<void> {
  for (const { event } of views) {
    while (tracker.stats().pending >= MAX_PENDING && !signal.aborted) await sleep(PAUSE_MS)
    if (signal.aborted) return
    tracker.trackView(event)
  }
  while (tracker.stats().pending > 0 && !signal.aborted) await sleep(PAUSE_MS)
}

/** Each at its time, until the signal says stop. */
export async function publishLive(
  views: Iterable<TimedView>,
  tracker: Pick<Tracker, 'trackView'>,
  signal: AbortSignal,
): Promise<void> {
  for (const { atMs, event } of views) {
    const waitMs = atMs - Date.now()
    // Rejects when the signal comes, which the next line sees.
    if (waitMs > 0) await sleep(waitMs, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    if (waitMs > -MAX_LATE_MS) tracker.trackView(event)
  }
}
