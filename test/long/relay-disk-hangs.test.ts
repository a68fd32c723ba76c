/** The disk of a relay hangs for longer than callers have for a line. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startRelay } from '../support/relay.ts'
import { faultyDisk } from '../support/relay-disk-faults.ts'
import { askOnce, connectLines } from '../support/relay-lines.ts'
import { untilItHasLooked } from '../support/relay-requests.ts'
import { lineOf } from '../support/relay-sender.ts'
import { NOWHERE } from '../support/relay-spools.ts'
import { until } from '../support/until.ts'

/** That a caller has for the rest of a line. */
const LINE_MS = 10_000

test('the disk hangs, and was quick before: the relay hangs with it, and goes on with it', async t => {
  const disk = faultyDisk(t)
  const relay = await startRelay(t, { ...disk.options, amqpUrl: NOWHERE })
  // Its segment is made.
  assert.deepEqual(await askOnce(relay.socket, lineOf(1)), ['ok'])
  let [first, late] = [await connectLines(relay.socket), await connectLines(relay.socket)]
  const hung = () => disk.calls().filter(call => call.startsWith('hung '))
  for (;;) {
    late.write(lineOf(3).slice(0, 20))
    await untilItHasLooked(relay)
    const before = hung().length
    disk.set({ write: 'hangs' })
    first.write(`${lineOf(2)}\n`)
    await until('it hangs', () => hung().length > before)
    if (hung().at(-1)!.startsWith('hung writeSync ')) break
    // On a busy machine the write before was slow, and a thread writes: that write tells whether the disk is quick now.
    disk.set({})
    await until('the view is kept', () => first.answers.length > 0)
    for (const client of [first, late]) client.destroy()
    ;[first, late] = [await connectLines(relay.socket), await connectLines(relay.socket)]
  }
  await assert.rejects(fetch(`${relay.url}/livez`, { signal: AbortSignal.timeout(500) }))
  // It came in time, though nobody has read it.
  late.write(`${lineOf(3).slice(20)}\n`)
  await sleep(LINE_MS + 1_000)
  assert.deepEqual([first.answers, late.answers], [[], []])
  disk.set({})
  await until('both are kept', () => first.answers.length > 0 && late.answers.length > 0)
  assert.deepEqual([first.answers, late.answers], [['ok'], ['ok']])
  assert.equal((await fetch(`${relay.url}/livez`)).status, 200)
  for (const client of [first, late]) client.destroy()
})
