/** How old the numbers on ClickHouse are, as the service tells it, and who counts what was recorded, whatever happens to the server. */

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { buildServer } from '../../packages/analytics/src/api/server.ts'
import { createLog } from '../../packages/analytics/src/log.ts'
import { createMetrics } from '../../packages/analytics/src/metrics.ts'
import { Rolling } from '../../packages/analytics/src/rolling.ts'
import { samples } from '../support/api.ts'
import { atEnd } from '../support/at-end.ts'
import { clickhouseUrl, ownCluster, queryShard } from '../support/clickhouse.ts'
import { opened } from '../support/two-shards.ts'
import { until } from '../support/until.ts'
import { record, view } from '../support/views.ts'

const NOON = '2026-03-10T12:00:00Z'
/** What the servers say of it holds for a second. */
const NEW_SECONDS = 1.1
const cluster = ownCluster(1)

async function onOneServer(t: TestContext) {
  const servers = await cluster()
  const [server] = servers.shards
  const database = await servers.database()
  const store = await opened(t, clickhouseUrl(servers, database))
  await store.migrate()
  return { server: server!, store, sql: (statement: string) => queryShard(server!, database, statement) }
}

test('metrics tell how old the numbers are, and not at all while the server is away', async t => {
  const { server, store } = await onOneServer(t)
  const metrics = createMetrics()
  const log = createLog('silent')
  const app = buildServer({ store, broker: null, consumer: null, metrics, log })
  atEnd(t, () => app.close())
  const age = async () => {
    const { body } = await app.inject('/metrics')
    const value = samples(body, 'postviews_counted_age_seconds')['']
    return value === undefined ? null : Number(value)
  }
  await record(store, [view(NOON)])
  await store.roll!()
  await until('the numbers are new', async () => ((await age()) ?? 60) < NEW_SECONDS)
  await record(store, [view(NOON)])
  await until('the numbers are two seconds old', async () => (await age())! > 2)
  assert.ok(((await age()) ?? 60) < 60)
  await store.roll!()
  await until('the numbers are new', async () => ((await age()) ?? 60) < NEW_SECONDS)
  await server.kill()
  await until('nobody knows', async () => (await age()) === null)
  await server.restart()
  // What was committed just before may be lost, until somebody has looked.
  await store.roll!()
  await until('it is known again', async () => ((await age()) ?? 60) < NEW_SECONDS)
})

test('the service goes on counting once the server is back, and says how often it could not', async t => {
  const { server, store } = await onOneServer(t)
  const metrics = createMetrics()
  const failed = async () =>
    Number(samples(await metrics.registry.metrics(), 'postviews_rolls_failed_total')[''])
  const views = async () => (await store.siteTotals()).views
  const rolling = new Rolling(store, createLog('silent'), metrics)
  atEnd(t, () => rolling.stop())
  await record(store, [view(NOON)])
  await until('it is counted', async () => (await views()) === 1)
  assert.equal(await failed(), 0)
  await server.kill()
  await until('it cannot count', async () => (await failed()) > 0)
  await server.restart()
  await record(store, [view(NOON)])
  await until('it counts again', async () => (await views()) === 2)
})

test('counting goes on where somebody attached rows that were counted before', async t => {
  const { store, sql } = await onOneServer(t)
  for (let batch = 0; batch < 2; batch++) await record(store, [view(NOON)])
  await store.roll!()
  await sql('OPTIMIZE TABLE post_view_rows FINAL')
  const [{ partition } = {}] = await sql('SELECT DISTINCT toString(hour) AS partition FROM post_view_rows')
  await sql(`ALTER TABLE post_view_rows DETACH PARTITION ${partition}`)
  await sql(`ALTER TABLE post_view_rows ATTACH PARTITION ${partition}`)
  await store.roll!()
  await record(store, [view(NOON)])
  await store.roll!()
  assert.equal((await store.siteTotals()).views, 3)
})
