/**
 * A process that tracks numbered events until it is killed, and keeps saying, a line each, how it stands. Started
 * with the broker's URL as its argument.
 */

import { writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createTracker } from '@postviews/client/src/index.ts'
import { numbered } from './published.ts'

const tracker = createTracker({ url: process.argv[2] ?? '', log: () => {} })
for (let n = 1; ; n++) {
  tracker.trackView(numbered(n))
  if (n % 7 !== 0) continue
  // Written at once, so that the parent never knows less than was true when this process died.
  writeSync(1, `${JSON.stringify(tracker.stats())}\n`)
  await sleep(1)
}
