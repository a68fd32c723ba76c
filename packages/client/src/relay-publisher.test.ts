/** Against listeners that are no relay, or a broken one. Tests with a real relay are in `test/`. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect, promisify } from 'node:util'
import type { LogEntry } from './log.ts'
import { createTracker, type DropReason, type Tracker, type TrackerOptions } from './tracker.ts'
import type { ViewEvent } from './view.ts'

interface Listener {
  path: string
  /** The events that came, over each of the connections. */
  connections: ViewEvent[][]
}

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'postviews-relay-'))
  t.after(() => rmSync(made, { recursive: true }))
  return made
}

/** Calls `onEvent` for each line that arrives. */
async function listen(
  t: TestContext,
  onEvent: (socket: Socket, event: ViewEvent, connection: number) => void,
): Promise<Listener> {
  const path = join(folder(t), 'relay.sock')
  const connections: ViewEvent[][] = []
  const server = createServer(socket => {
    const events: ViewEvent[] = []
    const number = connections.push(events)
    socket.on('error', () => {})
    t.after(() => socket.destroy())
    let unread = ''
    socket.setEncoding('utf8').on('data', text => {
      const lines = (unread + text).split('\n')
      unread = lines.pop()!
      for (const line of lines) {
        const event: ViewEvent = JSON.parse(line)
        events.push(event)
        onEvent(socket, event, number)
      }
    })
  })
  await new Promise<void>(resolve => server.listen(path, resolve))
  t.after(() => server.close())
  return { path, connections }
}

type TestTracker = Tracker & { logged: LogEntry[]; dropped: [ViewEvent, DropReason][] }

function trackerTo(t: TestContext, path: string, options: Partial<TrackerOptions> = {}): TestTracker {
  const logged: LogEntry[] = []
  const dropped: [ViewEvent, DropReason][] = []
  const tracker = createTracker({
    url: `unix:${path}`,
    retryMinMs: 1,
    retryMaxMs: 20,
    log: entry => logged.push(entry),
    onDrop: (...drop) => {
      dropped.push(drop)
      assertAddsUp(tracker)
    },
    ...options,
  })
  t.after(() => tracker.close(0))
  return { ...tracker, logged, dropped }
}

function assertAddsUp(tracker: Tracker): void {
  const { accepted, confirmed, pending, dropped } = tracker.stats()
  assert.equal(accepted, confirmed + pending + dropped)
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 10_000; !condition(); ) {
    assert.ok(Date.now() < deadline, what)
    await sleep(5)
  }
}

test('answers that come in pieces, several at a time or with CR LF are read in order', async t => {
  const texts = [
    'o',
    'k\r\nrefused',
    ': bad_ip: an address',
    ' has four numbers\nok\nrefused: bad_',
    'post\n',
  ]
  let isFirst = true
  const { path } = await listen(t, async (socket, { post_uuid }) => {
    if (isFirst) socket.write('ok\n')
    isFirst = false
    if (post_uuid !== 5) return
    for (const text of texts) {
      socket.write(text)
      await sleep(5)
    }
  })
  const tracker = trackerTo(t, path)
  for (let n = 1; n <= 5; n++) tracker.trackView({ post_uuid: n })
  assert.equal(await tracker.flush(10_000), 0)
  assert.equal(tracker.stats().confirmed, 3)
  assert.deepEqual(
    tracker.dropped.map(([{ post_uuid }, reason]) => [post_uuid, reason]),
    [
      [3, 'refused'],
      [5, 'refused'],
    ],
  )
  assert.equal(tracker.stats().droppedByReason.refused, 2)
})

