/** The only wiring of the service: builds everything in the order it starts, and ends it in reverse. */

import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { endOnSignals } from '@postviews/client/src/ending.ts'
import { LogLines } from '@postviews/client/src/log-lines.ts'
import { buildServer, type ServerOptions } from './api/server.ts'
import { type Config, withoutSecrets } from './config.ts'
import { openCountries } from './derive/countries.ts'
import { Consumer } from './ingest/consumer.ts'
import { BrokerWatch } from './ingest/depths.ts'
import { type Retention, scheduleRetention } from './ingest/retention.ts'
import { createLog, describeError, type Log } from './log.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { Rolling } from './rolling.ts'
import { StoreBroken, StoreRefused } from './store/failures.ts'
import { openStore } from './store/open.ts'
import type { OwnHosts } from './store/own-hosts.ts'
import type { Store } from './store/store.ts'

export interface Parts {
  consumer: boolean
  api: boolean
  /** Also bring the database to this version first. */
  migrates: boolean
}

// Batches live just long enough to be promoted to the old generation. By default V8 lets that grow to several times what
// is in use before it collects, which makes nothing faster here.
setFlagsFromString('--heap-growing-percent=50')
// The young generation keeps the 8 MB to which it grows while the program is loaded. With 1 MB a view takes 20 % more CPU;
// without a limit it takes 10 % less, and the process 150 MB more.
setFlagsFromString('--semi-space-growth-factor=1')
// Read when a thread is started, so it limits those that come later, not this one.
setFlagsFromString('--max-semi-space-size=1')

/** While the store works, what is in hand is committed much sooner; the other parts need time to end, too. */
const CONSUMER_STOP_MS = 6_000
const RETENTION_STOP_MS = 6_000
const STORE_RETRY_MS = 2_000
const PROGRESS_TOLD_MS = 1_000
const SHORT_KEY_CHARACTERS = 16

