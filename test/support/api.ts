/** The internal API on its own real SQLite store, with a fixed clock unless a test passes one. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { decodeMessage, type ViewEvent } from '@postviews/client/src/index.ts'
import { type ApiOptions, buildApi } from '../../packages/analytics/src/api/app.ts'
import { createLog } from '../../packages/analytics/src/log.ts'
import { createMetrics } from '../../packages/analytics/src/metrics.ts'
import type { CountingSettings } from '../../packages/analytics/src/store/counting-settings.ts'
import { openStore } from '../../packages/analytics/src/store/open.ts'

export const NOW = '2026-11-21T12:34:56Z'
export const KEY = 'a key that tests may use'

const YEAR_SECONDS = 365 * 86_400

interface TestApiOptions
  extends Partial<Pick<ApiOptions, 'apiKeys' | 'broker' | 'consumer' | 'log' | 'now'>> {
  settings?: Partial<CountingSettings>
}

/** Builds the API. At the end it closes it, and removes the database if the test passed; otherwise it keeps and names the database. */
export async function startApi(t: TestContext, options: TestApiOptions = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-api-'))
  const databasePath = join(folder, 'views.db')
  const settings: CountingSettings = {
    timeZone: 'UTC',
    windowHours: 24,
    uniqueBy: 'ip',
    bots: 'count',
    ...options.settings,
  }
  const store = await openStore(`sqlite:${databasePath}`, settings)
  await store.migrate()
  const metrics = createMetrics()
  const app = buildApi({
    store,
    apiKeys: options.apiKeys ?? [KEY],
    broker: options.broker ?? null,
    consumer: options.consumer ?? null,
    metrics,
    log: options.log ?? createLog('silent'),
    now: options.now ?? (() => Date.parse(NOW)),
    // With a fixed clock, no list would ever be older than the request.
    listMaxAgeMs: 0,
  })
  let closing: Promise<void> | undefined
  /** Simulates a lost store: it answers nothing from then on. */
  const closeStore = () => {
    closing ??= store.close()
    return closing
  }
  t.after(async () => {
    await app.close()
    await closeStore()
    if ('passed' in t && t.passed === true) await rm(folder, { recursive: true })
    else t.diagnostic(`the database is kept: ${databasePath}`)
  })

  return {
    app,
    store,
    closeStore,
    metrics,
    databasePath,

    /** Sends a key, unless the headers say otherwise. */
    get: (url: string, headers: Record<string, string> = {}) =>
      app.inject({ url, headers: { 'X-Internal-Api-Key': KEY, ...headers } }),

    /** Counts events as the consumer does: decoded, then recorded. */
    async count(events: readonly ViewEvent[]) {
      const receivedAt = Math.floor(Date.parse(NOW) / 1_000)
      const { views, invalid } = decodeMessage(
        Buffer.from(JSON.stringify(events)),
        {},
        { receivedAt, maxAgeSeconds: 3 * YEAR_SECONDS },
      )
      if (invalid.length > 0)
        throw new Error(`not an event: ${invalid.map(({ reason }) => reason).join(', ')}`)
      return store.recordViews(views.map(view => ({ view, receivedAt })))
    },
  }
}

/** The samples of a metric in a text exposition, by label set. */
export function samples(exposition: string, name: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const line of exposition.split('\n')) {
    const [, metric, labels = '', value] = /^([a-z_]+)(\{.*\})? (\S+)$/.exec(line) ?? []
    if (metric === name) found[labels] = value!
  }
  return found
}
