/** The relay cannot publish, or cannot write: the broker is away, the disk is full, the spool has all it may have. */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { testRabbitmq } from '../../tools/stack/for-tests.ts'
import { atEnd } from '../support/at-end.ts'
import { eventsOf, messageCount, numbered, takeMessages, takeNumbered } from '../support/published.ts'
import { type Relay, startRelay } from '../support/relay.ts'
import { connectLines } from '../support/relay-lines.ts'
import { linesOf } from '../support/relay-sender.ts'
import { smallDisk } from '../support/small-disk.ts'
import { segmentsIn, untilEmpty } from '../support/spool-files.ts'
import { declareQueues } from '../support/system.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

const LONG_AWAY = process.env['FULL'] === '1' ? 1_000_000 : 50_000
/** What the relay may take more by then: much less than it has in its spool. */
const MEMORY_BYTES = 96e6
const LONG_AGENT = 'a'.repeat(2_000)
const PAGE_BYTES = 4_096
const MAX_BYTES = 1_100_000

describe('the broker', { concurrency: true }, () => {
  test('is away for long: the relay takes views all the while, and publishes them in order when it is back', async t => {
    const { url, proxy, relay } = await relayBehindProxy(t, { isAway: true })
    const before = relay.residentBytes()
    const client = await connectLines(relay.socket)
    for (let first = 1; first <= LONG_AWAY; first += 500) {
      const events = Array.from({ length: 500 }, (_, index) => numbered(first + index))
      const lines = events.map(event => JSON.stringify({ ...event, user_agent: LONG_AGENT }))
      assert.deepEqual(new Set(await client.ask(lines)), new Set(['ok']))
    }
    assert.equal(await readinessOf(relay), 'ready')
    assert.equal(await relay.metric('broker_connected'), 0)
    const grown = relay.residentBytes() - before
    assert.ok(grown < MEMORY_BYTES, `grew by ${grown} bytes`)

    proxy.pass()
    await untilEmpty(relay.spool, 120_000)
    await assertInOrder(url, LONG_AWAY)
  })

  test('is lost again and again while the relay catches up: what came first is published first', async t => {
    const { url, proxy, relay } = await relayBehindProxy(t, { isAway: true })
    const client = await connectLines(relay.socket)
    const last = 20_000
    for (let first = 1; first <= last; first += 1_000) await client.ask(linesOf(first, first + 999))
    let losses = 0
    let published = 0
    proxy.pass()
    proxy.intercept(({ direction, bytes }) => {
      if (direction === 'to-client') return 'pass'
      published += bytes.length
      if (losses === 10 || published < (losses + 1) * 200_000) return 'pass'
      losses++
      return 'reset'
    })
    await untilEmpty(relay.spool)
    assert.equal(losses, 10)
    await assertInOrder(url, last)
  })

  test('takes nothing, for an alarm: the relay takes views all the while, and goes on by itself', async t => {
    const { url, proxy, relay } = await relayBehindProxy(t)
    await until('it is connected', async () => (await relay.metric('broker_connected')) === 1)
    // A broker that has no memory left reads no more of what publishers send.
    proxy.swallow()
    const client = await connectLines(relay.socket)
    assert.deepEqual(new Set(await client.ask(linesOf(1, 5_000))), new Set(['ok']))
    proxy.pass()
    proxy.reset()
    await untilEmpty(relay.spool)
    await assertInOrder(url, 5_000)
  })
})

describe('the disk', { concurrency: true }, () => {
  test('is full: refuses, says so, and goes on by itself when there is room', async t => {
    const disk = await smallDisk(t, 16)
    const { url, proxy, relay } = await relayBehindProxy(t, { folder: disk.folder, isAway: true })
    const client = await connectLines(relay.socket)
    const answers = await client.ask(linesOf(1, 1_000))
    assert.deepEqual(new Set(answers), new Set(['ok']))

    await disk.fill(relay.pid)
    // Of its last page there may be some left.
    while (answers.at(-1) === 'ok')
      answers.push(...(await client.ask(linesOf(answers.length + 1, answers.length + 100))))
    assert.match(answers.at(-1)!, /^refused: disk: /)
    assert.notEqual(await readinessOf(relay), 'ready')
    answers.push(...(await client.ask(linesOf(answers.length + 1, answers.length + 500))))
    assert.ok(relay.logged('spool.unwritable').length > 0)
    const refused = answers.filter(answer => answer !== 'ok').length
    assert.equal(await relay.metric('refused_total{reason="disk"}'), refused)

    await disk.free(relay.pid)
    await until('it is ready by itself', async () => (await readinessOf(relay)) === 'ready')
    answers.push(...(await client.ask(linesOf(answers.length + 1, answers.length + 500))))
    assert.equal(answers.at(-1), 'ok')
    proxy.pass()
    await untilEmpty(relay.spool)
    await assertPublished(url, answers)
  })
})

