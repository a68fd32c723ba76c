import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { cp, mkdtemp, readFile, realpath, rm, symlink } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { createStats, createTracker } from '@postviews/client/src/index.ts'
import { type HeldPort, holdFreePort, isFree } from '../../tools/stack/ports.ts'
import { listenerOn } from '../../tools/stack/proc.ts'
import { startRabbitmq } from '../../tools/stack/rabbitmq.ts'

const ROOT = join(import.meta.dirname, '../..')
const exec = promisify(execFile)

describe('npm start', () => {
  let checkout: string
  let ports: Ports
  before(async () => {
    checkout = await newCheckout()
    ports = { PORT: await holdFreePort(), ADMIN_PORT: await holdFreePort(), BLOG_PORT: await holdFreePort() }
  })
  after(async () => {
    // A failed test leaves its processes running, and this file would not end before they do.
    for (const { child, ended } of launched) {
      child.kill('SIGKILL')
      await ended
    }
    for (const { release } of Object.values(ports)) release()
    await remove(checkout)
  })

  test('counts what the commands it prints publish, and keeps queue and counts for the next start', async () => {
    const first = await startIn(checkout, ports, ['--quiet'])
    await pasted(first.output(), 'createTracker', checkout)
    await untilViews(first.output(), 1)
    assert.equal(await first.stop('SIGINT'), 0)
    await assertNothingRuns(ports, first.output())
    for (const part of ['analytics', 'panel', 'blog']) {
      const log = await readFile(join(checkout, 'data/log', `${part}.log`), 'utf8')
      for (const line of log.trim().split('\n')) assert.match(line, /^\{.*\}$/, `${part} logs events alone`)
    }

    const broker = await startRabbitmq({ dir: join(checkout, 'data', 'rabbitmq'), management: false })
    const tracker = createTracker({ url: broker.url })
    tracker.trackView({ post_uuid: '42' })
    await tracker.close()
    await broker.stop()

    const second = await startIn(checkout, ports, ['--quiet'], {}, ['npm', 'start', '--'])
    await pasted(second.output(), 'amqp-publish', checkout)
    await untilViews(second.output(), 3)
    assert.equal((await statsOf(second.output(), ports).siteViews()).views, 3, 'nobody was made up')
    // Which reaches npm alone.
    await second.stop('SIGTERM')
    await assertNothingRuns(ports, second.output())
  })

  test('says which setting to change when a port is in use, and starts nothing', async () => {
    for (const [name, part] of [
      ['PORT', 'analytics'],
      ['ADMIN_PORT', 'panel'],
      ['BLOG_PORT', 'blog'],
    ] as const) {
      const { port } = ports[name]
      const stranger = createServer()
      await new Promise<void>(resolve => stranger.listen(port, '127.0.0.1', resolve))
      const refused = launch(checkout, ports)
      assert.equal(await refused.ended, 1)
      await new Promise(resolve => stranger.close(resolve))
      assert.equal(
        refused.output(),
        `Port ${port} for ${part} is in use. Set ${name} to another: ${name}=${port + 1} npm start\n`,
      )
    }
  })

  test('says what it can be told when it is told something else', async () => {
    for (const told of ['--loud', 'loud', '--restart-after=soon', '--restart-after=0']) {
      const refused = launch(checkout, ports, [told])
      assert.equal(await refused.ended, 2, told)
      assert.match(refused.output(), /^npm start \[-- --quiet --restart-after=20 --stack=NAME\]$/m)
    }
  })

  test('goes on without a part that was killed by its process id, and starts it again, as the README says', async () => {
    const started = await startIn(checkout, ports, ['--quiet', '--restart-after=5'])
    const { output } = started
    const isUpAgain = (name: string) => output().includes(`${name} is up again, as process `)
    const blog = `http://127.0.0.1:${ports.BLOG_PORT.port}`
    const page = async (path: string) => {
      const answer = await fetch(blog + path, { headers: { cookie: await author(blog) } })
      assert.equal(answer.status, 200, path)
      return answer.text()
    }
    assert.doesNotMatch(await page('/dashboard'), /unavailable right now/)
    const before = await viewsNow(output())

    await sh(`kill ${processIn(output(), 'analytics')}`, checkout)
    await until(() => /^analytics has ended/m.test(output()), output)
    assert.match(await page('/dashboard'), /unavailable right now/)
    assert.match(await page('/'), /<h1/)
    await pasted(output(), 'createTracker', checkout)
    await until(() => isUpAgain('analytics'), output)
    await untilViews(output(), before + 1)

    await sh(`kill -KILL ${processIn(output(), 'RabbitMQ')}`, checkout)
    await until(() => /^RabbitMQ has ended \(SIGKILL\)/m.test(output()), output)
    assert.doesNotMatch(await page('/dashboard'), /unavailable right now/)
    await until(() => isUpAgain('RabbitMQ'), output)
    await pasted(output(), 'createTracker', checkout)
    await untilViews(output(), before + 2)
    assert.equal(await started.stop('SIGINT'), 0)
    await assertNothingRuns(ports, output())
  })

  test('stops the rest and fails when a part cannot be started again', async () => {
    const started = await startIn(checkout, ports, ['--quiet', '--restart-after=3'])
    const service = listenerOn(ports.PORT.port)
    assert.ok(service)
    process.kill(service, 'SIGKILL')
    await until(() => /^analytics has ended \(SIGKILL\)/m.test(started.output()), started.output)
    const stranger = createServer(socket => socket.destroy())
    await new Promise<void>(resolve => stranger.listen(ports.PORT.port, '127.0.0.1', resolve))
    assert.equal(await started.ended, 1)
    await new Promise(resolve => stranger.close(resolve))
    assert.match(started.output(), /^analytics could not be restarted\. analytics ended while starting/m)
    await assertNothingRuns(ports, started.output())
  })

  test('gives a fresh store a history, all of it once though the first start was cut short, and readers', async t => {
    const fresh = await newCheckout()
    t.after(() => remove(fresh))
    const cut = await startIn(fresh, ports)
    await until(async () => (await statsOf(cut.output(), ports).siteViews()).views > 5_000, cut.output)
    assert.equal(await cut.stop('SIGINT'), 0)
    await assertNothingRuns(ports, cut.output())
    assert.ok(!cut.output().includes('counted, in'), 'it was cut short')

    const whole = await startIn(fresh, ports)
    await until(() => whole.output().includes('counted, in'), whole.output)
    const [, said = ''] = /^([\d,]+) views of the last 90 days: counted/m.exec(whole.output()) ?? []
    const history = Number(said.replaceAll(',', ''))
    const stats = statsOf(whole.output(), ports)
    await until(async () => (await stats.siteViews()).views > history, whole.output)
    // The readers of now are few.
    const { views } = await stats.siteViews()
    assert.ok(views < history + 200, `${views} views, ${history} of them history`)
    const { days } = await stats.siteDays({ days: 90 })
    assert.ok(days.every(day => day.views > 0))

    const { referrers } = await stats.siteReferrers({ days: 90, limit: 100 })
    const own = referrers.filter(({ internal }) => internal).map(({ host }) => host)
    assert.deepEqual(own, ['127.0.0.1'], "readers who went on from one of the blog's pages to the next")

    const [top] = (await stats.topPosts({ limit: 1 })).posts
    const blog = `http://127.0.0.1:${ports.BLOG_PORT.port}`
    const named = (await (await fetch(`${blog}/posts.json?ids=${top!.post_uuid}`)).json()) as {
      posts: unknown[]
    }
    assert.equal(named.posts.length, 1, 'the posts that are read are those of the blog')
    const password = /^ {2}Password {2}(\S+)/m.exec(whole.output())?.[1]
    assert.deepEqual([await signIn(ports, password), await signIn(ports, 'another')], [303, 401])
    assert.equal(await whole.stop('SIGINT'), 0)
    await assertNothingRuns(ports, whole.output())
  })

  test('makes up no readers in a database that somebody has named', async t => {
    const own = await newCheckout()
    t.after(() => remove(own))
    const settings = { DATABASE_URL: `sqlite:${join(own, 'own.db')}`, ADMIN_PASSWORD: 'a password of my own' }
    const started = await startIn(own, ports, [], settings)
    await pasted(started.output(), 'createTracker', own)
    await untilViews(started.output(), 1)
    assert.equal((await statsOf(started.output(), ports).siteViews()).views, 1)
    assert.match(started.output(), /Readers +none simulated/)
    const log = await readFile(join(own, 'data/log/analytics.log'), 'utf8')
    assert.match(log, /"siteHosts":\[\]/, 'nor does it record own hosts there')
    assert.ok(!started.output().includes(settings.ADMIN_PASSWORD))
    assert.equal(await signIn(ports, settings.ADMIN_PASSWORD), 303)
    assert.equal(await started.stop('SIGINT'), 0)
  })
})

