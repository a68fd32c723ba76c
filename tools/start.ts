import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createStats } from '@postviews/client/src/index.ts'
import { loadPosts } from '../examples/blog/src/posts.ts'
import { createProgressBar } from '../packages/analytics/src/progress.ts'
import { HISTORY_DAYS, readSample, type Sample, startLife } from './life/life.ts'
import { type KeptUp, keepUp } from './stack/keep-up.ts'
import { startMysql } from './stack/mysql.ts'
import { isFree } from './stack/ports.ts'
import { findProgram } from './stack/programs.ts'
import { startRabbitmq } from './stack/rabbitmq.ts'
import { findRabbitmq } from './stack/rabbitmq-node.ts'
import { Server } from './stack/server.ts'
import { ensureParts } from './stack/stack-install.ts'
import { chooseStack, chosenStack, rootOf, STACKS } from './stack/stacks.ts'
import { onStopSignal } from './stack/stop-signals.ts'

/**
 * `npm start`: the whole system on this machine, to try it out. It starts a private RabbitMQ with its data in data/rabbitmq (unless
 * AMQP_URL names another broker; with `--stack` also a database server, both in data/STACK). Then it starts the parts below, each
 * as a process with its log in data/log. Simulated readers run in this process (not with `--quiet`, and never on the user's own
 * broker or database). However this program ends, the parts end with it, and nothing else does. A part that ends by itself is
 * restarted after a while, so that an outage can be tried. Everything ends only if a part cannot be started.
 */
const ROOT = join(import.meta.dirname, '..')
const DATA = join(ROOT, 'data')
const LOGS = join(DATA, 'log')
const END_DEADLINE_MS = 19_000

/** A part of the system: an HTTP service of ours, run by this same Node. */
type Part = {
  name: 'analytics' | 'panel' | 'blog'
  args: string[]
  env: Record<string, string>
  /** The setting that changes its port. */
  portSetting: string
  /** The path that answers 200 when the part is ready. */
  readyPath: string
}

const { isQuiet, restartSeconds } = readArguments()
const stack = chosenStack()
/** One release may refuse to read another's files. */
const SERVERS = stack === null ? DATA : join(DATA, stack.name)
const SAMPLE_FILE = join(SERVERS, 'sample.json')
const isOwnBroker = !setting('AMQP_URL')
const isOwnKey = !setting('INTERNAL_API_KEY')
const isOwnPassword = !setting('ADMIN_PASSWORD')
/** Nobody's real numbers are in the store, so simulated readers are allowed. */
const isPlayground = isOwnBroker && !setting('DATABASE_URL')
const apiKeys = setting('INTERNAL_API_KEY') ?? randomBytes(24).toString('base64url')
const apiKey = apiKeys.split(',')[0]!.trim()
const adminPassword = setting('ADMIN_PASSWORD') ?? randomBytes(12).toString('base64url')
const host = setting('HOST') ?? '127.0.0.1'
const ports = {
  analytics: portOf('PORT', 3100),
  panel: portOf('ADMIN_PORT', 3200),
  blog: portOf('BLOG_PORT', 3300),
}
const analyticsUrl = urlOf('analytics')
const blogUrl = urlOf('blog')

/** Both names of the blog. The user's own database records the hosts of their site, and keeps them. */
const OWN_HOSTS = setting('SITE_HOSTS') ?? (setting('DATABASE_URL') ? null : '127.0.0.1,localhost')

/** Long enough for the history. Settings of the user are not changed; there is no history then. */
const LONG_MEMORY = { EVENT_MAX_AGE: `${HISTORY_DAYS + 10}d`, RAW_RETENTION_DAYS: String(HISTORY_DAYS + 30) }
const hasLongMemory = isPlayground && !Object.keys(LONG_MEMORY).some(setting)

