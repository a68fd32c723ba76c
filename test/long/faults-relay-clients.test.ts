/** Clients of the relay's socket that are odd, rude or many: each is bounded, and others are unharmed. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createConnection } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import { testRabbitmq } from '../../tools/stack/for-tests.ts'
import { atEnd } from '../support/at-end.ts'
import { takeNumbered } from '../support/published.ts'
import { type Relay, startRelay } from '../support/relay.ts'
import { askOnce, connectLines, type RelayLines } from '../support/relay-lines.ts'
import { untilItHasLooked } from '../support/relay-requests.ts'
import { lineOf, linesOf } from '../support/relay-sender.ts'
import { untilEmpty } from '../support/spool-files.ts'
import { declareQueues } from '../support/system.ts'
import { until } from '../support/until.ts'

/** What a client may cost beside what the relay takes anyway; in bench/relay.ts is what that is. */
const MEMORY_BYTES = 96e6
const MAX_CONNECTIONS = 1_024
const TEN_MEGABYTES = 10_000_000
/** Together much more than it may take of memory. */
const MANY = 20
/** A line may take so long to arrive. */
const LINE_MS = 10_000
/** As much as the relay reads at once. */
const CHUNK_BYTES = 65_536
const LINE_FEED = 0x0a

describe('a client of the relay that', { concurrency: true }, () => {
  test('sends lines of 10 MB: each is refused or its connection ended, in bounded memory, and the next is taken', async t => {
    const own = await ownRelay(t)
    const { relay } = own
    const neighbour = await connect(t, relay)
    const rude = await connect(t, relay)
    const long = Buffer.alloc(TEN_MEGABYTES, 'x')
    for (let n = 0; n < MANY; n++) rude.write(Buffer.concat([long, Buffer.from('\n')]))
    rude.write(`${lineOf(1)}\n`)
    await until(
      'all are answered, or it is ended',
      () => rude.isClosed || rude.answers.length === MANY + 1,
      60_000,
    )
    for (const answer of rude.answers.slice(0, MANY)) assert.match(answer, /^refused: too_large: /)
    if (!rude.isClosed) assert.equal(rude.answers[MANY], 'ok')
    assert.deepEqual(await neighbour.ask([lineOf(2)]), ['ok'])
    assertBounded(own)
  })

  test('sends 200 MB of a line that never ends: is bounded', async t => {
    const own = await ownRelay(t)
    const { relay } = own
    const rude = await connect(t, relay)
    for (let n = 0; n < MANY; n++) rude.write(Buffer.alloc(TEN_MEGABYTES, '{'))
    assert.deepEqual(await askOnce(relay.socket, lineOf(1)), ['ok'])
    await until('it is ended', () => rude.isClosed, 4 * LINE_MS)
    assertBounded(own)
  })

  test('sends half a line and waits: is ended; one that sends nothing may stay', async t => {
    const { relay } = await ownRelay(t)
    const idle = await connect(t, relay)
    const slow = await connect(t, relay)
    slow.write(lineOf(1).slice(0, 20))
    await until('it is ended', () => slow.isClosed, 4 * LINE_MS)
    assert.equal(idle.isClosed, false)
    assert.deepEqual(await idle.ask([lineOf(2)]), ['ok'])
  })

  test('sends its line a byte at a time: is answered', async t => {
    const { relay } = await ownRelay(t)
    const slow = await connect(t, relay)
    for (const byte of Buffer.from(`${lineOf(1)}\n`)) slow.write(Buffer.from([byte]))
    await until('it is answered', () => slow.answers.length > 0)
    assert.deepEqual(slow.answers, ['ok'])
  })

  test('never reads its answers: is read no more until it does, in bounded memory', async t => {
    const own = await ownRelay(t)
    const { relay } = own
    const deaf = await connect(t, relay)
    deaf.pause()
    // More than kernel and relay hold of lines and answers together.
    const lines = 300_000
    const refused = `${'{}'}\n`
    deaf.write(refused.repeat(lines))
    await until('others are answered', async () => (await askOnce(relay.socket, lineOf(1)))[0] === 'ok')
    const read = () => relay.metric('refused_total{reason="no_post"}')
    for (let [before, now] = [-1, await read()]; before !== now; [before, now] = [now, await read()]) {
      await untilItHasLooked(relay)
    }
    assert.equal(deaf.isTaken, false, 'the relay reads no more')
    assertBounded(own)
    deaf.resume()
    await until('all is answered', () => deaf.answers.length === lines)
    assert.deepEqual(new Set(deaf.answers.map(answer => answer.split(': ')[1])), new Set(['no_post']))
  })

  test('never reads what is wrong with its short lines: few of them are looked at before it does', async t => {
    const { relay } = await ownRelay(t)
    const deaf = await connect(t, relay)
    deaf.pause()
    deaf.write('\n'.repeat(CHUNK_BYTES))
    await until('others are answered', async () => (await askOnce(relay.socket, lineOf(1)))[0] === 'ok')
    await untilItHasLooked(relay)
    const refused = await relay.metric('refused_total{reason="not_json"}')
    assert.ok(refused > 0 && refused < CHUNK_BYTES / 4, `${refused} lines`)
  })

  test('is one of 2,000: those beyond the limit are ended, the others answered, and newcomers when there is room', async t => {
    const own = await ownRelay(t)
    const { relay } = own
    const clients = await connectMany(t, relay, 2_000)
    const open = () => clients.filter(({ isClosed }) => !isClosed)
    await until('those beyond the limit are ended', () => open().length <= MAX_CONNECTIONS)
    assert.ok(open().length >= MAX_CONNECTIONS - 10, `${open().length} are left`)
    const answers = await Promise.all(open().map(client => client.ask([lineOf(1)])))
    assert.deepEqual(new Set(answers.flat()), new Set(['ok']))
    assertBounded(own)
    for (const client of open()) client.destroy()
    await until('there is room', async () => (await relay.metric('connections')) < MAX_CONNECTIONS)
    assert.deepEqual(await askOnce(relay.socket, lineOf(2)), ['ok'])
  })

  test('sends what is no event: each line is refused with its reason, and the good ones between are taken', async t => {
    const { relay } = await ownRelay(t)
    const client = await connect(t, relay)
    const odd: [line: Buffer, answer: RegExp][] = [
      [Buffer.from('{"post_uuid":"a\\u0000b"}'), /^refused: nul: /],
      [Buffer.from('{"post_uuid":"a","user_agent":"a\\u0000b"}'), /^refused: nul: /],
      [Buffer.from('{"post_uuid":"a\0b"}'), /^refused: (nul|not_json): /],
      [Buffer.from('\0'), /^refused: (nul|not_json): /],
      [Buffer.from([0x7b, 0x22, 0xc3, 0x28, 0x22, 0x7d]), /^refused: not_utf8: /],
      [Buffer.from([0xff, 0xfe]), /^refused: not_utf8: /],
      [Buffer.from(''), /^refused: not_json: /],
      [Buffer.from(' '), /^refused: not_json: /],
      [Buffer.from('\r'), /^refused: not_json: /],
      [Buffer.from('null'), /^refused: not_an_event: /],
      [Buffer.from('[]'), /^refused: not_an_event: /],
      [Buffer.from(`[${lineOf(1)}]`), /^refused: not_an_event: /],
      [Buffer.from('GET / HTTP/1.1'), /^refused: not_json: /],
      [Buffer.from('{"post_uuid":"a","event_id":"no-uuid"}'), /^refused: bad_event_id: /],
      [Buffer.from('{"post_uuid":"a","timestamp":"yesterday"}'), /^refused: bad_time: /],
      [
        Buffer.from(`{"post_uuid":"a","deep":${'['.repeat(30_000)}${']'.repeat(30_000)}}`),
        /^(ok$|refused: )/,
      ],
    ]
    for (const [index, [line]] of odd.entries())
      client.write(Buffer.concat([line, Buffer.from(`\n${lineOf(index + 1)}\n`)]))
    await until('all is answered', () => client.answers.length === 2 * odd.length)
    for (const [index, [line, answer]] of odd.entries()) {
      assert.match(client.answers[2 * index]!, answer, line.toString().slice(0, 80))
      assert.equal(client.answers[2 * index + 1], 'ok')
    }
  })

  test('ends lines with CR LF, or the last one not at all: is answered, and then ended', async t => {
    const { url } = await ownQueues()
    const relay = await startRelay(t, { amqpUrl: url })
    const client = await connect(t, relay)
    client.write(`${lineOf(1)}\r\n${lineOf(2)}`)
    client.end()
    await until('it is ended', () => client.isClosed)
    assert.deepEqual(client.answers, ['ok', 'ok'])
    await untilEmpty(relay.spool)
    assert.deepEqual([...(await takeNumbered(url)).keys()], [1, 2])
  })

  test('is gone before it is answered: what it sent whole may be kept, and half a line is not', async t => {
    const { url } = await ownQueues()
    const relay = await startRelay(t, { amqpUrl: url })
    for (let n = 1; n <= 50; n++) {
      const client = await connectLines(relay.socket)
      client.write(`${lineOf(n)}\n${lineOf(1_000 + n).slice(0, -1)}`)
      client.destroy()
    }
    assert.deepEqual(await askOnce(relay.socket, ...linesOf(100, 110)), Array(11).fill('ok'))
    await untilEmpty(relay.spool)
    const numbers = [...(await takeNumbered(url)).keys()]
    assert.deepEqual(
      numbers.filter(number => number >= 1_000),
      [],
    )
    assert.deepEqual(
      numbers.filter(number => number >= 100),
      linesOf(100, 110).map((_, index) => 100 + index),
    )
  })
})