test('the disk is full, and the relay is killed then: what it refused is not published by the next one', async t => {
  const disk = await smallDisk(t, 16)
  const options = { folder: disk.folder, isAway: true }
  const { url, relay } = await relayBehindProxy(t, options)
  const client = await connectLines(relay.socket)
  const answers: string[] = []
  // What is left of its last page takes some of the records of a group that is refused as one.
  while (answers.length === 0 || PAGE_BYTES - (bytesIn(relay) % PAGE_BYTES) < PAGE_BYTES / 2)
    answers.push(...(await client.ask(linesOf(answers.length + 1, answers.length + 1))))
  await disk.fill(relay.pid)
  const some = await client.ask(linesOf(answers.length + 1, answers.length + 100))
  // A small group may find room behind a larger one that does not.
  assert.ok(some.some(answer => answer.startsWith('refused: disk: ')))
  answers.push(...some)
  await relay.end('SIGKILL')
  await disk.free()
  const next = await startRelay(t, { amqpUrl: url, folder: disk.folder })
  await untilEmpty(next.spool)
  await assertPublished(url, answers)
})

describe('the spool', { concurrency: true }, () => {
  test('has all it may have: refuses, counts it, and goes on when it is drained', async t => {
    const settings = { RELAY_MAX_BYTES: String(MAX_BYTES) }
    const { url, proxy, relay } = await relayBehindProxy(t, { settings, isAway: true })
    const client = await connectLines(relay.socket)
    const answers: string[] = []
    while (answers.at(-1)?.startsWith('refused') !== true) {
      answers.push(...(await client.ask(linesOf(answers.length + 1, answers.length + 200))))
      assert.ok(answers.length < MAX_BYTES / 100, 'it has a bound')
    }
    assert.match(answers.at(-1)!, /^refused: full: /)
    assert.match(await readinessOf(relay), /full/)
    const bytes = bytesIn(relay)
    assert.ok(bytes <= MAX_BYTES && bytes > MAX_BYTES / 2, `${bytes} bytes`)
    assert.equal(await relay.metric('spool_bytes'), bytes)
    const refused = answers.filter(answer => answer !== 'ok').length
    assert.equal(await relay.metric('refused_total{reason="full"}'), refused)

    proxy.pass()
    await untilEmpty(relay.spool)
    await until('it is ready', async () => (await readinessOf(relay)) === 'ready')
    answers.push(...(await client.ask(linesOf(answers.length + 1, answers.length + 200))))
    assert.equal(answers.at(-1), 'ok')
    await untilEmpty(relay.spool)
    await assertPublished(url, answers)
  })
})

interface RelayBehindProxy {
  /** Past the proxy. */
  url: string
  proxy: TcpProxy
  relay: Relay
}

async function relayBehindProxy(
  t: TestContext,
  options: { folder?: string; settings?: Record<string, string>; isAway?: boolean } = {},
): Promise<RelayBehindProxy> {
  const { isAway = false, ...rest } = options
  const { url } = await testRabbitmq()
  await declareQueues(url)
  const proxy = await startTcpProxy(Number(new URL(url).port))
  atEnd(t, () => proxy.close())
  if (isAway) proxy.refuse()
  const relay = await startRelay(t, { amqpUrl: proxy.through(url), ...rest })
  return { url, proxy, relay }
}

function bytesIn({ spool }: Relay): number {
  return segmentsIn(spool).reduce((sum, { bytes }) => sum + bytes.length, 0)
}

/** `ready`, or what it answers instead. */
async function readinessOf(relay: Relay): Promise<string> {
  const response = await fetch(`${relay.url}/readyz`, { headers: { connection: 'close' } })
  const text = await response.text()
  return response.status === 200 ? 'ready' : text
}

/** All of 1 to `last` are in the queue; what was published again counts where it was first. */
async function assertInOrder(url: string, last: number): Promise<void> {
  assert.ok((await messageCount(url, VIEWS_QUEUE)) > 0)
  const numbers = eventsOf(await takeMessages(url)).map(({ user_id }) => Number(user_id))
  const first = [...new Set(numbers)]
  const displaced = first.findIndex((number, index) => number !== index + 1)
  assert.equal(displaced, -1, `place ${displaced + 1} has number ${first[displaced]}`)
  assert.equal(first.length, last)
}

/** Lines were sent in the order of their numbers: those that were answered `ok` are in the queue, and no others. */
async function assertPublished(url: string, answers: readonly string[]): Promise<void> {
  const published = new Set((await takeNumbered(url)).keys())
  const wrong = answers.flatMap((answer, index) =>
    published.has(index + 1) === (answer === 'ok') ? [] : [`${index + 1}: ${answer}`],
  )
  assert.equal(wrong.length, 0, `lost or published though refused: ${wrong.slice(0, 5)}`)
}