/** Runs until a signal ends it (the process ends with 0), or until it cannot go on (1). */
export async function runService(config: Config, parts: Parts): Promise<never> {
  let metrics: Metrics | undefined
  const lines = new LogLines({
    onDropped: dropped => metrics?.logLinesDropped.inc(dropped),
    onRoom: dropped => log.warn({ lines: dropped }, 'log.dropped'),
  })
  const log = createLog(config.logLevel, lines)
  const ending = endOnSignals({
    onSignal: signal => log.info({ signal }, 'service.stopping'),
    onOverdue: () => log.fatal('service.overdue'),
  })
  let exitCode = 0
  const fail = (error: unknown) => {
    log.fatal({ error: describeError(error) }, 'service.failed')
    exitCode = 1
    ending.begin()
  }

  const shortKeys = config.apiKeys.filter(key => key.length < SHORT_KEY_CHARACTERS).length
  if (parts.api && shortKeys > 0) log.warn({ keys: shortKeys }, 'key.short')

  const ends: (() => Promise<unknown>)[] = []
  try {
    const { ipStorage, geoipDb } = config
    // A wrong file ends the start, before anything is asked of the store. Only a consumer derives rows.
    const countries = parts.consumer && geoipDb !== 'none' ? openCountries(geoipDb ?? undefined) : null
    const store = await openStore(config.databaseUrl, config.counting, { ipStorage, countries })
    metrics = createMetrics(store.calendar.rules)
    ends.unshift(() => store.close())

    // The health routes answer from the start: they say what the process waits for.
    const late: {
      consumer: Consumer | null
      broker: Consumer | BrokerWatch | null
      retention: Retention | null
    } = { consumer: null, broker: null, retention: null }
    const options: ServerOptions = {
      store,
      broker: { depths: async () => (await late.broker?.depths()) ?? null },
      consumer: parts.consumer
        ? {
            problem: () => (late.consumer ? late.consumer.problem() : 'consumer: waits for the store'),
            storeIsBroken: () => late.consumer?.storeIsBroken() ?? false,
            warnings: () => late.consumer?.warnings() ?? [],
            inHand: () => late.consumer?.inHand() ?? { messages: 0, uncommittedSince: null },
            deadInHand: () => (late.consumer?.deadInHand() ?? 0) + (late.retention?.deadInHand ?? 0),
            deadBytes: () => late.consumer?.deadBytes() ?? null,
          }
        : null,
      isStopping: () => ending.signal.aborted,
      metrics,
      log,
    }
    const api = parts.api ? await withApi(options, config.apiKeys) : buildServer(options)
    ends.unshift(() => api.close())
    await api.listen({ host: config.host, port: config.port }).catch((cause: unknown) => {
      throw new Error(`cannot listen on HOST ${config.host}, PORT ${config.port}`, { cause })
    })

    // These questions to the store may take long; they end at the latest when the store is closed.
    const siteHosts = await Promise.race([
      storeIsReady(store, config, parts, log, ending.signal),
      aborted(ending.signal),
    ])
    if (siteHosts !== undefined) {
      if (parts.consumer) {
        metrics.deadMaxBytes.set(config.deadMaxBytes)
        const rolling = new Rolling(store, log, metrics)
        const consumer = new Consumer({ ...config, store, metrics, log, onRefused: fail })
        late.consumer = consumer
        late.broker = consumer
        const retention = scheduleRetention({ ...config, store, metrics, log, ending })
        late.retention = retention
        // All at once: none may go on while another ends.
        ends.unshift(() =>
          Promise.all([
            consumer.stop(CONSUMER_STOP_MS),
            rolling.stop(),
            Promise.race([retention.stop(), sleep(RETENTION_STOP_MS, undefined, { ref: false })]),
          ]),
        )
      } else {
        const watch = new BrokerWatch(config.amqpUrls)
        late.broker = watch
        ends.unshift(() => watch.stop())
      }
      log.info(
        {
          ...parts,
          address: `http://${config.host}:${config.port}`,
          database: withoutSecrets(config.databaseUrl),
          broker: config.amqpUrls.map(withoutSecrets).join(', '),
          counting: store.settings,
          siteHosts,
          excluded: { users: config.ownViews.users.size, networks: config.ownViews.networks.length },
          zoneRules: { source: store.calendar.rules.source, release: store.calendar.rules.release },
        },
        'service.started',
      )
      await aborted(ending.signal)
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
  ending.finish()
  return lines.leave(exitCode)
}

/**
 * Waits for the store, and returns the own hosts that it records; undefined when the process ends before. Throws only
 * errors that waiting does not cure.
 */
async function storeIsReady(
  store: Store,
  { siteHosts }: Config,
  { migrates, consumer }: Parts,
  log: Log,
  signal: AbortSignal,
): Promise<OwnHosts | undefined> {
  let told = { step: '', at: 0 }
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      if (migrates) {
        const { replaced } = await store.migrate(
          (step, done, total) => {
            // The migration can end between two steps; the next start continues it.
            signal.throwIfAborted()
            if (step === told.step && Date.now() - told.at < PROGRESS_TOLD_MS && done < total) return
            told = { step, at: Date.now() }
            log.info({ step, done, total }, 'adoption.progress')
          },
          { ownHosts: siteHosts, goesBack: false },
        )
        if (replaced.length > 0) log.warn({ replaced }, 'agreement.replaced')
      }
      const { ownHosts, isReplaced } = await store.checkSettings(siteHosts)
      // Finds out now, not at the first view, whether all that a batch needs is there.
      if (consumer) await store.rehearse([])
      if (failures > 0) log.info({ failures }, 'store.back')
      for (const warning of store.warnings()) log.warn({ warning }, 'store.warning')
      if (isReplaced) log.warn({ set: siteHosts, used: ownHosts }, 'hosts.outdated')
      return ownHosts
    } catch (error) {
      if (signal.aborted) break
      if (error instanceof StoreRefused || error instanceof StoreBroken) throw error
      if (failures === 0) log.error({ error: describeError(error) }, 'store.lost')
    }
    // Rejects when the signal comes: then there is nothing to wait for any more.
    await sleep(STORE_RETRY_MS, undefined, { signal }).catch(() => {})
  }
  return undefined
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise(resolve => {
    if (signal.aborted) resolve(undefined)
    else signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
}

/** Its libraries take 20 MB of memory, which a process without the API does not spend. */
async function withApi(options: ServerOptions, apiKeys: readonly string[]) {
  const { buildApi } = await import('./api/app.ts')
  return buildApi({ ...options, apiKeys })
}
