/** Loaded into a service before it starts. Reports on `LOOP_PORT` the longest delay of the event loop since the last request. */

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

/** The most CPU time of the thread between two samples. On a busy machine, the delay alone is mostly caused by other processes. */
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
