import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ensureInstalled } from './stack/install.ts'
import { isFree } from './stack/ports.ts'
import { findProgram } from './stack/programs.ts'
import { startRabbitmq } from './stack/rabbitmq.ts'
import { Server } from './stack/server.ts'
import { onStopSignal } from './stack/stop-signals.ts'

/**
 * `npm start`: the whole system on this machine, for trying it. A private RabbitMQ whose data stay in
 * data/rabbitmq (unless AMQP_URL names another), then the parts below, each a process with its log in data/log.
 * Whatever ends this program ends them too, and nothing else.
 */
const ROOT = join(import.meta.dirname, '..')
const DATA = join(ROOT, 'data')
const LOGS = join(DATA, 'log')

/** A part of the system: an HTTP service of ours, run by this same Node. */
type Part = {
  name: string
  args: string[]
  env: Record<string, string>
  port: number
  /** The setting that moves it to another port. */
  portSetting: string
  /** Answers 200 when the part is ready. */
  readyPath: string
}

const isOwnBroker = !setting('AMQP_URL')
const isOwnKey = !setting('INTERNAL_API_KEY')
const apiKey = setting('INTERNAL_API_KEY') ?? randomBytes(24).toString('base64url')
const host = setting('HOST') ?? '127.0.0.1'
const apiPort = portOf('PORT', 3100)

/** In the order they start; they stop in reverse. */
function partsOf(amqpUrl: string): Part[] {
  return [
    {
      name: 'analytics',
      args: ['packages/analytics/src/cli.ts', 'serve'],
      env: {
        AMQP_URL: amqpUrl,
        DATABASE_URL: setting('DATABASE_URL') ?? 'sqlite:data/postviews.db',
        INTERNAL_API_KEY: apiKey,
        HOST: host,
        PORT: String(apiPort),
      },
      port: apiPort,
      portSetting: 'PORT',
      readyPath: '/readyz',
    },
  ]
}

const stops: (() => Promise<void>)[] = []
let isEnding = false

onStopSignal(() => {
  console.log('\nStopping ...')
  void end(0)
})

try {
  await start()
} catch (error) {
  // Ctrl-C while a part was starting fails that start, which is no news.
  if (!isEnding) {
    console.error((error as Error).message)
    await end(1)
  }
}

async function start(): Promise<void> {
  mkdirSync(LOGS, { recursive: true })
  for (const { name, port, portSetting } of partsOf('')) {
    if (!(await isFree(port))) {
      throw new Error(
        `Port ${port} for ${name} is in use. Set ${portSetting} to another: ${portSetting}=${port + 1} npm start`,
      )
    }
  }
  const amqpUrl = setting('AMQP_URL') ?? (await startBroker())
  for (const part of partsOf(amqpUrl)) await startPart(part)
  console.log(greeting(amqpUrl))
}

async function startBroker(): Promise<string> {
  await ensureInstalled(['rabbitmq'], console.log)
  console.log('Starting RabbitMQ ...')
  const broker = await startRabbitmq({ dir: join(DATA, 'rabbitmq'), management: false })
  stops.push(() => broker.stop())
  endIfItEnds('RabbitMQ', broker.untilEnded(), join(DATA, 'rabbitmq', 'log'))
  return broker.url
}

async function startPart({ name, args, env, port, readyPath }: Part): Promise<void> {
  console.log(`Starting ${name} ...`)
  const logFile = join(LOGS, `${name}.log`)
  rmSync(logFile, { force: true })
  const server = new Server({
    name,
    command: [process.execPath, ...args],
    env: { ...process.env, ...env },
    cwd: ROOT,
    logFile,
    ready: () => answers200(`http://127.0.0.1:${port}${readyPath}`),
    startTimeoutMs: 60_000,
    stopTimeoutMs: 30_000,
  })
  stops.push(() => server.stop())
  await server.start()
  endIfItEnds(name, server.untilEnded(), logFile, () => server.logTail())
}

function endIfItEnds(
  name: string,
  ended: Promise<string>,
  log: string,
  logTail = () => Promise.resolve(''),
): void {
  void ended.then(async why => {
    if (isEnding) return
    console.error([`${name} ended by itself (${why}); its log: ${log}`, await logTail()].join('\n').trimEnd())
    await end(1)
  })
}

async function end(exitCode: number): Promise<void> {
  if (isEnding) return
  isEnding = true
  for (const stop of stops.reverse()) await stop()
  process.exit(exitCode)
}

async function answers200(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(5_000) })).ok
  } catch {
    return false // Not listening yet.
  }
}

/** A setting that is empty counts as not set, as it does for the service. */
function setting(name: string): string | undefined {
  return process.env[name]?.trim() || undefined
}

function portOf(name: string, fallback: number): number {
  const port = Number(setting(name) ?? fallback)
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port
  console.error(`${name}: is not a port between 1 and 65535`)
  process.exit(1)
}

function greeting(amqpUrl: string): string {
  const api = `http://127.0.0.1:${apiPort}/api/v1`
  // What the user has set may hold a password, and the shell that set it knows it.
  const keyHeader = isOwnKey
    ? `'X-Internal-Api-Key: ${apiKey}'`
    : `"X-Internal-Api-Key: \${INTERNAL_API_KEY%%,*}"`
  const broker = isOwnBroker ? `'${amqpUrl}'` : '"$AMQP_URL"'
  const publish = [
    "import { createTracker } from '@postviews/client'",
    'const tracker = createTracker({ url: process.env.AMQP_URL })',
    "tracker.trackView({ post_uuid: '42' })",
    'await tracker.close()',
  ].join('; ')
  const lines = [
    '',
    'postviews is running.',
    '',
    `  API       ${api}`,
    `  API key   ${isOwnKey ? `${apiKey}   (of this run; set INTERNAL_API_KEY to choose one)` : 'as INTERNAL_API_KEY says'}`,
    `  RabbitMQ  ${isOwnBroker ? `${amqpUrl}   (private; data in data/rabbitmq)` : 'as AMQP_URL says'}`,
    `  Database  ${setting('DATABASE_URL') ? 'as DATABASE_URL says' : 'data/postviews.db'}`,
    '  Log       data/log/analytics.log',
    '',
    'Publish a view of post 42, from another terminal in this folder:',
    '',
    `  AMQP_URL=${broker} npx node --input-type=module -e "${publish}"`,
    '',
  ]
  if (findProgram('amqp-publish')) {
    lines.push(
      'or, with the program from amqp-tools:',
      '',
      `  amqp-publish --url=${broker} -e post.events -r post.viewed -p -C application/json -b '{"post_uuid":"42"}'`,
      '',
    )
  }
  lines.push(
    'Read its count:',
    '',
    `  curl -s -H ${keyHeader} ${api}/posts/42/views`,
    '',
    'Ctrl-C stops all of it.',
  )
  return lines.join('\n')
}