/** These alone take all of the machine. */
describe('a client of the relay that', () => {
  test('is one of 50 that send bad lines as fast as they can: another one is answered in its turn', async t => {
    const { relay } = await ownRelay(t)
    const flood = await Promise.all(Array.from({ length: 50 }, () => floodOf(t, relay)))
    const neighbour = await connect(t, relay)
    // So that all of it is there at once, whatever runs when.
    relay.kill('SIGSTOP')
    for (const each of flood) each.write('\n'.repeat(CHUNK_BYTES))
    neighbour.write(`[]\n${lineOf(1)}\n`)
    relay.kill('SIGCONT')
    await until('it is answered', () => neighbour.answers.length > 0)
    const lines = flood.reduce((sum, { answers }) => sum + answers(), 0)
    assert.ok(lines < (50 * CHUNK_BYTES) / 100, `${lines} lines of others before`)
    await until('it is taken', () => neighbour.answers.length === 2)
    assert.equal(neighbour.answers[1], 'ok')

    for (const each of flood) each.write('\n'.repeat(CHUNK_BYTES))
    assert.equal((await relay.end('SIGTERM')).code, 0)
  })

  test('is one of 1,024 that have said nothing: makes room for a new one, and those that speak stay', async t => {
    const { relay } = await ownRelay(t)
    const clients = await connectMany(t, relay, MAX_CONNECTIONS)
    const first = clients[0]!
    assert.deepEqual(await first.ask([lineOf(1)]), ['ok'])
    assert.deepEqual(await askOnce(relay.socket, lineOf(2)), ['ok'])
    assert.deepEqual(await first.ask([lineOf(3)]), ['ok'])
    await until('one is ended', () => clients.some(({ isClosed }) => isClosed))
    assert.equal(clients.filter(({ isClosed }) => isClosed).length, 1)
    assert.ok(relay.logged('connection.displaced').length > 0)
  })
})