function analyticsPart(amqpUrl: string, databaseUrl: string): Part {
  return {
    name: 'analytics',
    args: ['packages/analytics/src/postviews.mjs', 'serve'],
    env: {
      AMQP_URL: amqpUrl,
      DATABASE_URL: databaseUrl,
      INTERNAL_API_KEY: apiKeys,
      ...(OWN_HOSTS === null ? {} : { SITE_HOSTS: OWN_HOSTS }),
      ...(hasLongMemory ? LONG_MEMORY : {}),
    },
    portSetting: 'PORT',
    readyPath: '/readyz',
  }
}

function panelPart(): Part {
  return {
    name: 'panel',
    // The panel strips types from what it sends to browsers, with a function of Node that prints an experimental warning.
    args: ['--disable-warning=ExperimentalWarning', 'packages/admin/src/main.ts'],
    env: {
      ADMIN_PASSWORD: adminPassword,
      INTERNAL_API_KEY: apiKey,
      ANALYTICS_URL: analyticsUrl,
      POSTS_URL: `${blogUrl}/posts.json`,
    },
    portSetting: 'ADMIN_PORT',
    readyPath: '/livez',
  }
}

function blogPart(amqpUrl: string, sampleDay: string): Part {
  return {
    name: 'blog',
    args: ['examples/blog/src/main.ts'],
    env: {
      AMQP_URL: amqpUrl,
      ANALYTICS_URL: analyticsUrl,
      INTERNAL_API_KEY: apiKey,
      PUBLIC_URL: setting('PUBLIC_URL') ?? blogUrl,
      SAMPLE_DAY: sampleDay,
    },
    portSetting: 'BLOG_PORT',
    readyPath: '/',
  }
}

const PARENT_LOOK_MS = 500

const parts: Server[] = []
const kept: KeptUp[] = []
const stops: (() => Promise<unknown>)[] = []
const ending = new AbortController()

onStopSignal(() => {
  console.log('\nStopping ...')
  void end(0)
})

// A signal to npm alone ends only npm, and would leave this process running without a parent.
const startedBy = process.ppid
if (process.env['npm_lifecycle_event'] === 'start') {
  setInterval(() => {
    if (process.ppid !== startedBy) void end(0)
  }, PARENT_LOOK_MS).unref()
}

try {
  await start()
} catch (error) {
  // When Ctrl-C interrupts the start of a part, that failure is not worth reporting.
  if (!ending.signal.aborted) {
    console.error((error as Error).message)
    await end(1)
  }
}

async function start(): Promise<void> {
  mkdirSync(LOGS, { recursive: true })
  // It holds readers' addresses and RabbitMQ's cookie. An existing folder may have wider permissions.
  chmodSync(DATA, 0o700)
  for (const { name, portSetting } of [analyticsPart('', ''), panelPart(), blogPart('', '')]) {
    const port = ports[name]
    if (!(await isFree(port))) {
      throw new Error(
        `Port ${port} for ${name} is in use. Set ${portSetting} to another: ${portSetting}=${port + 1} npm start`,
      )
    }
  }
  const amqpUrl = setting('AMQP_URL') ?? (await startBroker())
  const databaseUrl = setting('DATABASE_URL') ?? (await startDatabase())
  // All at once: no part needs another one to stop, but each may need the broker.
  stops.push(() => Promise.all(parts.map(part => part.stop())))
  await startPart(analyticsPart(amqpUrl, databaseUrl))
  const sample = isPlayground ? await sampleOf() : { sinceMs: Date.now(), history: 'none' as const }
  const sampleDay = new Date(sample.sinceMs).toISOString().slice(0, 10)
  await Promise.all([startPart(panelPart()), startPart(blogPart(amqpUrl, sampleDay))])
  console.log(greeting(amqpUrl))
  if (isPlayground && !isQuiet) startReaders(sample, amqpUrl, sampleDay)
}

function sampleOf(): Promise<Sample> {
  const stats = createStats({ baseUrl: analyticsUrl, key: apiKey })
  return readSample(SAMPLE_FILE, stats, hasLongMemory && !isQuiet)
}

