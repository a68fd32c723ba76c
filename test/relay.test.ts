/** The relay: what it takes, how it answers, and that what it has taken reaches the broker, once and in order. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { statSync } from 'node:fs'
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { RELAY_SETTINGS } from '@postviews/client/src/relay/config.ts'
import { type Rabbitmq, startRabbitmq } from '../tools/stack/rabbitmq.ts'
import { ownVhost } from './support/own-vhost.ts'
import { assertAllThere, numbered, takeNumbered } from './support/published.ts'
import { startRelay } from './support/relay.ts'
import { post } from './support/relay-requests.ts'
import { startTcpProxy } from './support/tcp-proxy.ts'
import { temporaryFolder } from './support/temporary-folder.ts'
import { until } from './support/until.ts'

let broker: Rabbitmq
before(async () => {
  broker = await startRabbitmq()
})
after(() => broker.stop())

/** Where no broker is. */
const NOWHERE = 'amqp://127.0.0.1:1'

function line(n: number): string {
  return JSON.stringify(numbered(n))
}

test('answers each line in order, and publishes what it has taken', async t => {
  const url = await ownVhost(t, broker)
  const relay = await startRelay(t, { amqpUrl: url })
  const caller = await relay.caller()
  const answers = await caller.ask(line(1), '{"post":1}', line(2), 'no JSON', line(3))
  assert.deepEqual(answers, [
    'ok',
    'refused: no_post: post_uuid is missing',
    'ok',
    'refused: not_json: the message is not JSON',
    'ok',
  ])
  await until('the broker has them', async () => (await relay.metric('confirmed_total')) === 3)
  assertAllThere(await takeNumbered(url), 3)
  assert.equal(await relay.metric('accepted_total'), 3)
  assert.equal(await relay.metric('refused_total{reason="no_post"}'), 1)
})

test('keeps what it has taken while the broker is away, and gives it an id and a time', async t => {
  const url = await ownVhost(t, broker)
  const away = await startRelay(t, { amqpUrl: NOWHERE })
  const caller = await away.caller()
  for (let n = 1; n <= 1_000; n += 100) {
    const lines = Array.from({ length: 100 }, (_, at) => line(n + at))
    assert.deepEqual(new Set(await caller.ask(...lines)), new Set(['ok']))
  }
  const [segment] = away.segments()
  const records = (await readFile(join(away.spool, segment!), 'utf8')).trim().split('\n').slice(1)
  assert.equal(records.length, 1_000)
  for (const record of records) {
    const event = JSON.parse(record.slice(record.indexOf('{')))
    assert.match(event.event_id, /^[0-9a-f-]{36}$/)
    assert.ok(Date.parse(event.timestamp) > Date.now() - 60_000)
  }
  await away.end('SIGKILL')

  const relay = await startRelay(t, { amqpUrl: url, folder: away.folder })
  await until('the broker has them', async () => (await relay.metric('confirmed_total')) === 1_000)
  assertAllThere(await takeNumbered(url), 1_000)
  await until('nothing is left of them', async () =>
    (await readdir(relay.spool)).every(name => statSync(join(relay.spool, name)).size <= 18),
  )
  const { code } = await relay.end('SIGTERM')
  assert.equal(code, 0)
  assert.deepEqual(await readdir(relay.spool), [])
})

/** Ends when the relay has ended the connection. */
async function answersTo(path: string, bytes: string | Buffer): Promise<string> {
  const socket = connect({ path, allowHalfOpen: true })
  let text = ''
  socket.setEncoding('utf8').on('data', data => {
    text += data
  })
  socket.end(bytes)
  await once(socket, 'close')
  return text
}

test('a caller may close its side first, and leave out the end of its last line', async t => {
  const relay = await startRelay(t, { amqpUrl: NOWHERE })
  assert.equal(await answersTo(relay.socket, line(1)), 'ok\n')
  assert.equal(await answersTo(relay.socket, `${line(2)}\r\n${line(3)}\n`), 'ok\nok\n')
  assert.equal(await answersTo(relay.socket, '{"post_uuid":'), 'refused: not_json: the message is not JSON\n')
  assert.equal(await answersTo(relay.socket, ''), '')
  assert.equal(await relay.metric('accepted_total'), 3)
})

