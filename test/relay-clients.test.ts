/** The clients in docs/relay.md, run as they stand there, through the relay to a broker, and counted by the service. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { findPython } from '../tools/stack/install.ts'
import { holdFreePort } from '../tools/stack/ports.ts'
import { findProgram } from '../tools/stack/programs.ts'
import { spawnWatched } from '../tools/stack/watched.ts'
import { atEnd, hasPassed } from './support/at-end.ts'
import { SQLITE } from './support/engines.ts'
import { type Relay, startRelay } from './support/relay.ts'
import { API_KEY, startService } from './support/service.ts'
import { until } from './support/until.ts'
import { FIREFOX } from './support/views.ts'

const document = await readFile(new URL('../docs/relay.md', import.meta.url), 'utf8')
const POST = 'hello-world'
/** Where no broker is. */
const NOWHERE = 'amqp://127.0.0.1:1'

/** The sample in that language, below "Send a view", that has this word in it. */
function sample(language: string, word: string): string {
  const section = document.split('\n## Send a view\n')[1]!.split('\n## ')[0]!
  const samples = [...section.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs'))]
  const found = samples.map(([, code]) => code!).find(code => code.includes(word))
  assert.ok(found !== undefined, `docs/relay.md has no ${language} with ${word}`)
  return found
}

interface Client {
  name: string
  program: string
  args: string[]
  /** As it stands in the document, but for PHP, whose address the web server knows. */
  ip: string
}

/** Each client of the document, in a folder in which `nc` is the one that the document means. */
async function clientsIn(t: TestContext): Promise<{ folder: string; clients: Client[] }> {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-clients-'))
  t.after(() => rm(folder, { recursive: true }))
  await mkdir(join(folder, 'bin'))
  await symlink(findProgram('nc.openbsd')!, join(folder, 'bin/nc'))
  await writeFile(join(folder, 'view.php'), sample('php', 'stream_socket_client'))
  await writeFile(join(folder, 'view.py'), sample('python', 'socket.AF_UNIX'))
  const script = (name: string, word: string, ip: string): Client => ({
    name,
    program: '/bin/sh',
    args: ['-c', sample('sh', word)],
    ip,
  })
  const clients = [
    { name: 'PHP', program: 'php', args: ['view.php'], ip: '203.0.113.8' },
    { name: 'Python', program: findPython()!, args: ['view.py'], ip: '203.0.113.9' },
    script('socat', 'socat', '203.0.113.10'),
    script('nc', 'nc -N', '203.0.113.11'),
    script('curl', 'curl', '203.0.113.12'),
  ]
  return { folder, clients }
}

interface Ran {
  code: number | null
  stdout: string
  stderr: string
}

function run(
  folder: string,
  { program, args }: Pick<Client, 'program' | 'args'>,
  settings: Record<string, string>,
): Promise<Ran> {
  const env = { PATH: `${join(folder, 'bin')}:${process.env['PATH'] ?? '/usr/bin:/bin'}`, ...settings }
  return new Promise(resolve => {
    const child = execFile(program, args, { cwd: folder, env, timeout: 60_000 }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode, stdout, stderr }),
    )
  })
}

function settingsFor(relay: Relay): Record<string, string> {
  return { RELAY_SOCKET: relay.socket, RELAY_PORT: new URL(relay.url).port }
}

test('each client of the document has its view counted, once for each time it is run', async t => {
  const broker = await testRabbitmq()
  const database = await SQLITE.create(t)
  const service = await startService(t, { amqpUrl: broker.url, databaseUrl: database.url })
  await service.untilReady()
  const relay = await startRelay(t, { amqpUrl: broker.url })
  const { folder, clients } = await clientsIn(t)
  for (let time = 0; time < 2; time++) {
    for (const client of clients) {
      const { code, stdout, stderr } = await run(folder, client, settingsFor(relay))
      assert.deepEqual(
        [code, stdout.trim(), stderr],
        [0, client.name === 'curl' ? 'ok' : '', ''],
        client.name,
      )
    }
  }
  const views = 2 * clients.length
  await until('all are counted', async () => {
    const [stored] = await database.query('SELECT COUNT(*) AS views FROM post_views')
    return stored!['views'] === views
  })
  const rows = await database.query(
    `SELECT ip, post_uuid, user_agent, COUNT(DISTINCT event_id) AS ids FROM post_views GROUP BY ip, post_uuid, user_agent`,
  )
  assert.deepEqual(
    new Set(rows.map(row => Object.values(row).join())),
    new Set(clients.map(({ name, ip }) => [ip, POST, name === 'PHP' ? FIREFOX : null, 2].join())),
  )
  assert.equal(await relay.metric('accepted_total'), views)
})

