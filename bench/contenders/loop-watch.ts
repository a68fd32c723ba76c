/** Loaded into a service before it starts: tells on `LOOP_PORT` for how long its event loop was held since it was last asked. */

import { createServer } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'

const SAMPLE_MS = 2

if (isMainThread) {
  const delay = monitorEventLoopDelay({ resolution: SAMPLE_MS })
  delay.enable()
  const cpu = watchCpu()
  createServer((_request, response) => {
    response.end(JSON.stringify({ maxMs: delay.max / 1e6, maxCpuMs: cpu.takeMaxMs() }))
    delay.reset()
  })
    .listen(Number(process.env['LOOP_PORT']), '127.0.0.1')
    .unref()
}

/** What the thread computed at most from one sample to the next: on a busy machine the delay alone is mostly that of others. */
function watchCpu(): { takeMaxMs(): number } {
  let maxMs = 0
  let last = spentMs()
  setInterval(() => {
    const now = spentMs()
    maxMs = Math.max(maxMs, now - last)
    last = now
  }, SAMPLE_MS).unref()
  return {
    takeMaxMs() {
      const taken = maxMs
      maxMs = 0
      return taken
    },
  }
}

function spentMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1_000
}
