/** Publishes the simulated readers' views through the client, as a real Frontend does. */

import { setTimeout as sleep } from 'node:timers/promises'
import type { Tracker } from '@postviews/client/src/index.ts'
import type { TimedView } from './visits.ts'

/** Unconfirmed events at most: far below the number at which the tracker drops events. */
const MAX_PENDING = 5_000
const PAUSE_MS = 10
/** Views later than this are skipped: the machine slept, and so did the readers. */
const MAX_LATE_MS = 2_000

/** Publishes as fast as the broker confirms. Resolves when all are confirmed, or the signal is aborted. */
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

/** Publishes each view at its time, until the signal is aborted. */
export async function publishLive(
  views: Iterable<TimedView>,
  tracker: Pick<Tracker, 'trackView'>,
  signal: AbortSignal,
): Promise<void> {
  for (const { atMs, event } of views) {
    const waitMs = atMs - Date.now()
    // Rejects when the signal is aborted; the next line checks that.
    if (waitMs > 0) await sleep(waitMs, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
    if (waitMs > -MAX_LATE_MS) tracker.trackView(event)
  }
}
