/** What the relay finds in its spool: written by another version, damaged, somebody else's, or another relay's. */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { eventsOf, numbered, takeMessages, takeNumbered } from '../support/published.ts'
import { type Relay, startRelay } from '../support/relay.ts'
import { askOnce } from '../support/relay-lines.ts'
import { lineOf, linesOf } from '../support/relay-sender.ts'
import { linesWithEnds, NOWHERE, relayOn, spoolOf } from '../support/relay-spools.ts'
import { everythingIn, recordsIn, segmentsIn, untilEmpty } from '../support/spool-files.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'

/** Written by hand, by the format as docs/relay.md tells it. */
const FORMAT_1 = join(import.meta.dirname, '../support/spool-format-1.views')
const DAMAGED = 'damaged_records_total'
const RECORDS = 5

describe('a spool of', { concurrency: true }, () => {
  test('format 1 is published by every later relay, under the ids that it holds', async t => {
    const folder = temporaryFolder(t)
    mkdirSync(join(folder, 'spool'), { mode: 0o700 })
    copyFileSync(FORMAT_1, join(folder, 'spool/00000001.views'))
    const { url, relay } = await relayOn(t, folder)
    await untilEmpty(relay.spool)
    const events = eventsOf(await takeMessages(url))
    assert.deepEqual(
      events.map(({ event_id, post_uuid, timestamp, user_agent }) => [
        event_id,
        post_uuid,
        timestamp,
        user_agent,
      ]),
      [
        ['0197a3c0-0000-7000-8000-000000000001', 'the-first', '2026-06-24T10:00:00.000Z', undefined],
        ['0197a3c0-0000-7000-8000-000000000002', 'the-second', '2026-06-24T10:00:01.000Z', 'żółw/1.0 🐢'],
      ],
    )
    assert.equal(await relay.metric(DAMAGED), 0)
  })

  test('a later format is refused at the start, by name, and left as it is', async t => {
    const folder = await spoolOf(t, linesOf(1, RECORDS))
    const [segment] = segmentsIn(join(folder, 'spool'))
    // A flipped bit may make another number of the first line: only what follows tells a later format from that.
    writeFileSync(segment!.path, 'postviews-spool 2\nsome other way to keep a view\n')
    const before = readFileSync(segment!.path)
    const relay = await startRelay(t, { amqpUrl: NOWHERE, folder })
    await assertRefused(relay)
    assert.match(relay.output(), /00000001\.views/)
    assert.match(relay.output(), /postviews-spool 2|format 2/)
    assert.deepEqual(readFileSync(segment!.path), before)
  })
})

