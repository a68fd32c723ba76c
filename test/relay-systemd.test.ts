/**
 * Tests the units in deploy/systemd with systemd's own programs: systemd accepts every line of them, and the relay takes over
 * the socket that systemd opened. test/containers/ runs the units under a systemd that is process 1.
 */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { findPython } from '../tools/stack/install.ts'
import { spawnWatched } from '../tools/stack/watched.ts'
import { atEnd, hasPassed } from './support/at-end.ts'
import { SQLITE } from './support/engines.ts'
import { type Caller, callerOf } from './support/relay.ts'
import { startService } from './support/service.ts'
import { until } from './support/until.ts'

const ROOT = resolve(import.meta.dirname, '..')
const UNITS = join(ROOT, 'deploy/systemd')
const BIN = join(ROOT, 'packages/client/bin/postviews-relay.mjs')
const NOWHERE = 'amqp://127.0.0.1:1'
const run = promisify(execFile)

/** The units, for the Node and the clone that are here. */
async function unitsOfHere(t: TestContext, change = (text: string) => text): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-units-'))
  t.after(() => rm(folder, { recursive: true }))
  const units = ['postviews-relay.socket', 'postviews-relay.service']
  for (const unit of units) {
    const text = await readFile(join(UNITS, unit), 'utf8')
    const here = text.replaceAll('/usr/bin/node', process.execPath).replaceAll('/opt/postviews', ROOT)
    await writeFile(join(folder, unit), change(here))
  }
  return units.map(unit => join(folder, unit))
}

/** What systemd has to say of the units. */
async function verified(units: string[]): Promise<string> {
  const { stdout, stderr } = await run('systemd-analyze', ['verify', ...units]).catch(
    (error: { stdout: string; stderr: string }) => error,
  )
  return stdout + stderr
}

test('systemd understands every line of the units', async t => {
  assert.equal(await verified(await unitsOfHere(t)), '')
  const misspelled = await unitsOfHere(t, text => text.replace('StateDirectoryMode=', 'StateDirectoryModes='))
  assert.match(await verified(misspelled), /Unknown key.*StateDirectoryModes/)
})

test('systemd finds the service confined', async t => {
  const [, service] = await unitsOfHere(t)
  // Of 100, which is a service without any limit; some 50 is what most are.
  await run('systemd-analyze', ['security', '--offline=yes', '--threshold=20', service!])
})

/** A process that is given the socket, and how it ends. */
function startGiven(t: TestContext, command: string[], folder: string, env: Record<string, string>) {
  const output = openSync(join(folder, 'log'), 'a')
  const given = spawnWatched(command, {
    cwd: folder,
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', ...env },
    output,
  })
  closeSync(output)
  const log = () => readFile(join(folder, 'log'), 'utf8')
  atEnd(t, async () => {
    given.child.kill('SIGKILL')
    await given.ended
    if (!hasPassed(t)) t.diagnostic(await log())
  })
  return { ...given, log }
}

async function ownFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-given-'))
  atEnd(t, () => rm(folder, { recursive: true }))
  return folder
}

