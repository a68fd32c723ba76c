/** Several URLs: in which order they are tried, and after which pauses. Tests with real brokers are in `test/`. */

import assert from 'node:assert/strict'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { inspect } from 'node:util'
import type { LogEntry } from './log.ts'
import { createTracker, type TrackerOptions } from './tracker.ts'

interface Host {
  url: string
  /** When each connection came. */
  attemptsMs: number[]
}

/** Not a broker: only calls `onConnection` for each connection. */
async function startHost(t: TestContext, onConnection: (socket: Socket) => void): Promise<Host> {
  const attemptsMs: number[] = []
  const server = createServer(socket => {
    attemptsMs.push(performance.now())
    socket.on('error', () => {})
    t.after(() => socket.destroy())
    onConnection(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return { url: `amqp://user:s3cr3t@127.0.0.1:${(server.address() as AddressInfo).port}/blog`, attemptsMs }
}

const refuse = (socket: Socket) => socket.resetAndDestroy()
const saysNothing = () => {}

async function attempts(hosts: Host[], count: number): Promise<void> {
  const isEnough = () => hosts.every(({ attemptsMs }) => attemptsMs.length >= count)
  for (const deadline = Date.now() + 10_000; !isEnough(); ) {
    assert.ok(Date.now() < deadline, `attempts: ${hosts.map(({ attemptsMs }) => attemptsMs.length)}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

function trackerOf(t: TestContext, options: TrackerOptions): LogEntry[] {
  const logged: LogEntry[] = []
  const tracker = createTracker({ log: entry => logged.push(entry), ...options })
  t.after(() => tracker.close(0))
  return logged
}

for (const form of ['a text', 'an array'] as const) {
  test(`the hosts of ${form} have their turn one after the other, and then the first again`, async t => {
    const hosts = [await startHost(t, refuse), await startHost(t, refuse), await startHost(t, refuse)]
    const urls = hosts.map(({ url }) => url)
    const url = form === 'a text' ? urls.join(', ') : urls
    const logged = trackerOf(t, { url, retryMinMs: 1, retryMaxMs: 5 })
    await attempts(hosts, 3)
    const inOrder = [0, 1, 2].flatMap(round => hosts.map(({ attemptsMs }) => attemptsMs[round]!))
    assert.deepEqual(
      inOrder.toSorted((a, b) => a - b),
      inOrder,
    )
    const second = new URL(urls[1]!)
    assert.match(
      logged[0]!.detail,
      new RegExp(`^no connection to the broker at .*; amqp://${second.host}/blog next in 1 ms$`),
    )
    assert.doesNotMatch(inspect(logged), /s3cr3t/)
  })
}

test('the pause grows when each host has failed, not from one host to the next', async t => {
  const hosts = [await startHost(t, refuse), await startHost(t, refuse)]
  trackerOf(t, { url: hosts.map(({ url }) => url), retryMinMs: 20, retryMaxMs: 160 })
  await attempts(hosts, 5)
  const [first, second] = hosts.map(({ attemptsMs }) => attemptsMs) as [number[], number[]]
  // After each round 20, 40, 80, 160, …, shortened by up to a half; a busy machine can only make it longer.
  for (let round = 0; round < 4; round++) {
    const pauseMs = first[round + 1]! - second[round]!
    assert.ok(pauseMs >= Math.min(160, 20 * 2 ** round) / 2 - 2, `after round ${round}: ${pauseMs} ms`)
  }
  const toSecondMs = second.slice(0, 5).map((ms, round) => ms - first[round]!)
  const shortestMs = Math.min(...toSecondMs.slice(2))
  assert.ok(shortestMs < 40, `from host to host: ${shortestMs} ms`)
})

test('a host that takes the connection and says nothing has its turn for connectTimeoutMs', async t => {
  const hosts = [await startHost(t, saysNothing), await startHost(t, saysNothing)]
  const logged = trackerOf(t, { url: hosts.map(({ url }) => url), connectTimeoutMs: 50, retryMinMs: 1 })
  await attempts(hosts, 2)
  assert.match(logged[0]!.detail, /did not answer within 50 ms; amqp:.* next in 1 ms$/)
  assert.ok(hosts[1]!.attemptsMs[0]! - hosts[0]!.attemptsMs[0]! >= 49)
})

test('one that is wrong is refused at once, by its place and without a password', () => {
  const good = 'amqp://user:s3cr3t@one/blog'
  const wrong: [TrackerOptions['url'], RegExp][] = [
    [
      `${good},amqp://user:s3cr3t@two/wiki`,
      /^url names several brokers, of which number 2 has another virtual host/,
    ],
    [`${good},two`, /^url names several brokers, of which number 2 is not a URL of the form/],
    [
      [good, good, 'amqp://user:s3cr3t,4@three/blog'],
      /of which number 3 holds a bare comma: write it as %2C$/,
    ],
    [[], /^url names no broker$/],
  ]
  for (const [url, said] of wrong) {
    assert.throws(
      () => createTracker({ url }),
      (error: Error) => {
        assert.ok(error instanceof TypeError)
        assert.match(error.message, said)
        assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), /s3cr3t/)
        return true
      },
    )
  }
})