test('a refusal for good drops the event and names the rule, a code that is unknown as well; the log has nothing of the event', async t => {
  for (const code of ['bad_ip', 'some_rule_of_next_year']) {
    const { path } = await listen(t, socket => socket.write(`refused: ${code}: what 198.51.100.7 says\n`))
    const tracker = trackerTo(t, path)
    tracker.trackView({ post_uuid: 7, ip: '198.51.100.7' })
    assert.equal(await tracker.flush(10_000), 0)
    const [[event, reason]] = tracker.dropped as [[ViewEvent, DropReason]]
    assert.deepEqual([event.post_uuid, event.ip, reason], [7, '198.51.100.7', 'refused'])
    assert.ok(event.event_id)
    assert.deepEqual(tracker.logged, [
      { event: 'event.dropped', detail: `refused as ${code}`, suppressed: 0 },
    ])
  }
})

test('a refusal for the time being keeps the event, which is sent again under its id', async t => {
  for (const code of ['full', 'disk', 'stopping']) {
    const { path, connections } = await listen(t, (socket, _, connection) =>
      socket.write(connection < 3 ? `refused: ${code}: not now\n` : 'ok\n'),
    )
    const tracker = trackerTo(t, path)
    tracker.trackView({ post_uuid: 7 })
    assert.equal(await tracker.flush(10_000), 0)
    const { confirmed, republished, dropped } = tracker.stats()
    assert.deepEqual([confirmed, republished, dropped], [1, 2, 0])
    const ids = connections.flat().map(({ event_id }) => event_id)
    assert.equal(new Set(ids).size, 1)
    assert.match(tracker.logged[0]!.detail, new RegExp(`refuses views: ${code}; views wait`))
  }
})

test('what is answered behind a refusal counts: none of it is sent again', async t => {
  const { path, connections } = await listen(t, async (socket, { post_uuid }, connection) => {
    if (connection > 1 || post_uuid === 1) socket.write('ok\n')
    if (connection > 1 || post_uuid !== 5) return
    socket.write('ok\nrefused: full: not now\n')
    await sleep(20)
    socket.write('ok\nok\n')
  })
  const tracker = trackerTo(t, path)
  for (let n = 1; n <= 5; n++) tracker.trackView({ post_uuid: n })
  assert.equal(await tracker.flush(10_000), 0)
  assert.equal(tracker.stats().confirmed, 5)
  assert.deepEqual(
    connections.map(events => events.map(({ post_uuid }) => post_uuid)),
    [[1, 2, 3, 4, 5], [3]],
  )
})

const STRANGE: [string, (socket: Socket, event: ViewEvent) => void][] = [
  ['sends back what it is sent', (socket, event) => socket.write(`${JSON.stringify(event)}\n`)],
  ['greets', socket => socket.write('220 mail.example ESMTP\n')],
  ['refuses without a code', socket => socket.write('refused: \n')],
  ['says no end of a line', socket => socket.write('x'.repeat(100_000))],
]
for (const [what, answer] of STRANGE) {
  test(`what ${what} is no relay: nothing is taken for kept, and nothing of it is logged`, async t => {
    const { path, connections } = await listen(t, answer)
    const tracker = trackerTo(t, path)
    tracker.trackView({ post_uuid: 7, referer: 'https://s3cr3t.example/' })
    await until('it is tried again', () => connections.length > 2)
    const { confirmed, pending, dropped } = tracker.stats()
    assert.deepEqual([confirmed, pending, dropped], [0, 1, 0])
    assert.match(tracker.logged[0]!.detail, /^what listens at .*relay\.sock does not answer like a relay;/)
    assert.doesNotMatch(inspect(tracker.logged), /s3cr3t|220|xxx/)
  })
}

test('what answers more than it is asked is no relay', async t => {
  const { path, connections } = await listen(t, socket => socket.write('ok\nok\n'))
  const tracker = trackerTo(t, path)
  tracker.trackView({ post_uuid: 7 })
  await until('it is tried again', () => connections.length > 1)
  assert.equal(tracker.stats().confirmed, 1)
  assert.ok(tracker.logged.some(({ detail }) => /sends more answers than it got views/.test(detail)))
})