test('answers what was sent before it was started, on the socket that systemd hands over, and leaves that alone', async t => {
  const broker = await testRabbitmq()
  const database = await SQLITE.create(t)
  const service = await startService(t, { amqpUrl: broker.url, databaseUrl: database.url })
  await service.untilReady()
  const folder = await ownFolder(t)
  const socket = join(folder, 'given.sock')
  const env = { AMQP_URL: broker.url, RELAY_SPOOL: join(folder, 'spool') }
  const passed = Object.entries(env).map(([name, value]) => `--setenv=${name}=${value}`)
  const command = ['systemd-socket-activate', `--listen=${socket}`, ...passed, process.execPath, BIN]
  const relay = startGiven(t, command, folder, {})
  await until('systemd listens', () =>
    stat(socket).then(
      isThere => isThere.isSocket(),
      () => false,
    ),
  )
  assert.deepEqual((await readdir(folder)).sort(), ['given.sock', 'log'], 'nothing has begun')

  // The first connection is what starts it.
  const caller = await callerOf(socket)
  const line = (n: number) => JSON.stringify({ post_uuid: `post-${n}` })
  assert.deepEqual(await caller.ask(line(1), line(2), '{}', line(3)), [
    'ok',
    'ok',
    'refused: no_post: post_uuid is missing',
    'ok',
  ])
  assert.match(await relay.log(), /"event":"relay\.started"/)
  await until('all are counted', async () => {
    const [stored] = await database.query('SELECT COUNT(*) AS views FROM post_views')
    return stored!['views'] === 3
  })
  relay.child.kill('SIGTERM')
  assert.equal((await relay.ended).code, 0)
  // It is systemd's: who is about to connect finds it. And no socket or folder of its own was made.
  assert.deepEqual((await readdir(folder)).sort(), ['given.sock', 'log', 'spool'])
})

test('with a socket that systemd hands over, RELAY_SOCKET is not looked at', async t => {
  const folder = await ownFolder(t)
  const socket = join(folder, 'given.sock')
  // Longer than the address of any socket.
  const env = { AMQP_URL: NOWHERE, RELAY_SPOOL: join(folder, 'spool'), RELAY_SOCKET: `/${'x'.repeat(200)}` }
  const passed = Object.entries(env).map(([name, value]) => `--setenv=${name}=${value}`)
  const relay = startGiven(
    t,
    ['systemd-socket-activate', `--listen=${socket}`, ...passed, process.execPath, BIN],
    folder,
    {},
  )
  let caller: Caller | undefined
  await until('systemd listens', async () => {
    caller = await callerOf(socket).catch(() => undefined)
    return caller !== undefined
  })
  // It is reset when the relay ends.
  const answers = await caller!.ask('{"post_uuid":"a"}').catch(() => [])
  assert.deepEqual(answers, ['ok'], await relay.log())
})

/**
 * As systemd does it: holds the socket, hands it to one relay after the other, each in the process that LISTEN_PID names. The file $2 has its
 * number while it runs; a line in the pipe $3 starts the next one.
 */
const KEEPER = `
import os, socket, sys
path, pid_file, pipe, *command = sys.argv[1:]
os.mkfifo(pipe)
listening = socket.socket(socket.AF_UNIX)
listening.bind(path)
listening.listen(100)
while True:
    pid = os.fork()
    if pid == 0:
        os.dup2(listening.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
        os.execv(command[0], command)
    with open(pid_file, "w") as file:
        file.write(str(pid))
    os.waitpid(pid, 0)
    os.remove(pid_file)
    with open(pipe) as file:
        file.readline()
`

test('a view that is sent while the relay is away waits for the next one', { timeout: 30_000 }, async t => {
  const folder = await ownFolder(t)
  const [socket, pidFile, pipe] = ['given.sock', 'pid', 'pipe'].map(name => join(folder, name)) as [
    string,
    string,
    string,
  ]
  const env = { AMQP_URL: NOWHERE, RELAY_SPOOL: join(folder, 'spool') }
  const command = [findPython()!, '-c', KEEPER, socket, pidFile, pipe, process.execPath, BIN]
  startGiven(t, command, folder, env)
  const pid = async () => Number(await readFile(pidFile, 'utf8').catch(() => 'NaN'))
  await until('a relay runs', async () => (await pid()) > 0)
  const first = await callerOf(socket)
  assert.deepEqual(await first.ask('{"post_uuid":"first"}'), ['ok'])

  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    process.kill(await pid(), signal)
    await until('it is gone', async () => Number.isNaN(await pid()))
    const waiting = await callerOf(socket)
    const answer = waiting.ask('{"post_uuid":"waits"}')
    await writeFile(pipe, 'next\n')
    assert.deepEqual(await answer, ['ok'], signal)
    waiting.end()
  }
})