function startReaders(sample: Sample, amqpUrl: string, sampleDay: string): void {
  const bar = createProgressBar()
  const life = startLife(sample, {
    amqpUrl,
    analyticsUrl,
    apiKey,
    blogUrl,
    posts: loadPosts(sampleDay),
    file: SAMPLE_FILE,
    progress: (counted, total) => bar.progress('history', counted, total),
    say: line => {
      bar.end()
      console.log(line)
    },
  })
  stops.push(async () => {
    bar.end()
    await life.stop()
  })
}

async function startBroker(): Promise<string> {
  // The printed commands need curl, but a missing curl alone does not prevent the start.
  if (rootOf(stack) !== null || findRabbitmq() === undefined) {
    await ensureParts(['rabbitmq', 'curl'], stack, console.log)
  }
  console.log('Starting RabbitMQ ...')
  const dir = join(SERVERS, 'rabbitmq')
  const broker = await startRabbitmq({ dir, management: false })
  keepServer('RabbitMQ', broker, join(dir, 'log'))
  return broker.url
}

/** A file; with a stack, a database on its server. */
async function startDatabase(): Promise<string> {
  if (stack === null) return 'sqlite:data/postviews.db'
  await ensureParts(['mariadb'], stack, console.log)
  console.log(`Starting ${stack.sqlName} ...`)
  const dir = join(SERVERS, stack.sqlName.toLowerCase())
  const server = await startMysql({ dir })
  keepServer(stack.sqlName, server, join(dir, 'mysql.log'))
  return server.ensureDatabase('postviews')
}

interface OwnServer {
  readonly pid: number
  stop(): Promise<void>
  untilEnded(): Promise<string>
  restart(): Promise<void>
}

function keepServer(name: string, server: OwnServer, log: string): void {
  stops.push(() => server.stop())
  keep({
    name,
    get pid() {
      return server.pid
    },
    log,
    untilEnded: () => server.untilEnded(),
    startAgain: () => server.restart(),
    logTail: () => Promise.resolve(''),
  })
}

async function startPart({ name, args, env, readyPath }: Part): Promise<void> {
  console.log(`Starting ${name} ...`)
  const logFile = join(LOGS, `${name}.log`)
  rmSync(logFile, { force: true })
  let hasBeenReady = false
  const server = new Server({
    name,
    command: [process.execPath, ...args],
    env: { ...process.env, ...env, HOST: host, PORT: String(ports[name]) },
    cwd: ROOT,
    logFile,
    // At a restart other parts may be down as well, so it counts as ready when it answers: it waits for the others by itself.
    ready: () => answers200(urlOf(name) + (hasBeenReady ? '/livez' : readyPath)),
    startTimeoutMs: 60_000,
    stopTimeoutMs: 30_000,
  })
  parts.push(server)
  await server.start()
  hasBeenReady = true
  keep({
    name,
    get pid() {
      return server.pid
    },
    log: logFile,
    untilEnded: () => server.untilEnded(),
    startAgain: () => server.start(),
    logTail: () => server.logTail(),
  })
}

function keep(one: KeptUp): void {
  kept.push(one)
  keepUp(one, restartSeconds, ending.signal).catch((error: Error) => {
    console.error(error.message)
    return end(1)
  })
}