type Ports = Record<'PORT' | 'ADMIN_PORT' | 'BLOG_PORT', HeldPort>

/** A checkout of its own, so that its data/ is not that of the developer who runs the tests. */
async function newCheckout(): Promise<string> {
  const checkout = await mkdtemp(join(await realpath(tmpdir()), 'postviews-start-'))
  await cp(join(ROOT, 'tools'), join(checkout, 'tools'), { recursive: true })
  for (const name of ['package.json', 'packages', 'examples', 'node_modules']) {
    await symlink(join(ROOT, name), join(checkout, name))
  }
  return checkout
}

function remove(checkout: string): Promise<void> {
  return rm(checkout, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
}

async function assertNothingRuns(ports: Ports, output: string): Promise<void> {
  const numbers = [...Object.values(ports).map(({ port }) => port), brokerPortIn(output)]
  for (const port of numbers) assert.equal(await isFree(port), true, `something is left on ${port}`)
}

/** What the panel answers to a password. */
async function signIn({ ADMIN_PORT }: Ports, password = ''): Promise<number> {
  const url = `http://127.0.0.1:${ADMIN_PORT.port}/sign-in`
  const answer = await fetch(url, {
    method: 'POST',
    body: new URLSearchParams({ password }),
    redirect: 'manual',
  })
  return answer.status
}

function statsOf(output: string, { PORT }: Ports) {
  const key = /^ {2}API key {3}(\S+)/m.exec(output)?.[1]
  assert.ok(key)
  return createStats({ baseUrl: `http://127.0.0.1:${PORT.port}`, key })
}

/** Signs in to the blog as an author, who has a dashboard; the cookie that tells it. */
async function author(blog: string): Promise<string> {
  const body = new URLSearchParams({ person: '1' })
  const answer = await fetch(`${blog}/sign-in`, { method: 'POST', body, redirect: 'manual' })
  return answer.headers
    .getSetCookie()
    .map(cookie => cookie.split(';')[0])
    .join('; ')
}

/** What is said to be pasted, and then the command among those it prints that has this word in it. */
function pasted(output: string, word: string, cwd: string): Promise<string> {
  return sh(`${commandIn(output, 'export ')}\n${commandIn(output, word)}`, cwd)
}

/** The process id that it printed for a part. */
function processIn(output: string, name: string): string {
  const [, id] = new RegExp(`^ {2}Processes .*\\b${name} (\\d+)`, 'm').exec(output) ?? []
  assert.ok(id, output)
  return id
}

async function sh(command: string, cwd: string): Promise<string> {
  return (await exec('/bin/sh', ['-c', command], { cwd })).stdout
}

type Launched = {
  output(): string
  /** The exit code. */
  ended: Promise<number | null>
  stop(signal: NodeJS.Signals): Promise<number | null>
}

const launched: { child: ChildProcess; ended: Promise<number | null> }[] = []

function launch(
  checkout: string,
  ports: Ports,
  args: string[] = [],
  settings: Record<string, string> = {},
  [program, ...before]: string[] = [process.execPath, 'tools/start.ts'],
): Launched {
  const numbers = Object.entries(ports).map(([name, { port }]) => [name, String(port)])
  const child = spawn(program!, [...before, ...args], {
    cwd: checkout,
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      ...Object.fromEntries(numbers),
      ...settings,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const ended = new Promise<number | null>(resolve => child.once('close', resolve))
  launched.push({ child, ended })
  return {
    output: () => output,
    ended,
    stop: signal => {
      child.kill(signal)
      return ended
    },
  }
}

async function startIn(...how: Parameters<typeof launch>): Promise<Launched> {
  const launched = launch(...how)
  let hasEnded = false
  void launched.ended.then(() => {
    hasEnded = true
  })
  await until(() => hasEnded || launched.output().includes('Ctrl-C stops'), launched.output)
  assert.equal(hasEnded, false, launched.output())
  return launched
}

/** The line among those it prints to be pasted that has this word in it. */
function commandIn(output: string, word: string): string {
  const line = output.split('\n').find(text => text.startsWith('  ') && text.includes(word))
  assert.ok(line, `no ${word} in ${output}`)
  return line
}

function brokerPortIn(output: string): number {
  return Number(/amqp:.*@127\.0\.0\.1:(\d+)/.exec(output)?.[1])
}

async function viewsNow(output: string): Promise<number> {
  return (JSON.parse(await pasted(output, 'curl', ROOT)) as { views: number }).views
}

async function untilViews(output: string, views: number): Promise<void> {
  let now = 0
  await until(
    async () => {
      now = await viewsNow(output)
      return now >= views
    },
    () => `${now} views`,
  )
  assert.equal(now, views)
}

async function until(condition: () => boolean | Promise<boolean>, last: () => string): Promise<void> {
  const deadline = Date.now() + 60_000
  while (!(await condition())) {
    if (Date.now() > deadline) assert.fail(`not within 60 s; last seen:\n${last()}`)
    await sleep(50)
  }
}