test('an answer before the connection ended counts, what had none is sent again under the same id', async t => {
  const { path, connections } = await listen(t, (socket, { post_uuid }, connection) => {
    if (connection > 1 || post_uuid === 1) socket.write('ok\n')
    else if (post_uuid === 3) socket.end('ok\n')
  })
  const tracker = trackerTo(t, path)
  for (let n = 1; n <= 5; n++) tracker.trackView({ post_uuid: n })
  assert.equal(await tracker.flush(10_000), 0)
  const { confirmed, republished } = tracker.stats()
  assert.deepEqual([confirmed, republished], [5, 3])
  const [first, second] = connections.map(events => events.map(({ event_id }) => event_id))
  assert.equal(first!.length, 5)
  assert.deepEqual(second!.toSorted(), first!.slice(2).toSorted())
})

test('one line is on its way until the first ok, then no more than 128 KiB and a line', async t => {
  let answer = () => {}
  const { path, connections } = await listen(t, socket => {
    answer = () => socket.write('ok\n')
  })
  const tracker = trackerTo(t, path)
  for (let n = 1; n <= 2_000; n++) tracker.trackView({ post_uuid: n, referer: 'r'.repeat(400) })
  await until('a line came', () => connections[0]?.length === 1)
  await sleep(50)
  const [events] = connections as [ViewEvent[]]
  assert.equal(events.length, 1)
  // One answer, and then it hangs again.
  answer()
  const bytes = () => events.slice(1).reduce((sum, event) => sum + JSON.stringify(event).length, 0)
  await until('more came', () => bytes() > 128 * 1_024)
  await sleep(50)
  assert.ok(bytes() < 128 * 1_024 + 1_000, `${bytes()} bytes`)
})

test('one that hangs is left after connectTimeoutMs if it never answered, else after confirmTimeoutMs', async t => {
  const { path, connections } = await listen(t, (socket, { post_uuid }, connection) => {
    if ((connection === 2 && post_uuid === 1) || connection === 3) socket.write('ok\n')
  })
  const tracker = trackerTo(t, path, { connectTimeoutMs: 60, confirmTimeoutMs: 200 })
  const startMs = performance.now()
  tracker.trackView({ post_uuid: 1 })
  await until('it was left', () => connections.length === 2)
  assert.ok(performance.now() - startMs >= 60)
  await until('it has answered', () => tracker.stats().confirmed === 1)
  const sentMs = performance.now()
  tracker.trackView({ post_uuid: 2 })
  await until('it was left again', () => connections.length === 3)
  assert.ok(performance.now() - sentMs >= 200)
  assert.equal(await tracker.flush(10_000), 0)
  assert.match(tracker.logged[0]!.detail, /^the relay at .* has not answered for 60 ms; views wait/)
  const ids = connections.flat().map(({ event_id }) => event_id)
  assert.equal(new Set(ids).size, 2)
})

test('a path where no relay listens is said by name, and why', async t => {
  const made = folder(t)
  const [file, stale] = [join(made, 'file'), join(made, 'stale.sock')]
  writeFileSync(file, '')
  // A process that is killed leaves its socket behind.
  const leave = `require('net').createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, 'SIGKILL'))`
  await promisify(execFile)(process.execPath, ['-e', leave]).catch(() => {})
  const said: [string, string][] = [
    [join(made, 'none.sock'), 'there is no relay at PATH: no such file'],
    [file, 'PATH is not a socket'],
    [made, 'PATH is not a socket'],
    [join(file, 'relay.sock'), 'the relay at PATH: connect ENOTDIR PATH'],
    [stale, 'no relay listens at PATH'],
  ]
  for (const [path, why] of said) {
    const tracker = trackerTo(t, path)
    await until('it was lost', () => tracker.logged.length > 0)
    const [{ event, detail }] = tracker.logged as [LogEntry]
    assert.equal(event, 'relay.lost')
    assert.equal(detail.split(';')[0], why.replaceAll('PATH', path))
    assert.equal(tracker.stats().connected, false)
  }
})

