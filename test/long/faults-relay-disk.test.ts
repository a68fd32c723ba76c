/** The relay's disk fails in the middle of its work: what it cannot read, cannot write, or cannot take back. */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { takeNumbered } from '../support/published.ts'
import { type Relay, startRelay } from '../support/relay.ts'
import { type DiskFaults, type FaultyDisk, faultyDisk } from '../support/relay-disk-faults.ts'
import { askOnce, connectLines } from '../support/relay-lines.ts'
import { post, untilItHasLooked } from '../support/relay-requests.ts'
import { lineOf, linesOf } from '../support/relay-sender.ts'
import { linesWithEnds, NOWHERE, relayOn, spoolOf } from '../support/relay-spools.ts'
import { segmentsIn, untilEmpty } from '../support/spool-files.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'

const PAGE_BYTES = 4_096
const EVERYTHING = Number.MAX_SAFE_INTEGER
/** Some pages of them. */
const RECORDS = 100
/** More than may wait for the disk before the relay lets callers wait. */
const BEHIND_BYTES = 4 * 1_048_576

describe('of a segment', { concurrency: true }, () => {
  const unreadable = [
    { what: 'a page in the middle', from: 2 * PAGE_BYTES, to: 3 * PAGE_BYTES },
    { what: 'the first page', from: 0, to: PAGE_BYTES },
    { what: 'everything', from: 0, to: EVERYTHING },
  ]
  for (const { what, from, to } of unreadable) {
    test(`${what} cannot be read: it is said, and all others are published`, async t => {
      const folder = await spoolOf(t, linesOf(1, RECORDS))
      const [segment] = segmentsIn(join(folder, 'spool'))
      const disk = faultyDisk(t)
      disk.set({ unreadable: { file: '00000001.views', from, to } })
      const { url, relay } = await relayOn(t, folder, disk.options)
      assert.ok(relay.isRunning, 'it starts')
      assert.deepEqual(await askOnce(relay.socket, lineOf(RECORDS + 1)), ['ok'])
      await untilEmpty(relay.spool, 20_000)

      const published = await takeNumbered(url)
      const readable = recordsOutside(segment!.bytes, from, to)
      assert.ok(readable.length < RECORDS, 'it takes some with it')
      const lost = [...readable, RECORDS + 1].filter(number => !published.has(number))
      assert.deepEqual(lost, [])
      assert.ok((await relay.metric('damaged_records_total')) > 0)
      assert.match(JSON.stringify(relay.logged('spool.damaged')), /00000001\.views/)
    })
  }
})

describe('a view of which nobody knows whether it is on the disk is neither taken nor refused:', {
  concurrency: true,
}, () => {
  const faults: { what: string; faults: DiskFaults; send: typeof answersOnLine }[] = [
    {
      what: 'its write fails, and cannot be taken back',
      faults: { write: 'done, and fails', truncate: 'fails' },
      send: answersOnLine,
    },
    {
      what: 'its write fails, and that it was taken back cannot be synced',
      faults: { write: 'done, and fails', sync: 'fails' },
      send: answersOnLine,
    },
    {
      what: 'its write fails, and cannot be taken back, and it came over HTTP',
      faults: { write: 'done, and fails', truncate: 'fails' },
      send: answersOverHttp,
    },
  ]
  for (const { what, faults: both, send } of faults) {
    test(what, async t => {
      const folder = temporaryFolder(t)
      const disk = faultyDisk(t)
      const relay = await startRelay(t, { ...disk.options, amqpUrl: NOWHERE, folder })
      assert.deepEqual(await askOnce(relay.socket, lineOf(1)), ['ok'])
      disk.set(both)
      const answers = await send(relay, lineOf(2))

      disk.set({})
      await untilWritable(relay)
      assert.deepEqual(await askOnce(relay.socket, lineOf(3)), ['ok'])
      await relay.end('SIGKILL')
      const { url, relay: next } = await relayOn(t, folder)
      await untilEmpty(next.spool)
      const published = [...(await takeNumbered(url)).keys()]
      assert.deepEqual(answers, [], `the view is ${published.includes(2) ? '' : 'not '}published`)
      assert.ok(published.includes(1) && published.includes(3))
    })
  }
})

test('the disk refuses what has piled up: whoever was held up meanwhile is listened to again', async t => {
  const disk = faultyDisk(t)
  const relay = await startRelay(t, { ...disk.options, amqpUrl: NOWHERE })
  disk.set({ write: 'is slow' })
  assert.deepEqual(await askOnce(relay.socket, lineOf(3)), ['ok'])
  disk.set({ write: 'hangs' })
  const first = await connectLines(relay.socket)
  first.write(`${lineOf(1)}\n`)
  const many = await connectLines(relay.socket)
  const long = JSON.stringify({ post_uuid: 'a', more: 'x'.repeat(60_000) })
  const lines = Array<string>(Math.ceil((2 * BEHIND_BYTES) / long.length)).fill(`${long}\n`)
  many.write(lines.join(''))
  await untilItHasLooked(relay)
  assert.equal(many.isTaken, false, 'it reads no more')
  const held = await connectLines(relay.socket)
  held.write(lineOf(2).slice(0, 20))
  await untilItHasLooked(relay)
  held.write(`${lineOf(2).slice(20)}\n`)
  await untilItHasLooked(relay)
  assert.deepEqual([first.answers, many.answers, held.answers], [[], [], []])

  disk.set({ write: 'fails' })
  await until('what has piled up is refused', () => many.answers.length === lines.length)
  assert.deepEqual(new Set(many.answers.map(answer => answer.split(': ')[1])), new Set(['disk']))
  disk.set({})
  await until('the one that was held up is answered', () => held.answers.length > 0)
  assert.match(held.answers[0]!, /^(ok$|refused: disk: )/)
  assert.ok(relay.isRunning)
  for (const client of [first, many, held]) client.destroy()
})

