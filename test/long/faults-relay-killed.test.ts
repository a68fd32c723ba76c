/** The relay dies, or is told to end, with views in hand: what it answered `ok` is published all the same. */

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { describe, test } from 'node:test'
import { testRabbitmq } from '../../tools/stack/for-tests.ts'
import { atEnd } from '../support/at-end.ts'
import { takeNumbered } from '../support/published.ts'
import { startRelay } from '../support/relay.ts'
import { RELAY_POINTS } from '../support/relay-die-at.ts'
import { askOnce, connectLines } from '../support/relay-lines.ts'
import { connectHttp, post, untilItHasLooked } from '../support/relay-requests.ts'
import { lineOf, linesOf, type Sender, sendSteadily } from '../support/relay-sender.ts'
import { spoolOf } from '../support/relay-spools.ts'
import { recordsIn, untilEmpty } from '../support/spool-files.ts'
import { declareQueues } from '../support/system.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'

// AMQP 0-9-1: class 60, method 80.
const BASIC_ACK = Buffer.from([0, 60, 0, 80])
const DIE_AT = new URL('../support/relay-die-at.ts', import.meta.url).href
/** A segment is at most a quarter of it. */
const SMALL_SEGMENTS = { RELAY_MAX_BYTES: '1MiB' }
const BEFORE_ANY_ANSWER: readonly string[] = [
  'with half of a group written',
  'after a group is written, before it is answered',
  'when a segment is made, and empty',
  'with half of the first line of a new segment',
] satisfies (typeof RELAY_POINTS)[number][]
/** More than the relay takes from a caller at once, and no more than the kernel holds. */
const LINES_BEFORE = 600
const KILLS = process.env['FULL'] === '1' ? 100 : 20

describe('the relay is killed', { concurrency: true }, () => {
  test('at random under load, again and again: what was answered is published, under one id', async t => {
    const { url } = await ownQueues()
    const folder = temporaryFolder(t)
    let relay = await startRelay(t, { amqpUrl: url, folder })
    const sender = sendSteadily(t, relay.socket)
    for (let kill = 1; kill <= KILLS; kill++) {
      const enough = sender.accepted.length + 1 + Math.floor(Math.random() * 500)
      await until('views are answered', () => sender.accepted.length >= enough)
      assert.equal((await relay.end('SIGKILL')).why, 'SIGKILL')
      relay = await startRelay(t, { amqpUrl: url, folder })
    }
    await sender.stop()
    await untilEmpty(relay.spool)
    await assertPublished(url, sender)
    assert.ok((await relay.metric('damaged_records_total')) === 0, 'nothing is damaged by it')
  })
})

describe('the relay is killed, and the broker', { concurrency: true }, () => {
  test('has confirmed the first of its messages alone: all others are published by the next one', async t => {
    const { url } = await ownQueues()
    const proxy = await startTcpProxy(Number(new URL(url).port))
    atEnd(t, () => proxy.close())
    proxy.refuse()
    const folder = temporaryFolder(t)
    // A segment that goes too soon is gone at once if it is a full one.
    const relay = await startRelay(t, { amqpUrl: proxy.through(url), folder, settings: SMALL_SEGMENTS })
    const last = 2_500
    for (let first = 1; first <= last; first += 250)
      assert.equal((await askOnce(relay.socket, ...linesOf(first, first + 249))).at(-1), 'ok')
    let confirms = 0
    proxy.pass()
    proxy.intercept(({ direction, bytes }) => {
      if (direction === 'to-server' || !bytes.includes(BASIC_ACK)) return 'pass'
      return ++confirms === 1 ? 'pass' : 'swallow'
    })
    await until('more is published than is confirmed', () => confirms > 1)
    const confirmed = await relay.metric('confirmed_total')
    assert.ok(confirmed > 0 && confirmed < 250, `${confirmed} are confirmed`)
    assert.ok(recordsIn(relay.spool).length >= last - confirmed, 'all others are in the spool')
    await relay.end('SIGKILL')

    const next = await startRelay(t, { amqpUrl: url, folder, settings: SMALL_SEGMENTS })
    const before = await takeNumbered(url)
    await untilEmpty(next.spool)
    const after = await takeNumbered(url)
    for (const [number, id] of after) assert.equal(before.get(number) ?? id, id, 'under the same id')
    assert.equal(new Set([...before.keys(), ...after.keys()]).size, last)
  })
})

describe('the relay dies', { concurrency: true }, () => {
  for (const point of RELAY_POINTS) {
    test(`${point}: the next one publishes what was answered`, async t => {
      const { url } = await ownQueues()
      const folder = temporaryFolder(t)
      const dying = await startRelay(t, {
        amqpUrl: url,
        folder,
        nodeOptions: ['--import', DIE_AT],
        settings: { DIE_AT: point, ...SMALL_SEGMENTS },
      })
      const sender = sendSteadily(t, dying.socket)
      await until('it dies', () => !dying.isRunning)
      assert.equal((await dying.exited).why, 'SIGKILL')
      await until('its last answers are read', () => !sender.isConnected)
      const before = sender.accepted.length
      assert.equal(before > 0, !BEFORE_ANY_ANSWER.includes(point))
      const next = await startRelay(t, { amqpUrl: url, folder, settings: SMALL_SEGMENTS })
      await until('it goes on', () => sender.accepted.length >= before + 500)
      await sender.stop()
      await untilEmpty(next.spool)
      await assertPublished(url, sender)
      assert.equal(await next.metric('damaged_records_total'), 0)
    })
  }
})