describe('a record is damaged, it is said, and its neighbours are published:', { concurrency: true }, () => {
  /** What is done to the line of the third record. Where the rest of it tells what it was, nothing is lost. */
  const damages: { what: string; damage: (line: Buffer) => Buffer; lost: number[] }[] = [
    { what: 'a bit flipped in its event', damage: line => flipped(line, line.length - 20), lost: [3] },
    { what: 'a bit flipped in its id', damage: line => flipped(line, fieldAt(line, 2) + 3), lost: [3] },
    { what: 'a bit flipped in its checksum', damage: line => flipped(line, 0), lost: [3] },
    { what: 'a bit flipped in its length', damage: line => flipped(line, fieldAt(line, 1)), lost: [] },
    { what: 'a bit flipped in its line end', damage: line => flipped(line, line.length - 1), lost: [] },
    { what: 'a line end within it', damage: line => changed(line, line.length - 30, 0x0a), lost: [3] },
    { what: 'all of it zeros', damage: line => Buffer.alloc(line.length), lost: [3] },
    { what: 'half of it gone', damage: line => line.subarray(line.length / 2), lost: [3] },
  ]
  for (const { what, damage, lost } of damages) {
    test(what, async t => {
      const folder = await spoolOf(t, linesOf(1, RECORDS))
      const [segment] = segmentsIn(join(folder, 'spool'))
      const lines = linesWithEnds(segment!.bytes)
      assert.equal(lines.length, 1 + RECORDS)
      lines[3] = damage(lines[3]!)
      writeFileSync(segment!.path, Buffer.concat(lines))

      const { url, relay } = await relayOn(t, folder)
      await untilEmpty(relay.spool)
      assert.deepEqual(await askOnce(relay.socket, lineOf(RECORDS + 1)), ['ok'])
      await untilEmpty(relay.spool)
      const expected = [1, 2, 3, 4, 5, 6].filter(number => !lost.includes(number))
      assert.deepEqual([...(await takeNumbered(url)).keys()], expected)
      const told = relay.logged('spool.damaged')
      assert.equal(told.length > 0, lost.length > 0)
      assert.equal(await relay.metric(DAMAGED), told.length)
      for (const entry of told) assert.match(JSON.stringify(entry), /00000001\.views/)
      assert.doesNotMatch(relay.output(), /203\.0\.113\.7|0190163d/, 'nothing of an event')
    })
  }

  test('half of the last one, as a power cut leaves it', async t => {
    const folder = await spoolOf(t, linesOf(1, RECORDS))
    const [segment] = segmentsIn(join(folder, 'spool'))
    writeFileSync(segment!.path, segment!.bytes.subarray(0, segment!.bytes.length - 40))
    const { url, relay } = await relayOn(t, folder)
    assert.deepEqual(await askOnce(relay.socket, lineOf(RECORDS + 1)), ['ok'])
    await untilEmpty(relay.spool)
    assert.deepEqual([...(await takeNumbered(url)).keys()], [1, 2, 3, 4, 6])
  })

  /** As a page that never reached the disk: the rest of the file is zeros from within that record on. */
  const zeros = [
    { what: 'zeros at its end, where whole ones were', fromRecord: 4 },
    { what: 'zeros at the end of its last one', fromRecord: RECORDS },
  ]
  for (const { what, fromRecord } of zeros) {
    test(what, async t => {
      const folder = await spoolOf(t, linesOf(1, RECORDS))
      const [segment] = segmentsIn(join(folder, 'spool'))
      const before = Buffer.concat(linesWithEnds(segment!.bytes).slice(0, fromRecord)).length
      writeFileSync(segment!.path, Buffer.from(segment!.bytes).fill(0, before + 60))
      const { url, relay } = await relayOn(t, folder)
      await untilEmpty(relay.spool)
      const whole = Array.from({ length: fromRecord - 1 }, (_, index) => index + 1)
      assert.deepEqual([...(await takeNumbered(url)).keys()], whole)
      assert.ok((await relay.metric(DAMAGED)) > 0)
      assert.match(JSON.stringify(relay.logged('spool.damaged')), /00000001\.views/)
    })
  }

  test('a bit flipped in the first line of a segment, whatever version that makes of it', async t => {
    const folder = await spoolOf(t, linesOf(1, RECORDS))
    const [segment] = segmentsIn(join(folder, 'spool'))
    const [header, ...records] = linesWithEnds(segment!.bytes)
    const versionAt = header!.length - 2
    for (const [index, version] of ['3', '5', '9', '0', 'q'].entries()) {
      const damaged = changed(header!, versionAt, version.charCodeAt(0))
      const path = join(folder, 'spool', `0000000${index + 1}.views`)
      writeFileSync(path, Buffer.concat([damaged, records[index]!]), { mode: 0o600 })
    }
    const { url, relay } = await relayOn(t, folder)
    assert.ok(relay.isRunning, 'it starts')
    await untilEmpty(relay.spool)
    assert.deepEqual([...(await takeNumbered(url)).keys()], [1, 2, 3, 4, 5])
    assert.equal(await relay.metric(DAMAGED), RECORDS)
    assert.equal(relay.logged('spool.damaged').length, RECORDS)
  })

  test('a segment of zeros between two others', async t => {
    const folder = await spoolOf(t, linesOf(1, RECORDS))
    const [segment] = segmentsIn(join(folder, 'spool'))
    const name = (number: number) => join(folder, 'spool', `${String(number).padStart(8, '0')}.views`)
    writeFileSync(name(2), Buffer.alloc(65_536), { mode: 0o600 })
    const [header, ...rest] = linesWithEnds(segment!.bytes)
    writeFileSync(segment!.path, Buffer.concat([header!, ...rest.slice(0, 2)]))
    writeFileSync(name(3), Buffer.concat([header!, ...rest.slice(2)]), { mode: 0o600 })
    const { url, relay } = await relayOn(t, folder)
    await untilEmpty(relay.spool)
    assert.deepEqual([...(await takeNumbered(url)).keys()], [1, 2, 3, 4, 5])
    assert.match(JSON.stringify(relay.logged('spool.damaged')), /00000002\.views/)
    assert.ok((await relay.metric(DAMAGED)) > 0)
  })
})

