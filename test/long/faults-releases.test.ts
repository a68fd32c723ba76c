/** A second version beside the first, with zone rules of another release: fault 25. */

import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { NEWEST_RULES } from '../../packages/analytics/src/store/zone-rules.ts'
import { atEnd } from '../support/at-end.ts'
import { ENGINES, type TestEngine } from '../support/engines.ts'
import { countRows, untilStored } from '../support/invariants.ts'
import { plan } from '../support/planned.ts'
import { postviews, type Service } from '../support/service.ts'
import { createSystem } from '../support/system.ts'
import { until } from '../support/until.ts'
import { packedAs, WINNIPEG } from '../support/zone-rules.ts'

const VIEWS = 3_000
/** So small that there is always a next batch. */
const SETTINGS = { STATS_TIMEZONE: WINNIPEG, BATCH_EVENTS: '100' }
const DAY_SECONDS = 86_400
const ZONE_DATA = new URL('../support/zone-data.ts', import.meta.url).href

/** A system of two releases: the older one has clocks that are an hour back from a moment on, seen from now. */
async function twoReleases(
  t: TestContext,
  engine: TestEngine,
  { differAfterDays }: { differAfterDays: number },
) {
  const system = await createSystem(t, { database: await engine.create(t), settings: SETTINGS })
  const from = Math.floor(Date.now() / 1_000) + differAfterDays * DAY_SECONDS
  const before = NEWEST_RULES.zone(WINNIPEG)!.changes.filter(change => change.from < from)
  const changes = [...before, { from, offset: before.at(-1)!.offset - 3_600 }]
  const folder = await mkdtemp(join(tmpdir(), 'postviews-zone-data-'))
  atEnd(t, () => rm(folder, { recursive: true }))
  const file = join(folder, 'zones.json')
  await writeFile(file, JSON.stringify(packedAs('2026a', WINNIPEG, changes)))
  const older = (command: 'serve' | 'consume') =>
    system.start({
      command,
      oneOfSeveral: true,
      nodeOptions: ['--import', ZONE_DATA],
      settings: { ...SETTINGS, ZONE_DATA: file },
    })
  return { system, older, differsAt: new Date(from * 1_000).toISOString().replace('.000Z', 'Z') }
}

/** Why it ended: it must have refused by itself. */
async function refusalOf(service: Service): Promise<string> {
  await until('the process ends', () => !service.isRunning)
  assert.equal((await service.exited).code, 1)
  return String(service.logged('service.failed')[0]?.['error'])
}

for (const engine of ENGINES) {
  describe(`zone rules of two releases on one database, on ${engine.name}`, () => {
    test('those that differ from a moment to come on: the older stop before their next batch', async t => {
      const { system, older, differsAt } = await twoReleases(t, engine, { differAfterDays: 50 })
      const consumers = [await older('serve'), await older('consume')]
      // The second waits for the first to have made the database, or ends: whoever supervises it starts it again.
      await consumers[0]!.untilReady()
      if (!consumers[1]!.isRunning) consumers[1] = await older('consume')
      await consumers[1]!.untilReady()
      const published = system.publish(plan({ views: VIEWS }))
      await untilStored(system.database, 200)

      const newer = await system.start({ oneOfSeveral: true })
      await newer.untilReady()
      assert.deepEqual(newer.logged('service.started')[0]?.['zoneRules'], {
        source: NEWEST_RULES.source,
        release: NEWEST_RULES.release,
      })
      const [replaced] = newer.logged('agreement.replaced')
      assert.match(String(replaced?.['replaced']), new RegExp(`2026a.*${NEWEST_RULES.release}.*${differsAt}`))
      // Enough for a batch of each, however much of the first was left.
      await system.publish(plan({ views: VIEWS, seed: 2 }))
      for (const consumer of consumers) {
        assert.match(await refusalOf(consumer), /2026a.*use a newer version of postviews/)
      }
      assert.match(await refusalOf(await older('consume')), /2026a.*use a newer version of postviews/)
      await published
      await system.check()
    })

    test('those that differ on days that are kept: refused, until the newer are adopted', async t => {
      const { system, older, differsAt } = await twoReleases(t, engine, { differAfterDays: -20 })
      const first = await older('serve')
      await first.untilReady()
      const published = system.publish(plan({ views: VIEWS }))
      await untilStored(system.database, 200)

      const named = new RegExp(`2026a.*${NEWEST_RULES.release}.*${differsAt}.*rebuild --adopt-settings`)
      for (const command of ['serve', 'consume', 'api'] as const) {
        assert.match(await refusalOf(await system.start({ command, oneOfSeveral: true })), named)
      }
      // Nobody was in the way of the one that counts.
      const counted = await countRows(system.database)
      await untilStored(system.database, Math.min(counted + 100, VIEWS))

      const { code, output } = await postviews(system.surroundings, 'rebuild', '--adopt-settings')
      assert.equal(code, 0, output)
      await system.publish(plan({ views: VIEWS, seed: 2 }))
      assert.match(await refusalOf(first), /2026a.*use a newer version of postviews/)
      assert.match(await refusalOf(await older('serve')), /2026a.*use a newer version of postviews/)
      const newer = await system.start({ oneOfSeveral: true })
      await newer.untilReady()
      await published
      await system.check()
    })
  })
}