test('the disk hangs, and was slow before: the relay answers probes, hears signals, and is quick again with its disk', async t => {
  const disk = faultyDisk(t)
  const relay = await startRelay(t, { ...disk.options, amqpUrl: NOWHERE })
  disk.set({ write: 'is slow' })
  assert.deepEqual(await askOnce(relay.socket, lineOf(1)), ['ok'])
  disk.set({ write: 'hangs' })
  const hung = await connectLines(relay.socket)
  hung.write(`${lineOf(2)}\n`)
  await untilItHasLooked(relay)
  assert.deepEqual(hung.answers, [])
  disk.set({})
  await until('the view is kept', () => hung.answers.length > 0)
  assert.deepEqual(hung.answers, ['ok'])
  // The first of them tells that the disk is quick.
  await until('it writes itself again', async () => {
    assert.deepEqual(await askOnce(relay.socket, lineOf(3)), ['ok'])
    return disk.calls().at(-1)!.startsWith('writeSync ')
  })

  disk.set({ write: 'is slow' })
  assert.deepEqual(await askOnce(relay.socket, lineOf(4)), ['ok'])
  disk.set({ write: 'hangs' })
  hung.write(`${lineOf(5)}\n`)
  await untilItHasLooked(relay)
  const ended = relay.end('SIGTERM')
  await until('it has heard the signal', () => relay.logged('relay.stopping').length > 0)
  disk.set({})
  await ended
  assert.deepEqual(hung.answers, ['ok', 'ok'])
  hung.destroy()
})

test('the relay is killed while it tries a disk that has refused: nothing of that is damage', async t => {
  const folder = temporaryFolder(t)
  const disk = faultyDisk(t)
  const relay = await startRelay(t, { ...disk.options, amqpUrl: NOWHERE, folder })
  assert.deepEqual(await askOnce(relay.socket, lineOf(1)), ['ok'])
  disk.set({ write: 'fails' })
  const [answer] = await askOnce(relay.socket, lineOf(2))
  assert.match(answer!, /^refused: disk: /)
  const writes = writesOf(disk)
  disk.set({ write: 'done, and hangs' })
  await until('it tries the disk', () => writesOf(disk) > writes)
  await relay.end('SIGKILL')

  const { url, relay: next } = await relayOn(t, folder)
  assert.deepEqual(await askOnce(next.socket, lineOf(3)), ['ok'])
  await untilEmpty(next.spool)
  assert.deepEqual([...(await takeNumbered(url)).keys()], [1, 3])
  assert.deepEqual(next.logged('spool.damaged'), [])
  assert.equal(await next.metric('damaged_records_total'), 0)
})

test('each folder that the relay makes for its spool is on the disk before it answers', async t => {
  const folder = temporaryFolder(t)
  const disk = faultyDisk(t)
  const spool = join(folder, 'deep/er/spool')
  const { nodeOptions, settings } = disk.options
  const relay = await startRelay(t, {
    amqpUrl: NOWHERE,
    nodeOptions,
    settings: { ...settings, RELAY_SPOOL: spool },
  })
  assert.deepEqual(await askOnce(relay.socket, lineOf(1)), ['ok'])
  const synced = new Set(disk.calls())
  // The name of each stands in the one above.
  for (const above of [folder, join(folder, 'deep'), join(folder, 'deep/er'), spool])
    assert.ok(synced.has(`sync ${above}`), above)
})

/** The numbers of the records, from 1 on, of which no byte lies from the one place to the other. */
function recordsOutside(bytes: Buffer, from: number, to: number): number[] {
  let at = 0
  return linesWithEnds(bytes).flatMap((line, number) => {
    const start = at
    at += line.length
    return number > 0 && (at <= from || start >= to) ? [number] : []
  })
}

/** The answers to a line; none when the connection ends without one. */
async function answersOnLine(relay: Relay, line: string): Promise<readonly string[]> {
  const client = await connectLines(relay.socket)
  const answers = await client.ask([line])
  client.destroy()
  return answers
}

async function answersOverHttp(relay: Relay, body: string): Promise<readonly string[]> {
  const response = await post(relay, body).catch(() => undefined)
  return response === undefined ? [] : [await response.text()]
}

function untilWritable(relay: Relay): Promise<void> {
  return until('the disk is well', async () => (await relay.metric('spool_writable')) === 1)
}

function writesOf(disk: FaultyDisk): number {
  return disk.calls().filter(call => /^write(Sync)? /.test(call)).length
}