describe('the relay is told to end', { concurrency: true }, () => {
  test('under load: answers what it has, publishes it, and ends with 0', async t => {
    const { url } = await ownQueues()
    const relay = await startRelay(t, { amqpUrl: url })
    const sender = sendSteadily(t, relay.socket)
    await until('it is under load', () => sender.accepted.length >= 1_000)
    const { code } = await relay.end('SIGTERM')
    await sender.stop()
    assert.equal(code, 0)
    assert.equal(existsSync(relay.socket), false, 'its socket goes with it')
    await assertPublished(url, sender)
    assert.equal(recordsIn(relay.spool).length, 0, 'all of it was confirmed')
  })

  test('with the broker away: ends in time, and the next one publishes what it has', async t => {
    const { url } = await ownQueues()
    const proxy = await startTcpProxy(Number(new URL(url).port))
    atEnd(t, () => proxy.close())
    proxy.refuse()
    const folder = temporaryFolder(t)
    const relay = await startRelay(t, { amqpUrl: proxy.through(url), folder })
    const sender = sendSteadily(t, relay.socket)
    await until('it is under load', () => sender.accepted.length >= 1_000)
    assert.equal((await relay.end('SIGTERM')).code, 0)
    await sender.stop()
    const next = await startRelay(t, { amqpUrl: url, folder })
    await untilEmpty(next.spool)
    await assertPublished(url, sender)
  })

  test('with lines before it that it has not taken: each is answered, and only what it took is published', async t => {
    const { url } = await ownQueues()
    const relay = await startRelay(t, { amqpUrl: url })
    const client = await connectLines(relay.socket)
    // So that both the lines and the signal are there when it goes on.
    relay.kill('SIGSTOP')
    client.write(`${linesOf(1, LINES_BEFORE).join('\n')}\n`)
    assert.ok(client.isTaken, 'all of it has left us')
    relay.kill('SIGTERM')
    relay.kill('SIGCONT')
    assert.equal((await relay.exited).code, 0)
    await until('its answers are read', () => client.isClosed)
    assert.equal(client.answers.length, LINES_BEFORE)
    assert.match(client.answers.at(-1)!, /^refused: stopping: /)
    const published = new Set((await takeNumbered(url)).keys())
    for (const [index, answer] of client.answers.entries()) {
      assert.match(answer, /^(ok$|refused: stopping: )/)
      assert.equal(published.has(index + 1), answer === 'ok')
    }
  })

  test('with a request in hand: from then on nothing is taken, by whatever way, and the request is told so', async t => {
    const relay = await startRelay(t, { amqpUrl: 'amqp://127.0.0.1:1' })
    const client = await connectLines(relay.socket)
    const request = await connectHttp(t, relay)
    request.begin('application/json', lineOf(3).length, lineOf(3).slice(0, -1))
    await untilItHasLooked(relay)
    relay.kill('SIGTERM')
    await until('it knows', () => relay.logged('relay.stopping').length > 0)
    const later = await askOnce(relay.socket, lineOf(1)).catch(() => [])
    for (const answer of [...later, ...(await client.ask([lineOf(2)]))])
      assert.match(answer, /^refused: stopping: /)
    const response = await post(relay, lineOf(4)).catch(() => undefined)
    assert.notEqual(response?.status, 200)
    request.write('}')
    await until('the request is answered', () => request.isClosed)
    assert.match(request.text(), /^HTTP\/1\.1 503 .*^retry-after: \d+\r$.*^refused: stopping: /ims)
    assert.equal((await relay.exited).code, 0)
    assert.deepEqual(recordsIn(relay.spool), [])
  })

  test('while only the second of its brokers is there, and not reached yet: publishes by that one', async t => {
    const { url } = await ownQueues()
    const folder = await spoolOf(t, linesOf(1, 10))
    const proxy = await startTcpProxy(Number(new URL(url).port))
    atEnd(t, () => proxy.close())
    // Much longer than the signal takes.
    proxy.delay(1_000)
    const away = new URL(url)
    away.port = '1'
    const relay = await startRelay(t, { amqpUrl: `${away},${proxy.through(url)}`, folder })
    await until('the first is away', () => relay.logged('broker.lost').length > 0)
    relay.kill('SIGTERM')
    proxy.delay(0)
    assert.equal((await relay.exited).code, 0)
    assert.deepEqual([...(await takeNumbered(url)).keys()], numbersTo(10))
    assert.deepEqual(recordsIn(relay.spool), [])
  })

  test('twice at once: ends as told once', async t => {
    const { url } = await ownQueues()
    const relay = await startRelay(t, { amqpUrl: url })
    assert.deepEqual(new Set(await askOnce(relay.socket, ...linesOf(1, 10))), new Set(['ok']))
    relay.kill('SIGINT')
    assert.equal((await relay.end('SIGTERM')).code, 0)
    assert.equal((await takeNumbered(url)).size, 10)
  })
})

async function ownQueues(): Promise<{ url: string }> {
  const broker = await testRabbitmq()
  await declareQueues(broker.url)
  return broker
}

function numbersTo(last: number): number[] {
  return Array.from({ length: last }, (_, index) => index + 1)
}

/** Each that was answered `ok` is in the queue under one id, and none that was refused. */
async function assertPublished(url: string, { accepted, refused, last }: Sender): Promise<void> {
  const ids = await takeNumbered(url)
  const lost = accepted.filter(number => !ids.has(number))
  assert.equal(lost.length, 0, `${lost.length} of ${accepted.length} that were answered are lost`)
  const published = [...refused.keys()].filter(number => ids.has(number))
  assert.equal(published.length, 0, 'refused, and published')
  const invented = [...ids.keys()].filter(number => number < 1 || number > last)
  assert.equal(invented.length, 0)
  assert.equal(new Set(ids.values()).size, ids.size)
}
