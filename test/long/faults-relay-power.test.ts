/** The power fails while a relay has views that the broker has not: what it answered `ok` is on the disk. */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { testRabbitmq } from '../../tools/stack/for-tests.ts'
import { findProgram } from '../../tools/stack/programs.ts'
import { type Disk, makeDisk } from '../support/disk-image.ts'
import { takeNumbered } from '../support/published.ts'
import { startRelay } from '../support/relay.ts'
import { faultyDisk } from '../support/relay-disk-faults.ts'
import { askOnce } from '../support/relay-lines.ts'
import { lineOf, sendSteadily } from '../support/relay-sender.ts'
import { untilEmpty } from '../support/spool-files.ts'
import { declareQueues } from '../support/system.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'

/** Some segments: those that it begins have to be there too. */
const VIEWS = 5_000
const SETTINGS = { RELAY_MAX_BYTES: '4MiB' }
const NOWHERE = 'amqp://127.0.0.1:1'

test('what a relay has answered survives a power cut', async t => {
  const disk = await makeDisk(t, 64)
  if (disk !== undefined) return survivesPowerCut(t, disk)
  t.diagnostic('no disk can be made here: the order of the calls to the kernel is looked at instead')
  const strace = findProgram('strace')
  assert.ok(strace, 'this needs strace, or root, a loop device and mkfs.ext4')
  return isOnTheDiskBeforeItAnswers(t, strace)
})

test('what a relay has refused for its disk is not published after a power cut', async t => {
  const disk = await makeDisk(t, 64)
  const folder = disk?.folder ?? temporaryFolder(t)
  const { options, set, calls } = faultyDisk(t)
  const settings = { ...options.settings, RELAY_SPOOL: join(folder, 'spool') }
  const relay = await startRelay(t, { ...options, amqpUrl: NOWHERE, settings })
  assert.deepEqual(await askOnce(relay.socket, lineOf(1)), ['ok'])
  set({ write: 'done, and fails' })
  const [answer] = await askOnce(relay.socket, lineOf(2))
  assert.match(answer!, /^refused: disk: /)
  if (disk === undefined) {
    const [cut, next] = calls().slice(calls().findIndex(call => call.startsWith('truncate ')))
    assert.equal(next, cut?.replace('truncate', 'sync'), 'that it is taken back is on the disk')
    return
  }
  relay.kill('SIGSTOP')
  const found = await disk.afterPowerCut()
  await relay.end('SIGKILL')
  const { url } = await testRabbitmq()
  await declareQueues(url)
  const next = await startRelay(t, { amqpUrl: url, settings: { RELAY_SPOOL: join(found.folder, 'spool') } })
  await untilEmpty(next.spool)
  assert.deepEqual([...(await takeNumbered(url)).keys()], [1])
})

async function survivesPowerCut(t: TestContext, disk: Disk): Promise<void> {
  const settings = { ...SETTINGS, RELAY_SPOOL: join(disk.folder, 'spool') }
  const relay = await startRelay(t, { amqpUrl: NOWHERE, settings })
  const sender = sendSteadily(t, relay.socket)
  await until('it has some', () => sender.accepted.length >= VIEWS)
  relay.kill('SIGSTOP')
  const found = await disk.afterPowerCut()
  const { accepted } = sender
  const answered = accepted.length
  relay.kill('SIGCONT')
  await sender.stop()

  const { url } = await testRabbitmq()
  await declareQueues(url)
  const after = { ...SETTINGS, RELAY_SPOOL: join(found.folder, 'spool') }
  const next = await startRelay(t, { amqpUrl: url, settings: after })
  await untilEmpty(next.spool)
  const there = await takeNumbered(url)
  const lost = accepted.slice(0, answered).filter(number => !there.has(number))
  assert.equal(lost.length, 0, `${lost.length} of ${answered} that were answered are lost`)
  assert.equal(await next.metric('damaged_records_total'), 0)
}

/** One view at a time, so that nothing else is written while it is answered. */
async function isOnTheDiskBeforeItAnswers(t: TestContext, strace: string): Promise<void> {
  const folder = temporaryFolder(t)
  const trace = join(folder, 'trace')
  const calls = 'trace=openat,fdatasync,fsync,pwrite64,write,writev,sendmsg,sendto'
  const under = [strace, '-DD', '-f', '-y', '-s', '64', '-e', calls, '-o', trace]
  const relay = await startRelay(t, { amqpUrl: NOWHERE, folder, under })
  for (let n = 1; n <= 20; n++) assert.deepEqual(await askOnce(relay.socket, lineOf(n)), ['ok'])
  assert.equal((await relay.end('SIGTERM')).code, 0)
  await until('the trace is complete', async () => /exited with 0/.test(await readFile(trace, 'utf8')))

  let isSyncedByItself = false
  let isOnTheDisk = false
  let answers = 0
  for (const line of (await readFile(trace, 'utf8')).split('\n')) {
    if (/openat\(.*\.views", .*O_CREAT/.test(line)) isSyncedByItself = /O_DSYNC|O_SYNC/.test(line)
    else if (/pwrite64\(.*\.views>/.test(line)) isOnTheDisk = isSyncedByItself
    // Under -f a call may be shown in two halves; then its end does not name the file.
    else if (/(fdatasync|fsync)(\(.*\.views>\)| resumed>\)) += 0/.test(line)) isOnTheDisk = true
    else if (/(write|writev|sendmsg|sendto)\(.*"ok\\n"/.test(line)) {
      answers++
      assert.ok(isOnTheDisk, `answered before it was on the disk: ${line}`)
      isOnTheDisk = false
    }
  }
  assert.equal(answers, 20)
}
