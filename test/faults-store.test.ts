/** The store is away, full or slow: faults 4, 11 and 12. */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { SQLITE, sqliteDatabase } from './support/engines.ts'
import { untilStored } from './support/invariants.ts'
import { plan } from './support/planned.ts'
import type { Service } from './support/service.ts'
import { smallDisk } from './support/small-disk.ts'
import { createSystem, type TestSystem } from './support/system.ts'
import { until } from './support/until.ts'

const VIEWS = 4_000
const OUTAGE_MS = process.env['FULL'] === '1' ? 60_000 : 15_000
/** What the service may take more while it waits: less than the events it would hold if it took them all. */
const MEMORY_BYTES = 48 * 1_048_576

interface Outage {
  begin(service: Service): Promise<void>
  end(service: Service): Promise<void>
}

describe('while the store is away', { concurrency: true }, () => {
  test('because another process has locked the file: waits, says so, and goes on by itself', async t => {
    const database = await SQLITE.create(t)
    const system = await createSystem(t, { database })
    let holder: DatabaseSync | undefined
    await survives(system, {
      async begin() {
        holder = new DatabaseSync(database.url.slice('sqlite:'.length))
        holder.exec('BEGIN IMMEDIATE')
      },
      end: async () => holder?.close(),
    })
  })

  test('because the disk is full: waits, says so, and goes on by itself', async t => {
    const disk = await smallDisk(t, 96)
    const system = await createSystem(t, { database: sqliteDatabase(join(disk.folder, 'views.db')) })
    await survives(system, {
      begin: ({ pid }) => disk.fill(pid),
      end: ({ pid }) => disk.free(pid),
    })
  })
})

async function survives(system: TestSystem, outage: Outage): Promise<void> {
  const { database, tap } = system
  const service = await system.start()
  await system.publish(plan({ views: VIEWS, seed: 1 }))
  await untilStored(database, VIEWS)
  const before = service.residentBytes()

  await outage.begin(service)
  const ends = sleep(OUTAGE_MS)
  await system.publish(plan({ views: VIEWS, seed: 2 }))
  await until('it says that the store is away', async () => /\bstore: /.test(await service.readiness()))
  const { delivered, redelivered } = tap
  await ends
  assert.match(await service.readiness(), /\bstore: /)
  assert.deepEqual([tap.delivered, tap.redelivered], [delivered, redelivered], 'it holds what it has')
  assert.equal(tap.refused, 0)
  const grown = service.residentBytes() - before
  assert.ok(grown < MEMORY_BYTES, `grew by ${grown} bytes`)

  await outage.end(service)
  await service.untilReady()
  await system.check()
}