test('refuses what the service would not count, with the reason, and keeps nothing of it', async t => {
  const relay = await startRelay(t, { amqpUrl: NOWHERE })
  const caller = await relay.caller()
  const wrong: [event: unknown, code: string][] = [
    [{}, 'no_post'],
    [{ post_uuid: 'a slug, perhaps' }, 'bad_post'],
    [{ post_uuid: 'a', event_id: '1' }, 'bad_event_id'],
    [{ post_uuid: 'a', user_id: -1 }, 'bad_user'],
    [{ post_uuid: 'a', user_id: '12abc' }, 'bad_user'],
    [{ post_uuid: 'a', user_id: 'Ann <ann@blog.example>' }, 'bad_user'],
    [{ post_uuid: 'a', user_id: 2 ** 53 }, 'imprecise'],
    [{ post_uuid: 'a', logged_in: 'yes' }, 'bad_logged_in'],
    [{ post_uuid: 'a', ip: 'localhost' }, 'bad_ip'],
    [{ post_uuid: 'a', user_agent: 1 }, 'bad_user_agent'],
    [{ post_uuid: 'a', referer: {} }, 'bad_referer'],
    [{ post_uuid: 'a', timestamp: 'yesterday' }, 'bad_time'],
    [{ post_uuid: 'a', user_agent: 'a\0b' }, 'nul'],
    [[], 'not_an_event'],
    [1, 'not_an_event'],
    [{ post_uuid: 'a', more: 'x'.repeat(65_536) }, 'too_large'],
    // Longer as it is written than as it came.
    [{ post_uuid: 'a', more: '1e20,'.repeat(10_000) }, 'too_large'],
  ]
  for (const [event, code] of wrong) {
    const text = JSON.stringify(event).replace(/"((?:1e20,)+)"/, (_, many) => `[${many.slice(0, -1)}]`)
    const [answer] = await caller.ask(text)
    assert.match(answer!, new RegExp(`^refused: ${code}: .`), text.slice(0, 100))
  }
  assert.deepEqual(await caller.ask(Buffer.from([0x22, 0xff, 0x22])), [
    'refused: not_utf8: the message is not valid UTF-8',
  ])
  assert.equal((await caller.ask(''))[0]?.split(':')[1], ' not_json')
  assert.deepEqual(relay.segments(), [])
})

test('leaves to the service what only a clock or zone rules can tell', async t => {
  const relay = await startRelay(t, { amqpUrl: NOWHERE })
  const caller = await relay.caller()
  const times = [
    '2001-01-01 00:00:00',
    new Date(Date.now() + 7 * 86_400_000).toISOString(),
    { date: '2026-11-29 08:00:00.000000', timezone_type: 3, timezone: 'Europe/Warsaw' },
  ]
  const lines = times.map(timestamp => JSON.stringify({ post_uuid: 'a', timestamp }))
  assert.deepEqual(await caller.ask(...lines), ['ok', 'ok', 'ok'])
})

