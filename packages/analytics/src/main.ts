/** The service's one wiring: everything is built here, in the order it starts, and ended in reverse. */

import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { buildApi } from './api/app.ts'
import { type Config, withoutSecrets } from './config.ts'
import { Consumer } from './ingest/consumer.ts'
import { BrokerWatch } from './ingest/depths.ts'
import { type Retention, scheduleRetention } from './ingest/retention.ts'
import { createLog, describeError, type Log } from './log.ts'
import { createMetrics } from './metrics.ts'
import { openStore } from './store/open.ts'
import type { OwnHosts } from './store/own-hosts.ts'
import { type Store, StoreRefused } from './store/store.ts'

export interface Parts {
  consumer: boolean
  api: boolean
  /** Also bring the database to this version first. */
  migrates: boolean
}

// Batches live just long enough to be promoted to the old generation. Left to itself, that is let grow to several times
// what is in use before anybody looks, and the young one to 100 MB in each thread, which makes nothing faster here.
setFlagsFromString('--heap-growing-percent=50')
setFlagsFromString('--semi-space-growth-factor=1')

const STOP_DEADLINE_MS = 20_000
const STORE_RETRY_MS = 2_000
const SHORT_KEY_CHARACTERS = 16

/** Runs until a signal ends it (0), or until it cannot go on (1). */
export async function runService(config: Config, parts: Parts): Promise<number> {
  const log = createLog(config.logLevel)
  const stopping = new AbortController()
  let exitCode = 0
  const fail = (error: unknown) => {
    log.fatal({ error: describeError(error) }, 'service.failed')
    exitCode = 1
    stopping.abort()
  }
  const onSignal = (signal: NodeJS.Signals) => {
    log.info({ signal }, 'service.stopping')
    stopping.abort()
  }
  process.once('SIGTERM', onSignal).once('SIGINT', onSignal)

  const shortKeys = config.apiKeys.filter(key => key.length < SHORT_KEY_CHARACTERS).length
  if (parts.api && shortKeys > 0) log.warn({ keys: shortKeys }, 'key.short')

  const ends: (() => Promise<unknown>)[] = []
  try {
    const store = await openStore(config.databaseUrl, config.counting)
    const metrics = createMetrics(store.calendar.rules)
    ends.unshift(() => store.close())

    // The health routes answer from the start: they say what is being waited for.
    const late: {
      consumer: Consumer | null
      broker: Consumer | BrokerWatch | null
      retention: Retention | null
    } = { consumer: null, broker: null, retention: null }
    const api = buildApi({
      store,
      apiKeys: parts.api ? config.apiKeys : [],
      broker: {
        depths: async () => {
          const depths = (await late.broker?.depths()) ?? null
          if (depths === null || depths.dead === null) return depths
          return { ...depths, dead: depths.dead + (late.retention?.deadInHand ?? 0) }
        },
      },
      consumer: parts.consumer
        ? {
            problem: () => (late.consumer ? late.consumer.problem() : 'consumer: waits for the store'),
            warnings: () => late.consumer?.warnings() ?? [],
            inHand: () => late.consumer?.inHand() ?? { messages: 0, uncommittedSince: null },
          }
        : null,
      metrics,
      log,
    })
    ends.unshift(() => api.close())
    await api.listen({ host: config.host, port: config.port }).catch((cause: unknown) => {
      throw new Error(`cannot listen on HOST ${config.host}, PORT ${config.port}`, { cause })
    })

    const siteHosts = await storeIsReady(store, config, parts, log, stopping.signal)
    if (!stopping.signal.aborted) {
      if (parts.consumer) {
        const consumer = new Consumer({ ...config, store, metrics, log, onRefused: fail })
        late.consumer = consumer
        late.broker = consumer
        const retention = scheduleRetention({ ...config, store, metrics, log })
        late.retention = retention
        // Consuming ends first: a run of retention may take a while.
        ends.unshift(
          () => consumer.stop(STOP_DEADLINE_MS),
          () => retention.stop(),
        )
      } else {
        const watch = new BrokerWatch(config.amqpUrl)
        late.broker = watch
        ends.unshift(() => watch.stop())
      }
      log.info(
        {
          ...parts,
          address: `http://${config.host}:${config.port}`,
          database: withoutSecrets(config.databaseUrl),
          broker: withoutSecrets(config.amqpUrl),
          counting: store.settings,
          siteHosts,
          zoneRules: { source: store.calendar.rules.source, release: store.calendar.rules.release },
        },
        'service.started',
      )
      await aborted(stopping.signal)
    }
  } catch (error) {
    fail(error)
  }

  for (const end of ends) {
    try {
      await end()
    } catch (error) {
      log.warn({ error: describeError(error) }, 'service.end_failed')
    }
  }
  log.info('service.stopped')
  return exitCode
}

/** Waits for the store, and returns the own hosts that it records; throws only what waiting does not mend. */
async function storeIsReady(
  store: Store,
  { siteHosts }: Config,
  { migrates }: Parts,
  log: Log,
  signal: AbortSignal,
): Promise<OwnHosts> {
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      if (migrates) {
        const { replaced } = await store.migrate(
          (step, done, total) => {
            // Between two steps it can be ended, and goes on at the next start.
            signal.throwIfAborted()
            log.info({ step, done, total }, 'adoption.progress')
          },
          { ownHosts: siteHosts, goesBack: false },
        )
        if (replaced.length > 0) log.warn({ replaced }, 'agreement.replaced')
      }
      const { ownHosts, isReplaced } = await store.checkSettings(siteHosts)
      if (failures > 0) log.info({ failures }, 'store.back')
      if (isReplaced) log.warn({ set: siteHosts, used: ownHosts }, 'hosts.outdated')
      return ownHosts
    } catch (error) {
      if (signal.aborted) break
      if (error instanceof StoreRefused) throw error
      if (failures === 0) log.error({ error: describeError(error) }, 'store.lost')
    }
    // Rejects when the signal comes: then there is nothing to wait for any more.
    await sleep(STORE_RETRY_MS, undefined, { signal }).catch(() => {})
  }
  return []
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
