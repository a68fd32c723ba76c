/** The panel's one wiring: everything is built here, in the order it starts, and ended in reverse. */

import { once } from 'node:events'
import { endOnSignals } from '@postviews/client/src/ending.ts'
import { createStats } from '@postviews/client/src/index.ts'
import { LogLines } from '@postviews/client/src/log-lines.ts'
import { buildPanel } from './app.ts'
import { ConfigError, readConfig } from './config.ts'
import { createLog, describeError } from './log.ts'
import { createPosts } from './posts.ts'

/** How long a page waits for Analytics before it says that Analytics is unavailable. */
const STATS_TIMEOUT_MS = 3_000
const SHORT_PASSWORD_CHARACTERS = 12

/** Runs until a signal ends it (0), or until it cannot go on (1). */
async function runPanel(): Promise<void> {
  const config = readConfig(process.env)
  const lines = new LogLines({ onRoom: dropped => log.warn({ lines: dropped }, 'log.dropped') })
  const log = createLog(config.logLevel, lines)
  const ending = endOnSignals({
    onSignal: signal => log.info({ signal }, 'panel.stopping'),
    onOverdue: () => log.fatal('panel.overdue'),
  })
  if (config.adminPassword.length < SHORT_PASSWORD_CHARACTERS) log.warn('password.short')
  const panel = buildPanel({
    ...config,
    stats: createStats({ baseUrl: config.analyticsUrl, key: config.apiKey, timeoutMs: STATS_TIMEOUT_MS }),
    posts: createPosts({ url: config.postsUrl, log }),
    log,
  })
  let exitCode = 0
  try {
    await panel.listen({ host: config.host, port: config.port })
    log.info(
      { address: `http://${config.host}:${config.port}`, analytics: config.analyticsUrl },
      'panel.started',
    )
    if (!ending.signal.aborted) await once(ending.signal, 'abort')
  } catch (error) {
    log.fatal({ error: describeError(error) }, 'panel.failed')
    exitCode = 1
  }
  await panel.close()
  if (exitCode === 0) log.info('panel.stopped')
  ending.finish()
  await lines.leave(exitCode)
}

await runPanel().catch((error: unknown) => {
  if (!(error instanceof ConfigError)) throw error
  console.error(error.message)
  process.exitCode = 2
})
