/** The database file is deleted, moved away, or copied after a stop: fault 29. What else may happen to it: store/sqlite/file.test.ts. */

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, renameSync, rmSync } from 'node:fs'
import { describe, test } from 'node:test'
import { SQLITE, sqliteDatabase } from '../support/engines.ts'
import { assertAddsUp, countRows, untilStored } from '../support/invariants.ts'
import { plan } from '../support/planned.ts'
import { postviews, type Service } from '../support/service.ts'
import { createSystem } from '../support/system.ts'
import { until } from '../support/until.ts'

const VIEWS = 500
const TOTALS = '/api/v1/views'

describe('the database file', { concurrency: true }, () => {
  test('is copied after the service has stopped: the copy is whole, and so it is after each command', async t => {
    const database = await SQLITE.create(t)
    const system = await createSystem(t, { database })
    const service = await system.start()
    await system.publish(plan({ views: VIEWS, twice: 0, bad: 0 }))
    await untilStored(database, VIEWS)
    await until('all is acknowledged', () => system.tap.inHand === 0)
    assert.equal((await service.end('SIGTERM')).code, 0)

    const path = pathOf(database.url)
    for (const command of [null, 'verify', 'prune', 'rebuild']) {
      if (command !== null) {
        const { code, output } = await postviews(system.surroundings, ...command.split(' '))
        assert.equal(code, 0, output)
      }
      assert.equal(existsSync(`${path}-wal`), false, `after ${command ?? 'serve'}`)
    }
    execFileSync('cp', [path, `${path}.copy`])
    const copy = sqliteDatabase(`${path}.copy`)
    assert.equal(await countRows(copy), VIEWS)
    await assertAddsUp(copy)
  })

  test('is moved away: nothing is taken and nothing answered until the same file is back', async t => {
    const database = await SQLITE.create(t)
    const system = await createSystem(t, { database })
    const service = await system.start()
    await system.publish(plan({ views: VIEWS, seed: 1 }))
    await untilStored(database, VIEWS)

    const path = pathOf(database.url)
    renameSync(path, `${path}.moved`)
    await system.publish(plan({ views: VIEWS, seed: 2 }))
    await untilMissed(service)
    assert.equal((await service.get(TOTALS)).status, 503)
    const why = () => String(service.logged('store.lost')[0]?.['error'])
    await until('it logs why', () => /views\.db was deleted or moved away/.test(why()))
    renameSync(`${path}.moved`, path)
    await service.untilReady()
    assert.equal(system.tap.refused, 0)
    await system.check()
  })

  test('is deleted: what comes later is not acknowledged, and counts in the file that takes its place', async t => {
    const database = await SQLITE.create(t)
    const system = await createSystem(t, { database })
    const service = await system.start()
    await system.publish(plan({ views: VIEWS, twice: 0, bad: 0, seed: 1 }))
    await untilStored(database, VIEWS)
    await until('all is acknowledged', () => system.tap.inHand === 0)

    const path = pathOf(database.url)
    rmSync(path)
    const { delivered } = system.tap
    await system.publish(plan({ views: VIEWS, twice: 0, bad: 0, seed: 2 }))
    await untilMissed(service)
    assert.equal(system.tap.unacknowledged, system.tap.delivered - delivered)
    await service.end('SIGKILL')

    // Begun anew, it would take the old log for its own.
    const refused = await system.start()
    assert.equal((await refused.exited).code, 1)
    assert.match(
      String(refused.logged('service.failed')[0]?.['error']),
      /views\.db is not there, but .*-wal is/,
    )
    for (const suffix of ['-wal', '-shm']) rmSync(path + suffix, { force: true })
    const next = await system.start()
    await untilStored(database, VIEWS)
    await until('all is acknowledged', () => system.tap.inHand === 0)
    assert.equal(await countRows(database), VIEWS)
    assert.equal((await next.end('SIGTERM')).code, 0)
  })
})

function pathOf(url: string): string {
  return url.slice('sqlite:'.length)
}

async function untilMissed(service: Service): Promise<void> {
  const isMissed = async () =>
    /"store: its file was deleted, moved or replaced"/.test(await service.readiness())
  await until('it says that its file is gone', isMissed)
}
