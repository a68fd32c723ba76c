/** What a stranger can make the service, the tracker and the panel keep in memory: a flood of each, and what is left of it. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { startApi } from './support/api.ts'

const FLOOD = join(import.meta.dirname, 'support/flood.ts')
const MIB = 1_048_576

/** In MiB: what each may hold, and a good third more, for what V8 keeps beside it. A flood is many times as much. */
const BOUNDS = {
  agents: 11,
  'agents as long as real ones': 11,
  // 1,000 views of at most 2,500 characters.
  'views in hand': 6,
  // 4,000 events of 2,300 bytes.
  tracker: 14,
  stats: 11,
  'names of posts': 11,
  'answers of the panel': 22,
  'answers of the API': 6,
}

describe('after a flood the heap holds no more than it should of', () => {
  for (const [what, boundMib] of Object.entries(BOUNDS)) {
    test(what, async () => {
      const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', FLOOD, what])
      const { bytes } = JSON.parse(stdout)
      assert.ok(bytes > 0 && bytes < boundMib * MIB, `${(bytes / MIB).toFixed(1)} MiB`)
    })
  }
})

test('no request of a stranger adds a time series for itself', async t => {
  const { app, metrics } = await startApi(t)
  // Node's own come and go, with a kind of garbage collection for instance.
  const seriesNow = async () =>
    (await metrics.registry.metrics())
      .split('\n')
      .filter(line => line.startsWith('postviews_'))
      .map(line => line.slice(0, line.lastIndexOf(' ')))
  const ask = async (n: number) => {
    for (const url of [`/${n}`, `/api/v1/posts/${n}/views`, `/api/v1/${n}`, `/api/v1/posts/top?${n}`, '/%'])
      for (const method of ['GET', 'HEAD', 'POST', 'OPTIONS'] as const)
        await app.inject({ method, url, headers: { 'user-agent': `agent ${n}`, host: `host-${n}.example` } })
  }
  await ask(0)
  await seriesNow()
  const series = await seriesNow()
  for (let n = 1; n < 100; n++) await ask(n)
  assert.deepEqual(await seriesNow(), series)
})
