/** The panel's one wiring: everything is built here, in the order it starts, and ended in reverse. */

import { createStats } from '@postviews/client'
import { buildPanel } from './app.ts'
import { ConfigError, readConfig } from './config.ts'
import { createLog, describeError } from './log.ts'
import { createPosts } from './posts.ts'

/** A page that waits for Analytics waits no longer than this to say that it is unavailable. */
const STATS_TIMEOUT_MS = 3_000
const SHORT_PASSWORD_CHARACTERS = 12

/** Runs until a signal ends it (0), or until it cannot go on (1). */
async function runPanel(): Promise<void> {
  const config = readConfig(process.env)
  const log = createLog(config.logLevel)
  if (config.adminPassword.length < SHORT_PASSWORD_CHARACTERS) log.warn('password.short')
  const panel = buildPanel({
    ...config,
    stats: createStats({ baseUrl: config.analyticsUrl, key: config.apiKey, timeoutMs: STATS_TIMEOUT_MS }),
    posts: createPosts({ url: config.postsUrl, log }),
    log,
  })
  const stop = async (signal: NodeJS.Signals) => {
    log.info({ signal }, 'panel.stopping')
    await panel.close()
    log.info('panel.stopped')
  }
  process.once('SIGTERM', stop).once('SIGINT', stop)
  try {
    await panel.listen({ host: config.host, port: config.port })
    log.info(
      { address: `http://${config.host}:${config.port}`, analytics: config.analyticsUrl },
      'panel.started',
    )
  } catch (error) {
    log.fatal({ error: describeError(error) }, 'panel.failed')
    process.exitCode = 1
    await panel.close()
  }
}

await runPanel().catch((error: unknown) => {
  if (!(error instanceof ConfigError)) throw error
  console.error(error.message)
  process.exitCode = 2
})
