/** Prints the OpenAPI document: `node packages/analytics/src/api/openapi.ts > docs/openapi.json && npm run fix`. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '../log.ts'
import { createMetrics } from '../metrics.ts'
import { openStore } from '../store/open.ts'
import { buildApi } from './app.ts'

const folder = await mkdtemp(join(tmpdir(), 'postviews-openapi-'))
const store = await openStore(`sqlite:${join(folder, 'empty.db')}`, {
  timeZone: 'UTC',
  windowHours: 24,
  uniqueBy: 'ip',
  bots: 'count',
})
const app = buildApi({
  store,
  apiKeys: ['any'],
  broker: null,
  consumer: null,
  metrics: createMetrics(),
  log: createLog('silent'),
})
const { body } = await app.inject({ url: '/api/v1/openapi.json', headers: { 'X-Internal-Api-Key': 'any' } })
console.log(JSON.stringify(JSON.parse(body), null, 2))
await app.close()
await store.close()
await rm(folder, { recursive: true })