describe('the folder', { concurrency: true }, () => {
  test("somebody else's files in it are left alone", async t => {
    const folder = await spoolOf(t, linesOf(1, RECORDS))
    const foreign = {
      'README.txt': 'hello',
      '00000001.views.bak': 'postviews-spool 1\nx\n',
      '1.views': '',
      'lock-screen-settings.json': '{}',
    }
    for (const [name, text] of Object.entries(foreign)) writeFileSync(join(folder, 'spool', name), text)
    const socket = join(folder, 'spool/lock-of-a-database')
    await leaveSocket(socket)
    mkdirSync(join(folder, 'spool/lost+found'))
    const { url, relay } = await relayOn(t, folder)
    await until('all is published', async () => recordsIn(relay.spool).length <= 1)
    assert.equal((await relay.end('SIGTERM')).code, 0)
    assert.deepEqual([...(await takeNumbered(url)).keys()], [1, 2, 3, 4, 5])
    for (const [name, text] of Object.entries(foreign))
      assert.equal(readFileSync(join(relay.spool, name), 'utf8'), text)
    assert.ok(statSync(socket).isSocket())
  })

  test('is made for its owner alone, and so are its files and the socket for owner and group, whatever the umask', async t => {
    const folder = temporaryFolder(t)
    const spool = join(folder, 'deep/er/spool')
    const under = ['/bin/sh', '-c', 'umask 0; exec "$@"', 'sh']
    const relay = await startRelay(t, { amqpUrl: NOWHERE, folder, settings: { RELAY_SPOOL: spool }, under })
    assert.deepEqual(await askOnce(relay.socket, lineOf(1)), ['ok'])
    assert.equal(modeOf(spool), 0o700)
    assert.equal(modeOf(relay.socket), 0o660)
    for (const { path } of segmentsIn(spool)) assert.equal(modeOf(path), 0o600)
  })

  test('holds nothing of a view once it is confirmed', async t => {
    const folder = temporaryFolder(t)
    const { relay } = await relayOn(t, folder)
    const id = '0197a3c0-0000-7000-8000-00000000000a'
    const event = { ...numbered(7), event_id: id, ip: '198.51.100.77', user_agent: 'an agent of its own' }
    assert.deepEqual(await askOnce(relay.socket, JSON.stringify(event)), ['ok'])
    await untilEmpty(relay.spool, 5_000)
    const left = everythingIn(relay.spool).toString('latin1')
    for (const text of [id, '198.51.100.77', 'an agent of its own']) assert.ok(!left.includes(text), text)
  })
})

describe('two relays', { concurrency: true }, () => {
  test('on one spool: the second is refused, and may have it as soon as the first is killed', async t => {
    const { url, relay: first, folder } = await relayOn(t, temporaryFolder(t))
    const second = await startRelay(t, { amqpUrl: url, settings: { RELAY_SPOOL: first.spool } })
    await assertRefused(second)
    assert.match(second.output(), /spool/)
    assert.ok(second.output().includes(first.spool), 'it names the folder')
    assert.deepEqual(await askOnce(first.socket, lineOf(1)), ['ok'], 'the first goes on')
    await first.end('SIGKILL')
    const third = await startRelay(t, { amqpUrl: url, folder })
    assert.deepEqual(await askOnce(third.socket, lineOf(2)), ['ok'])
  })

  test('started at the same moment on one spool: never both', async t => {
    for (let round = 1; round <= 10; round++) {
      const spool = join(temporaryFolder(t), 'spool')
      const start = () => startRelay(t, { amqpUrl: NOWHERE, settings: { RELAY_SPOOL: spool } })
      const relays = await Promise.all([start(), start(), start()])
      await until('all but one have ended', () => relays.filter(({ isRunning }) => isRunning).length <= 1)
      const [running] = relays.filter(({ isRunning }) => isRunning)
      assert.ok(running, 'one of them has it')
      assert.deepEqual(await askOnce(running.socket, lineOf(1)), ['ok'])
      for (const relay of relays.filter(relay => relay !== running))
        assert.equal((await relay.exited).code, 1)
      await running.end('SIGKILL')
    }
  })

  test('on one socket: the second is refused; what a killed one has left is replaced; a file is not', async t => {
    const { relay: first, folder } = await relayOn(t, temporaryFolder(t))
    const other = () => {
      const settings = { RELAY_SPOOL: join(temporaryFolder(t), 'spool') }
      return startRelay(t, { amqpUrl: NOWHERE, folder, settings })
    }
    const second = await other()
    await assertRefused(second)
    assert.ok(second.output().includes(first.socket))
    assert.deepEqual(await askOnce(first.socket, lineOf(1)), ['ok'])
    await first.end('SIGKILL')
    const third = await other()
    assert.equal((await third.end('SIGTERM')).code, 0)
    writeFileSync(first.socket, 'precious')
    const fourth = await other()
    await assertRefused(fourth)
    assert.equal(readFileSync(first.socket, 'utf8'), 'precious')
  })
})

/** A socket file that nobody listens on: its process was killed. */
async function leaveSocket(path: string): Promise<void> {
  const program = 'net.createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))'
  await once(spawn(process.execPath, ['-e', program, path], { stdio: 'ignore' }), 'exit')
}

/** `startRelay` waits until it takes views, or has ended. */
async function assertRefused(relay: Relay): Promise<void> {
  assert.equal(relay.isRunning, false, 'it has ended')
  assert.equal((await relay.exited).code, 1)
}

function flipped(bytes: Buffer, at: number): Buffer {
  return changed(bytes, at, bytes[at]! ^ 0x02)
}

function changed(bytes: Buffer, at: number, value: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[at] = value
  return copy
}

/** Where in a record its n-th field begins, from 0 on. */
function fieldAt(line: Buffer, field: number): number {
  let at = 0
  for (let n = 0; n < field; n++) at = line.indexOf(0x20, at) + 1
  return at
}

function modeOf(path: string): number {
  return statSync(path).mode & 0o777
}
