/**
 * Wires the blog: builds everything here, in start order, and stops it in reverse. A copy of this blog imports
 * '@postviews/client'; here the blog uses the client's source, like the rest of this repository.
 */

import { once } from 'node:events'
import { endOnSignals } from '@postviews/client/src/ending.ts'
import { createStats, createTracker } from '@postviews/client/src/index.ts'
import { LogLines } from '@postviews/client/src/log-lines.ts'
import { pino } from 'pino'
import { buildBlog } from './app.ts'
import { type Config, ConfigError, readConfig } from './config.ts'
import { loadPosts } from './posts.ts'

/** A page that takes longer is worse than one that says it does not know. */
const STATS_TIMEOUT_MS = 1_000

async function run(config: Config): Promise<void> {
  // A slow reader of stdout blocks nothing.
  const lines = new LogLines({ onRoom: dropped => log.warn({ lines: dropped }, 'log.dropped') })
  const log = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime, messageKey: 'event' }, lines)
  const ending = endOnSignals({ onSignal: signal => log.info({ signal }, 'blog.stopping') })
  const tracker = createTracker({
    url: config.amqpUrls,
    appId: 'odd-hours',
    log: ({ event, ...entry }) => log[event.endsWith('.connected') ? 'info' : 'warn'](entry, event),
  })
  const stats = createStats({ baseUrl: config.analyticsUrl, key: config.apiKey, timeoutMs: STATS_TIMEOUT_MS })
  const app = await buildBlog({
    ...config,
    posts: loadPosts(config.sampleDay ?? new Date().toISOString().slice(0, 10)),
    tracker,
    stats,
    log,
  })

  try {
    log.info({ address: await app.listen({ host: config.host, port: config.port }) }, 'blog.started')
  } catch (cause) {
    await tracker.close(0)
    throw new Error(`cannot listen on HOST ${config.host}, PORT ${config.port}`, { cause })
  }
  if (!ending.signal.aborted) await once(ending.signal, 'abort')

  // First finish open requests, then the views from them that the broker has not confirmed yet.
  await app.close()
  await tracker.close()
  log.info(tracker.stats(), 'blog.stopped')
  ending.finish()
  await lines.leave(0)
}

try {
  await run(readConfig(process.env))
} catch (error) {
  console.error(`blog: ${(error as Error).message}`)
  process.exitCode = error instanceof ConfigError ? 2 : 1
}