test('a socket that this user may not use is said by name', async t => {
  const { path } = await listen(t, () => {})
  chmodSync(path, 0)
  // Root may use any socket, so the program becomes `nobody` once everything is loaded.
  const program = `
    import { createTracker } from ${JSON.stringify(new URL('./tracker.ts', import.meta.url).href)}
    if (process.getuid() === 0) process.setuid(65534)
    createTracker({ url: ${JSON.stringify(`unix:${path}`)}, log: ({ event, detail }) => {
      console.log(event, detail)
      process.exit()
    } })
  `
  chmodSync(dirname(path), 0o755)
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program])
  const said = `relay.lost this user may not use the relay at ${path}: permission denied; views wait`
  assert.equal(stdout.slice(0, said.length), said)
})

test('is tried again for ever, after pauses that grow up to retryMaxMs', async t => {
  const attemptsMs: number[] = []
  const path = join(folder(t), 'relay.sock')
  const server = createServer(socket => {
    attemptsMs.push(performance.now())
    socket.destroy()
  })
  await new Promise<void>(resolve => server.listen(path, resolve))
  t.after(() => server.close())
  trackerTo(t, path, { retryMinMs: 8, retryMaxMs: 128 })
  await until('ten attempts', () => attemptsMs.length >= 10)
  const pausesMs = attemptsMs.slice(1, 10).map((ms, n) => ms - attemptsMs[n]!)
  for (const [n, pauseMs] of pausesMs.entries())
    assert.ok(pauseMs >= Math.min(128, 8 * 2 ** n) / 2 - 2, `pause ${n} of ${pausesMs}`)
})

test('whoever is told of a refused event may close the tracker: everything still adds up', async t => {
  const { path } = await listen(t, (socket, { post_uuid }) => {
    if (post_uuid === 1) socket.write('ok\n')
    if (post_uuid === 4) socket.write('refused: bad_ip\nok\nok\n')
  })
  const told: [unknown, DropReason][] = []
  const tracker: Tracker = trackerTo(t, path, {
    onDrop: ({ post_uuid }, reason) => {
      told.push([post_uuid, reason])
      assertAddsUp(tracker)
      if (reason === 'refused') void tracker.close(0)
    },
  })
  for (let n = 1; n <= 4; n++) tracker.trackView({ post_uuid: n })
  await until('it was told', () => told.length > 0)
  assert.equal(await tracker.flush(10_000), 0)
  assert.equal(told[0]![1], 'refused')
  const { accepted, confirmed, dropped, droppedByReason } = tracker.stats()
  assert.deepEqual([accepted, confirmed, dropped, droppedByReason.refused], [4, 3, 1, 1])
})

test('an event beyond a line of the relay is dropped at once, wherever it would have gone', t => {
  for (const url of ['unix:/nowhere/relay.sock', 'unix:/nowhere/relay.sock,amqp://127.0.0.1:1']) {
    const tracker = trackerTo(t, '', { url })
    const bytesAround = JSON.stringify({ post_uuid: 1, more: '', event_id: 'x'.repeat(36) }).length
    tracker.trackView({ post_uuid: 1, more: 'm'.repeat(65_537 - bytesAround) } as ViewEvent)
    tracker.trackView({ post_uuid: 1, more: 'm'.repeat(60_000) } as ViewEvent)
    const { pending, droppedByReason } = tracker.stats()
    assert.deepEqual([pending, droppedByReason.too_large], [1, 1])
  }
})

test('a process that ends without close is not held up while there is no relay', async () => {
  const program = `
    import { createTracker } from ${JSON.stringify(new URL('./tracker.ts', import.meta.url).href)}
    const tracker = createTracker({ url: 'unix:/nowhere/relay.sock', retryMinMs: 600000, retryMaxMs: 600000, log: () => {} })
    tracker.trackView({ post_uuid: 7 })
  `
  await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], { timeout: 20_000 })
})