test('each client of the document says when its view was not taken', async t => {
  const { folder, clients } = await clientsIn(t)
  const relay = await startRelay(t, { amqpUrl: NOWHERE, settings: { RELAY_MAX_BYTES: '1MiB' } })
  const caller = await relay.caller()
  const big = JSON.stringify({ post_uuid: POST, user_agent: 'x'.repeat(2_000) })
  await until('the spool is full', async () => {
    const answers = await caller.ask(...Array<string>(100).fill(big))
    return answers.at(-1)!.startsWith('refused: full: ')
  })
  caller.end()
  const small = await relay.caller()
  await until('not the smallest fits', async () =>
    (await small.ask(JSON.stringify({ post_uuid: POST })))[0]!.startsWith('refused: full: '),
  )
  small.end()
  const settings = settingsFor(relay)
  for (const client of clients) {
    const { code, stdout, stderr } = await run(folder, client, settings)
    assert.match(stdout + stderr, /refused: full: /, client.name)
    // A page of PHP does not fail because of a view.
    assert.equal(code === 0, client.name === 'PHP', client.name)
  }

  await relay.end('SIGKILL')
  for (const client of clients) {
    const { code, stderr } = await run(folder, client, settings)
    assert.match(stderr, client.name === 'curl' ? /curl: \(7\)/ : /a view was not taken: /, client.name)
    assert.equal(code === 0, client.name === 'PHP', client.name)
  }
})

test('the page in PHP names the socket, and why nobody answers there', async t => {
  const { folder, clients } = await clientsIn(t)
  const php = clients.find(({ name }) => name === 'PHP')!
  const said = async (settings: Record<string, string>) => (await run(folder, php, settings)).stderr.trim()
  const socket = join(folder, 'relay.sock')
  const none = `no relay at ${socket}: No such file or directory`
  assert.equal(await said({ RELAY_SOCKET: socket }), `postviews: a view was not taken: ${none}`)
  // A page under PHP-FPM has no such variable: it looks where the unit of systemd listens.
  const [, path] = /^ListenStream=(\S+)$/m.exec(
    await readFile(new URL('../deploy/systemd/postviews-relay.socket', import.meta.url), 'utf8'),
  )!
  assert.ok((await said({})).startsWith(`postviews: a view was not taken: no relay at ${path}: `))
  assert.ok(document.includes(`\nenv[RELAY_SOCKET] = ${path}\n`))
  // The reasons that the document explains are PHP's own words.
  for (const words of ['No such file or directory', 'Permission denied', 'Connection refused'])
    assert.ok(document.includes(`\`${words}\``), words)

  const relay = await startRelay(t, { amqpUrl: NOWHERE })
  await relay.end('SIGKILL')
  assert.match(await said(settingsFor(relay)), /no relay at \S+: Connection refused$/)
})

test('a view that is too old, or ahead, is ok to the relay, and a dead letter of the service', async t => {
  const broker = await testRabbitmq()
  const database = await SQLITE.create(t)
  const service = await startService(t, { amqpUrl: broker.url, databaseUrl: database.url })
  await service.untilReady()
  const relay = await startRelay(t, { amqpUrl: broker.url })
  const caller = await relay.caller()
  const daysAgo = (days: number) =>
    JSON.stringify({ post_uuid: POST, timestamp: Date.now() / 1_000 - days * 86_400 })
  assert.deepEqual(await caller.ask(daysAgo(31), daysAgo(29), daysAgo(-2)), ['ok', 'ok', 'ok'])
  await until('all are published', async () => (await relay.metric('confirmed_total')) === 3)
  await until('two are dead letters', async () => {
    const { text } = await service.get('/metrics')
    const reasons = ['too_old', 'bad_time']
    return reasons.every(reason =>
      new RegExp(`^postviews_\\w+\\{[^}]*reason="${reason}"[^}]*\\} 1$`, 'm').test(text),
    )
  })
  await until('the other is counted', async () => {
    const [stored] = await database.query('SELECT COUNT(*) AS views FROM post_views')
    return stored!['views'] === 1
  })
})

