/** The power fails right after an acknowledgement: fault 5. */

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { findProgram } from '../../tools/stack/programs.ts'
import { atEnd } from '../support/at-end.ts'
import { type Disk, makeDisk } from '../support/disk-image.ts'
import { SQLITE, sqliteDatabase } from '../support/engines.ts'
import { assertAddsUp, countRows, untilStored } from '../support/invariants.ts'
import { plan } from '../support/planned.ts'
import { createSystem } from '../support/system.ts'
import { until } from '../support/until.ts'

/** So few that SQLite has no reason of its own to sync them: no checkpoint comes. */
const VIEWS = 1_000

test('what was acknowledged is on the disk, on SQLite', async t => {
  const disk = await makeDisk(t, 64)
  if (disk !== undefined) return survivesPowerCut(t, disk)
  t.diagnostic('no disk can be made here: the order of the calls to the kernel is looked at instead')
  const strace = findProgram('strace')
  assert.ok(strace, 'this needs strace, or root, a loop device and mkfs.ext4')
  return syncsBeforeAcknowledging(t, strace)
})

async function survivesPowerCut(t: TestContext, disk: Disk): Promise<void> {
  const system = await createSystem(t, { database: sqliteDatabase(join(disk.folder, 'views.db')) })
  const planned = plan({ views: VIEWS })
  const service = await system.start()
  await system.publish(planned)
  await untilStored(system.database, VIEWS)
  await until('all is acknowledged', () => system.tap.inHand === 0)
  service.kill('SIGSTOP')
  const found = sqliteDatabase(join((await disk.afterPowerCut()).folder, 'views.db'))
  service.kill('SIGCONT')
  await system.check()

  assert.equal(await countRows(found), VIEWS)
  await assertAddsUp(found)
}

/** One event at a time, so that nothing else is written while it is acknowledged. */
async function syncsBeforeAcknowledging(t: TestContext, strace: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-strace-'))
  atEnd(t, () => rm(folder, { recursive: true }))
  const trace = join(folder, 'trace')
  const calls = 'trace=fdatasync,fsync,pwrite64,write,writev,sendmsg,sendto'
  const system = await createSystem(t, { database: await SQLITE.create(t) })
  await system.start({ under: [strace, '-DD', '-f', '-y', '-s', '64', '-e', calls, '-o', trace] })
  const planned = plan({ views: 10, twice: 0, bad: 0, eventsPerMessage: 1 })
  for (const [index, message] of planned.messages.entries()) {
    await system.publish(planned, [message])
    await untilStored(system.database, index + 1)
    await until('it is acknowledged', () => system.tap.inHand === 0)
  }
  await system.check()
  await until('the trace is complete', async () => /exited with 0/.test(await readFile(trace, 'utf8')))

  let isSynced = true
  let acknowledged = 0
  for (const line of (await readFile(trace, 'utf8')).split('\n')) {
    if (/pwrite64\(.*views\.db-wal>/.test(line)) isSynced = false
    // Under -f a call may be shown in two halves; then its end does not name the file.
    else if (/(fdatasync|fsync)(\(.*views\.db-wal>\)| resumed>\)) += 0/.test(line)) isSynced = true
    else if (/(write|writev|sendmsg|sendto)\(.*<socket:.*\\0<\\0P/.test(line)) {
      acknowledged++
      assert.ok(isSynced, `acknowledged before it was synced: ${line}`)
    }
  }
  assert.ok(acknowledged >= planned.messages.length, `${acknowledged} acknowledgements were seen`)
}