async function end(exitCode: number): Promise<void> {
  if (ending.signal.aborted) return
  ending.abort()
  // A hanging part is killed when this process ends, which does no harm.
  setTimeout(() => process.exit(1), END_DEADLINE_MS).unref()
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

function readArguments(): { isQuiet: boolean; restartSeconds: number } {
  const options = {
    quiet: { type: 'boolean' },
    'restart-after': { type: 'string' },
    stack: { type: 'string' },
  } as const
  try {
    const { values } = parseArgs({ options })
    if (values.stack !== undefined) chooseStack(values.stack)
    const seconds = values['restart-after'] ?? '20'
    if (!/^[1-9]\d{0,3}$/.test(seconds))
      throw new TypeError('--restart-after is not a number of seconds from 1 to 9999')
    return { isQuiet: values.quiet ?? false, restartSeconds: Number(seconds) }
  } catch (error) {
    console.error(
      [
        (error as Error).message,
        'npm start [-- --quiet --restart-after=20 --stack=NAME]',
        '  --quiet          no history and no simulated readers',
        '  --restart-after  seconds until a part that has ended is restarted',
        `  --stack          the servers of another system: ${STACKS.map(({ name }) => name).join(', ')}`,
      ].join('\n'),
    )
    process.exit(2)
  }
}

/** An empty setting counts as not set, as in the service. */
function setting(name: string): string | undefined {
  return process.env[name]?.trim() || undefined
}

function portOf(name: string, fallback: number): number {
  const port = Number(setting(name) ?? fallback)
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port
  console.error(`${name}: is not a port between 1 and 65535`)
  process.exit(1)
}

function urlOf(name: Part['name']): string {
  return `http://127.0.0.1:${ports[name]}`
}

function greeting(amqpUrl: string): string {
  const api = `${analyticsUrl}/api/v1`
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
    `  Panel     ${urlOf('panel')}`,
    `  Password  ${isOwnPassword ? `${adminPassword}   (for this run; set ADMIN_PASSWORD to choose one)` : 'your ADMIN_PASSWORD'}`,
    `  Blog      ${blogUrl}   (sign in as any reader or author)`,
    `  API       ${api}`,
    `  API key   ${isOwnKey ? `${apiKey}   (for this run; set INTERNAL_API_KEY to choose one)` : 'your INTERNAL_API_KEY'}`,
    `  RabbitMQ  ${isOwnBroker ? `${amqpUrl}   (private; data in data/rabbitmq)` : 'your AMQP_URL'}`,
    `  Database  ${setting('DATABASE_URL') ? 'your DATABASE_URL' : 'data/postviews.db'}`,
    '  Logs      data/log',
    `  Processes ${kept.map(({ name, pid }) => `${name} ${pid}`).join(', ')}`,
    `  Readers   ${readersSay()}`,
    '',
    'Paste this into another terminal in this folder. The examples of README.md and the commands below then run there as they are:',
    '',
    `  ${exportLine(amqpUrl)}`,
    '',
    'Publish a view of post 42:',
    '',
    `  node --input-type=module -e "${publish}"`,
    '',
  ]
  if (findProgram('amqp-publish')) {
    // The program takes one URL, but the user's setting may name every node of a cluster.
    const oneUrl = isOwnBroker ? '$AMQP_URL' : `\${AMQP_URL%%,*}`
    lines.push(
      'or, with the program from amqp-tools:',
      '',
      `  amqp-publish --url="${oneUrl}" -e post.events -r post.viewed -p -C application/json -b '{"post_uuid":"42"}'`,
      '',
    )
  }
  lines.push(
    'Read its count:',
    '',
    '  curl -s -H "X-Internal-Api-Key: $INTERNAL_API_KEY" "$ANALYTICS_URL/api/v1/posts/42/views"',
    '',
    `To try an outage, kill one of the processes: it is restarted after ${restartSeconds} s.`,
    'Ctrl-C stops everything.',
  )
  return lines.join('\n')
}

/** The user's settings may hold a password, so they are not printed. The other terminal must have them set as this one has. */
function exportLine(amqpUrl: string): string {
  const settings = [
    isOwnBroker ? `AMQP_URL='${amqpUrl}'` : 'AMQP_URL="$AMQP_URL"',
    `ANALYTICS_URL='${analyticsUrl}'`,
    isOwnKey ? `INTERNAL_API_KEY='${apiKey}'` : `INTERNAL_API_KEY="\${INTERNAL_API_KEY%%,*}"`,
  ]
  return `export ${settings.join(' ')}`
}

function readersSay(): string {
  if (!isPlayground) return 'none simulated, because the broker or the database is your own'
  return isQuiet ? 'none simulated' : 'simulated; npm start -- --quiet starts without them'
}