test('it runs in a minute, by the lines of the document, and its view is counted', async t => {
  const broker = await testRabbitmq()
  const database = await SQLITE.create(t)
  const service = await startService(t, { amqpUrl: broker.url, databaseUrl: database.url })
  await service.untilReady()
  const folder = await mkdtemp(join(tmpdir(), 'postviews-minute-'))
  atEnd(t, () => rm(folder, { recursive: true }))
  // A clone in which `npm ci` has run.
  await writeFile(join(folder, 'package.json'), '{ "private": true }')
  await symlink(join(import.meta.dirname, '../node_modules'), join(folder, 'node_modules'))
  const free = await holdFreePort()
  atEnd(t, () => free.release())
  const [starting, sending, reading] = [
    ...document.split('\n## Run it in one minute\n')[1]!.matchAll(/```sh\n(.*?)```/gs),
  ].map(([, lines]) => lines!.replaceAll('3400', String(free.port)))
  // The line that `npm start` prints.
  const printed = { AMQP_URL: broker.url, ANALYTICS_URL: service.url, INTERNAL_API_KEY: API_KEY }
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: folder, ...printed }
  const output = openSync(join(folder, 'log'), 'a')
  const relay = spawnWatched(['/bin/sh', '-c', starting!], { cwd: folder, env, output })
  closeSync(output)
  atEnd(t, async () => {
    relay.child.kill('SIGKILL')
    await relay.ended
    if (!hasPassed(t)) t.diagnostic(await readFile(join(folder, 'log'), 'utf8'))
  })
  // The other terminal, after the same lines.
  const type = async (lines: string) => {
    const typed = `${starting!.split('\n')[0]}\n${lines}`
    return (await run(folder, { program: '/bin/sh', args: ['-c', typed] }, printed)).stdout
  }
  await until('it answers', async () => (await type(sending!)) === 'ok\n')
  await until('the view is counted', async () => JSON.parse(await type(reading!)).views === 1)
  assert.equal((await stat(join(folder, 'data/relay.sock'))).mode & 0o777, 0o660)
  assert.equal((await stat(join(folder, 'data/relay'))).mode & 0o777, 0o700)
})

test('each line of the example of the protocol is answered as it stands there', async t => {
  const relay = await startRelay(t, { amqpUrl: NOWHERE })
  const example = document.split('\n## The protocol\n')[1]!.split('```')[1]!
  const lines = [...example.matchAll(/^→ (.*)\n← (.*)$/gm)]
  assert.ok(lines.length >= 2)
  const caller = await relay.caller()
  for (const [, line, answer] of lines) assert.deepEqual(await caller.ask(line!), [answer!])
})

test('HTTP answers each event with a line, and all of them with the status that the document says', async t => {
  const relay = await startRelay(t, { amqpUrl: NOWHERE, settings: { RELAY_MAX_BYTES: '1MiB' } })
  const post = async (body: string, type = 'application/json') => {
    const headers = { 'content-type': type, connection: 'close' }
    const answer = await fetch(`${relay.url}/views`, { method: 'POST', headers, body })
    const lines = (await answer.text()).trimEnd().split('\n')
    return { status: answer.status, lines, retryAfter: answer.headers.get('retry-after') }
  }
  const good = JSON.stringify({ post_uuid: POST })
  const bad = '{"post_uuid":"no post"}'
  const refused = /^refused: bad_post: /

  assert.deepEqual(await post(good), { status: 200, lines: ['ok'], retryAfter: null })
  const some = await post(`[${good},${bad},${good}]`)
  assert.deepEqual([some.status, some.lines[0], some.lines[2]], [400, 'ok', 'ok'])
  assert.match(some.lines[1]!, refused)
  const lines = await post(`${bad}\n${good}\n`, 'application/x-ndjson')
  assert.deepEqual([lines.status, lines.lines.length, lines.lines[1]], [400, 2, 'ok'])
  assert.equal((await post(good, 'text/plain')).status, 415)
  assert.equal((await post(`[${Array(1_001).fill(good).join()}]`)).status, 413)
  assert.equal((await post(JSON.stringify({ post_uuid: POST, user_agent: 'x'.repeat(2 ** 20) }))).status, 413)
  assert.equal(await relay.metric('accepted_total'), 4)

  const big = JSON.stringify({ post_uuid: POST, user_agent: 'x'.repeat(2_000) })
  await until('the spool is full', async () => {
    const answer = await post(`[${Array(200).fill(big).join()}]`)
    return answer.status === 503 && Number(answer.retryAfter) > 0 && answer.lines.length === 200
  })
})
