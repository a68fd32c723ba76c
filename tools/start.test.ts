import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { cp, mkdtemp, realpath, rm, symlink } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { createTracker } from '@postviews/client'
import { type HeldPort, holdFreePort, isFree } from './stack/ports.ts'
import { listenerOn } from './stack/proc.ts'
import { startRabbitmq } from './stack/rabbitmq.ts'

const ROOT = join(import.meta.dirname, '..')
const exec = promisify(execFile)

describe('npm start', () => {
  let checkout: string
  let api: HeldPort
  let others: HeldPort[]
  before(async () => {
    // A checkout of its own, so that its data/ is not that of the developer who runs the tests.
    checkout = await mkdtemp(join(await realpath(tmpdir()), 'postviews-start-'))
    await cp(join(ROOT, 'tools'), join(checkout, 'tools'), { recursive: true })
    for (const name of ['package.json', 'packages', 'examples', 'node_modules']) {
      await symlink(join(ROOT, name), join(checkout, name))
    }
    api = await holdFreePort()
    others = [await holdFreePort(), await holdFreePort()]
  })
  after(async () => {
    for (const port of [api, ...others]) port.release()
    await rm(checkout, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  })

  test('counts what the commands it prints publish, and keeps queue and counts for the next start', async () => {
    const first = await startIn(checkout, api.port)
    await sh(commandIn(first.output(), 'createTracker'), checkout)
    await untilViews(first.output(), 1)
    assert.equal(await first.stop('SIGINT'), 0)
    assert.deepEqual([await isFree(api.port), await isFree(brokerPortIn(first.output()))], [true, true])

    const broker = await startRabbitmq({ dir: join(checkout, 'data', 'rabbitmq'), management: false })
    const tracker = createTracker({ url: broker.url })
    tracker.trackView({ post_uuid: '42' })
    await tracker.close()
    await broker.stop()

    const second = await startIn(checkout, api.port)
    await sh(commandIn(second.output(), 'amqp-publish'), checkout)
    await untilViews(second.output(), 3)
    assert.equal(await second.stop('SIGTERM'), 0)
  })

  test('says which setting to change when its port is in use, and starts nothing', async () => {
    const stranger = createServer()
    await new Promise<void>(resolve => stranger.listen(api.port, '127.0.0.1', resolve))
    const refused = launch(checkout, api.port)
    assert.equal(await refused.ended, 1)
    await new Promise(resolve => stranger.close(resolve))
    assert.equal(
      refused.output(),
      `Port ${api.port} for analytics is in use. Set PORT to another: PORT=${api.port + 1} npm start\n`,
    )
  })

  test('stops the rest and fails when the service ends by itself', async () => {
    const started = await startIn(checkout, api.port)
    const service = listenerOn(api.port)
    assert.ok(service)
    process.kill(service, 'SIGKILL')
    assert.equal(await started.ended, 1)
    assert.match(started.output(), /^analytics ended by itself \(SIGKILL\)/m)
    assert.equal(await isFree(brokerPortIn(started.output())), true)
  })
})

async function sh(command: string, cwd: string): Promise<string> {
  return (await exec('/bin/sh', ['-c', command], { cwd })).stdout
}

type Launched = {
  output(): string
  /** The exit code. */
  ended: Promise<number | null>
  stop(signal: NodeJS.Signals): Promise<number | null>
}

function launch(checkout: string, port: number): Launched {
  const { AMQP_URL: _, DATABASE_URL: __, INTERNAL_API_KEY: ___, HOST: ____, ...env } = process.env
  const child = spawn(process.execPath, ['tools/start.ts'], {
    cwd: checkout,
    env: { ...env, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const ended = new Promise<number | null>(resolve => child.once('close', resolve))
  return {
    output: () => output,
    ended,
    stop: signal => {
      child.kill(signal)
      return ended
    },
  }
}

async function startIn(checkout: string, port: number): Promise<Launched> {
  const launched = launch(checkout, port)
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

async function untilViews(output: string, views: number): Promise<void> {
  let answer = ''
  await until(
    async () => {
      answer = await sh(commandIn(output, 'curl'), ROOT)
      return (JSON.parse(answer) as { views: number }).views >= views
    },
    () => answer,
  )
  assert.equal((JSON.parse(answer) as { views: number }).views, views)
}

async function until(condition: () => boolean | Promise<boolean>, last: () => string): Promise<void> {
  const deadline = Date.now() + 60_000
  while (!(await condition())) {
    if (Date.now() > deadline) assert.fail(`not within 60 s; last seen:\n${last()}`)
    await sleep(50)
  }
}