test('keeps of an event what the tracker sends of it', async t => {
  const relay = await startRelay(t, { amqpUrl: NOWHERE })
  const caller = await relay.caller()
  const event = {
    post_uuid: 'a',
    event_id: '00000000-0000-0000-0000-000000000000',
    url: 'https://user:secret@blog.example/a?utm_source=news&token=secret#secret',
    user_agent: 'x'.repeat(3_000),
  }
  assert.deepEqual(await caller.ask(JSON.stringify(event)), ['ok'])
  const text = await readFile(join(relay.spool, relay.segments()[0]!), 'utf8')
  assert.doesNotMatch(text, /secret|x{2001}|"event_id":"00000000/)
  assert.match(text, /"url":"https:\/\/blog\.example\/a\?utm_source=news"/)
})

test('takes the same over HTTP', async t => {
  const url = await ownVhost(t, broker)
  const relay = await startRelay(t, { amqpUrl: url })
  const post = async (body: string, type = 'application/json') => {
    const response = await fetch(`${relay.url}/views`, {
      method: 'POST',
      body,
      headers: { 'content-type': type },
    })
    return [response.status, await response.text()]
  }
  assert.deepEqual(await post(line(1)), [200, 'ok\n'])
  assert.deepEqual(await post(JSON.stringify(numbered(2), null, 2)), [200, 'ok\n'])
  assert.deepEqual(await post(`[${line(3)},{},${line(4)}]`), [
    400,
    'ok\nrefused: no_post: post_uuid is missing\nok\n',
  ])
  assert.deepEqual(await post(`${line(5)}\n${line(6)}`, 'application/x-ndjson'), [200, 'ok\nok\n'])
  assert.deepEqual(await post('no', 'Application/JSON; charset=utf-8'), [
    400,
    'refused: not_json: the message is not JSON\n',
  ])
  assert.equal((await post('[]'))[0], 400)
  assert.equal((await post(line(7), 'text/plain'))[0], 415)
  assert.equal((await post(`[${'{},'.repeat(1_000)}{}]`))[0], 413)
  assert.equal((await post(' '.repeat(1_048_577)))[0], 413)
  assert.equal((await fetch(`${relay.url}/views`)).status, 405)
  assert.equal((await fetch(`${relay.url}/`)).status, 404)
  assert.equal((await fetch(`${relay.url}/livez`)).status, 200)
  await until('the broker has them', async () => (await relay.metric('confirmed_total')) === 6)
  assertAllThere(await takeNumbered(url), 6)
})

test('refuses over HTTP what is not UTF-8, as it does on the socket', async t => {
  const relay = await startRelay(t, { amqpUrl: NOWHERE })
  const event = Buffer.concat([
    Buffer.from('{"post_uuid":"a","user_agent":"'),
    Buffer.from([0xc3, 0x28]),
    Buffer.from('"}'),
  ])
  const array = Buffer.concat([
    Buffer.from('['),
    event,
    Buffer.from(','),
    Buffer.from(line(1)),
    Buffer.from(']'),
  ])
  for (const body of [event, array]) {
    const response = await post(relay, body)
    assert.equal(response.status, 400)
    assert.match(await response.text(), /not_utf8/)
  }
  assert.equal(await relay.metric('accepted_total'), 0)
})

test('is ready while it takes views, and warns of a broker that is away', async t => {
  const readiness = async (url: string) => {
    const response = await fetch(`${url}/readyz`)
    return [response.status, await response.json()]
  }
  const away = await startRelay(t, { amqpUrl: NOWHERE })
  await until('it has tried', () => away.logged('broker.lost').length > 0)
  const [status, { warnings }] = (await readiness(away.url)) as [number, { warnings: string[] }]
  assert.equal(status, 200)
  assert.match(warnings[0]!, /^the broker is away, and views wait in the spool: .*ECONNREFUSED/)
  const relay = await startRelay(t, { amqpUrl: await ownVhost(t, broker) })
  await until('it is connected', async () => (await relay.metric('broker_connected')) === 1)
  assert.deepEqual(await readiness(relay.url), [200, { status: 'ok', warnings: [] }])
})

test('refuses while the spool is full, and takes views again once the broker has them', async t => {
  const url = await ownVhost(t, broker)
  const proxy = await startTcpProxy(Number(new URL(url).port))
  t.after(() => proxy.close())
  proxy.refuse()
  const relay = await startRelay(t, { amqpUrl: proxy.through(url), settings: { RELAY_MAX_BYTES: '1MiB' } })
  const caller = await relay.caller()
  let accepted = 0
  let answer: string | undefined = 'ok'
  while (answer === 'ok') {
    ;[answer] = await caller.ask(line(accepted + 1))
    if (answer === 'ok') accepted++
  }
  assert.match(answer!, /^refused: full: /)
  assert.equal((await fetch(`${relay.url}/readyz`)).status, 503)
  const sizes = relay.segments().map(name => statSync(join(relay.spool, name)).size)
  assert.ok(sizes.reduce((sum, size) => sum + size) <= 1_048_576)
  assert.equal(await relay.metric('refused_total{reason="full"}'), 1)
  proxy.pass()
  await until('there is room', async () => (await fetch(`${relay.url}/readyz`)).status === 200)
  await until('the broker has them', async () => (await relay.metric('confirmed_total')) === accepted)
  assert.deepEqual(await caller.ask(line(accepted + 1)), ['ok'])
  await until('the broker has it', async () => (await relay.metric('confirmed_total')) === accepted + 1)
  assertAllThere(await takeNumbered(url), accepted + 1)
})

test('a setting that is wrong stops the start, and all of them are told', async t => {
  const relay = await startRelay(t, {
    amqpUrl: 'http://user:secret@broker',
    settings: { RELAY_MAX_BYTES: '1kB', RELAY_PORT: '70000', LOG_LEVEL: 'loud', RELAY_SOCKETS: 'x' },
  })
  assert.equal((await relay.exited).code, 2)
  for (const name of ['AMQP_URL', 'RELAY_MAX_BYTES', 'RELAY_PORT', 'LOG_LEVEL', 'RELAY_SOCKETS']) {
    assert.match(relay.output(), new RegExp(`- ${name}: `))
  }
  assert.doesNotMatch(relay.output(), /secret/)
})

test('a socket file that nobody listens on is replaced; one that is in use, or is no socket, is left alone', async t => {
  const first = await startRelay(t, { amqpUrl: NOWHERE })
  assert.equal(statSync(first.socket).mode & 0o777, 0o660)
  assert.equal(statSync(first.spool).mode & 0o777, 0o700)
  const second = await startRelay(t, {
    amqpUrl: NOWHERE,
    settings: { RELAY_SOCKET: first.socket },
  })
  assert.equal((await second.exited).code, 1)
  assert.match(second.output(), /another process listens there/)
  assert.deepEqual(await (await first.caller()).ask(line(1)), ['ok'])
  await first.end('SIGKILL')
  const third = await startRelay(t, { amqpUrl: NOWHERE, folder: first.folder })
  assert.deepEqual(await (await third.caller()).ask(line(2)), ['ok'])
  await third.end('SIGTERM')
  await writeFile(first.socket, 'a file')
  const fourth = await startRelay(t, { amqpUrl: NOWHERE, folder: first.folder })
  assert.equal((await fourth.exited).code, 1)
  assert.match(fourth.output(), /is not a socket/)
  assert.equal(await readFile(first.socket, 'utf8'), 'a file')
})

test('what cannot be used as socket or spool is said by the setting that names it, with what to do', async t => {
  const folder = temporaryFolder(t)
  await writeFile(join(folder, 'file'), '')
  const cases: [Record<string, string>, RegExp][] = [
    [{ RELAY_SOCKET: join(folder, 'none/relay.sock') }, /RELAY_SOCKET .*: create the folder .*none/],
    [{ RELAY_SPOOL: join(folder, 'file') }, /RELAY_SPOOL .*file, as user \d+: it is not a folder/],
    [{ RELAY_SPOOL: join(folder, 'file/spool') }, /RELAY_SPOOL .*: a part of its path is not a folder/],
    [{ RELAY_SPOOL: '/proc/spool' }, /RELAY_SPOOL \/proc\/spool, as user \d+: it cannot be created there/],
  ]
  for (const [settings, said] of cases) {
    const relay = await startRelay(t, { amqpUrl: NOWHERE, settings })
    assert.equal((await relay.exited).code, 1)
    assert.match(relay.output(), said)
  }
})

test('a user who may not use what another has left is told so, not that a relay runs', async t => {
  const folder = temporaryFolder(t)
  await chmod(folder, 0o777)
  const first = await startRelay(t, { amqpUrl: NOWHERE, folder })
  await first.end('SIGKILL')
  // Root can read every file, so a test that runs as root starts the relay as the user nobody. Any other user removes its own permissions.
  const isRoot = process.getuid?.() === 0
  const forbid = async (path: string) => {
    if (!isRoot) await chmod(path, 0)
  }
  const asNobody = `
    const { runRelay } = await import(${JSON.stringify(new URL('../packages/client/src/relay/main.ts', import.meta.url).href)})
    if (${isRoot}) { process.setgroups([]); process.setgid(65534); process.setuid(65534) }
    await runRelay(process.env, [])
  `
  const run = (settings: Record<string, string>) =>
    promisify(execFile)(process.execPath, ['--input-type=module', '--eval', asNobody], {
      timeout: 20_000,
      env: { AMQP_URL: NOWHERE, RELAY_SOCKET: first.socket, RELAY_SPOOL: first.spool, ...settings },
    }).catch(error => error as { code: number; stdout: string })
  await forbid(first.spool)
  const spool = await run({})
  assert.match(spool.stdout, /RELAY_SPOOL .*, as user \d+: permission denied: give the folder to that user/)
  await forbid(first.socket)
  const socket = await run({ RELAY_SPOOL: join(folder, 'another') })
  assert.match(
    socket.stdout,
    /RELAY_SOCKET .* belongs to user \d+, and user \d+ cannot tell whether a process listens/,
  )
  await chmod(first.spool, 0o777)
  for (const name of await readdir(first.spool)) await forbid(join(first.spool, name))
  const lock = await run({})
  assert.match(lock.stdout, /RELAY_SPOOL .*: lock-\d+-\w+ belongs to user \d+, and user \d+ cannot tell/)
})

test('tells how it is used, and starts nothing by mistake', async () => {
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [
      join(import.meta.dirname, '../packages/client/bin/postviews-relay.mjs'),
      ...args,
    ])
  const { stdout } = await run('--help')
  for (const { name } of RELAY_SETTINGS) assert.match(stdout, new RegExp(`^  ${name}\\b`, 'm'))
  assert.equal((await run('--version')).stdout, '0.1.0\n')
  for (const wrong of ['start', '--socket=x', '--port']) {
    await assert.rejects(run(wrong), {
      code: 2,
      stderr: `postviews-relay: unknown argument ${wrong}: run with --help for usage\n`,
    })
  }
})
