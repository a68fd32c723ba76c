/**
 * A process that tracks numbered events until it is killed, and keeps printing its statistics, one line each. Its argument is the
 * broker's URL.
 */

import { writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createTracker } from '@postviews/client/src/index.ts'
import { numbered } from './published.ts'

const tracker = createTracker({ url: process.argv[2] ?? '', log: () => {} })
for (let n = 1; ; n++) {
  tracker.trackView(numbered(n))
  if (n % 7 !== 0) continue
  // Written synchronously, so that the parent's last line is up to date when this process dies.
  writeSync(1, `${JSON.stringify(tracker.stats())}\n`)
  await sleep(1)
}