async function ownQueues(): Promise<{ url: string }> {
  const broker = await testRabbitmq()
  await declareQueues(broker.url)
  return broker
}

interface OwnRelay {
  relay: Relay
  residentBefore: number
}

/** With no broker: what it takes stays in its spool. */
async function ownRelay(t: TestContext): Promise<OwnRelay> {
  const relay = await startRelay(t, { amqpUrl: 'amqp://127.0.0.1:1' })
  return { relay, residentBefore: relay.residentBytes() }
}

async function connect(t: TestContext, relay: Relay): Promise<RelayLines> {
  const client = await connectLines(relay.socket)
  atEnd(t, () => client.destroy())
  return client
}

/** More wait to be accepted than the kernel keeps for a relay that is busy. */
function unlessTooMany(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'EAGAIN') throw error
}

async function connectMany(t: TestContext, relay: Relay, count: number): Promise<RelayLines[]> {
  const clients: RelayLines[] = []
  for (let n = 0; n < count; n++) {
    await until('the kernel has room for one more', async () => {
      const client = await connect(t, relay).catch(unlessTooMany)
      if (client !== undefined) clients.push(client)
      return client !== undefined
    })
  }
  return clients
}

interface Flood {
  write(text: string): void
  /** How many lines have come back. */
  answers(): number
}

/** Only counts its answers, which are too many to keep. */
async function floodOf(t: TestContext, relay: Relay): Promise<Flood> {
  const socket = createConnection(relay.socket)
  atEnd(t, () => socket.destroy())
  await once(socket, 'connect')
  let answers = 0
  // The relay may end it.
  socket.on('error', () => {})
  socket.on('data', (chunk: Buffer) => {
    for (let at = chunk.indexOf(LINE_FEED); at !== -1; at = chunk.indexOf(LINE_FEED, at + 1)) answers++
  })
  return { write: text => void socket.write(text), answers: () => answers }
}

function assertBounded({ relay, residentBefore }: OwnRelay): void {
  const grown = relay.residentBytes() - residentBefore
  assert.ok(grown < MEMORY_BYTES, `grew by ${grown} bytes`)
  assert.ok(relay.isRunning)
}
