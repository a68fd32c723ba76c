/**
 * Everything at once, for ten minutes (`npm run test:soak`): good, bad and odd messages and those of a flood of strangers,
 * panel users and somebody who guesses their password, every command that works beside a running service, connections
 * that break and services that are killed. It ends exact, and neither memory nor files grow beyond a bound.
 *
 * `SOAK_MINUTES` (10) and `SOAK_ENGINE` (`SQLite`, or `MariaDB` or `MySQL`, whichever the stack has) may be set.
 */

import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { CONSUMED_QUEUES, DEAD_QUEUE, VIEWS_QUEUE } from '@postviews/client/src/index.ts'
import { holdFreePort } from '../tools/stack/ports.ts'
import { shiftedClock } from './support/clock.ts'
import { ENGINES } from './support/engines.ts'
import { countRows } from './support/invariants.ts'
import { PASSWORD, startPanelProcess, startPosts } from './support/panel.ts'
import { goodEvent, type Plan, plan, planOf } from './support/planned.ts'
import { messageCount, sendTo } from './support/published.ts'
import { API_KEY, postviews, type Service } from './support/service.ts'
import { createSystem, type TestSystem } from './support/system.ts'
import { until } from './support/until.ts'
import { field, headers, longText, propertyList, wirePublisher } from './support/wire-publisher.ts'

const MINUTES = Number(process.env['SOAK_MINUTES'] ?? 10)
const ENGINE = ENGINES.find(({ name }) => name === (process.env['SOAK_ENGINE'] ?? 'SQLite'))
if (!(MINUTES > 0) || ENGINE === undefined)
  throw new Error(`SOAK_MINUTES is a number, SOAK_ENGINE is ${ENGINES.map(({ name }) => name).join(' or ')}`)

const VIEWS_A_SECOND = 600
/** Of them, from readers who make up where they come from and what they are. */
const STRANGERS_A_SECOND = 100
const PANEL_USERS = 20
const MiB = 2 ** 20
const MOST_RESIDENT = 450 * MiB
/**
 * Of SQLite's `-wal`, while days are read: none is read beside more than 256 MiB, and what is written during one day's reading
 * stays until its end. Days that are opened again meanwhile are written anew.
 */
const MOST_LOGGED = 768 * MiB
/** The same, once nobody reads. */
const MOST_LEFT = 256 * MiB
/** No planned event is one: these are purged. */
const GARBAGE = 'not_json'

test(`everything at once for ${MINUTES} minutes on ${ENGINE.name}`, async t => {
  const system = await createSystem(t, {
    database: await ENGINE.create(t),
    settings: { LOG_LEVEL: 'warn' },
  })
  const soak = new Soak(t, system)
  await soak.run()
})

/** One thing that somebody does over and over. */
interface Habit {
  what: string
  everyMs: number
  once(): Promise<unknown>
}

class Soak {
  readonly #t: TestContext
  readonly #system: TestSystem
  readonly #over = new AbortController()
  readonly #counts = new Map<string, number>()
  #failure: unknown
  #running = new Set<Service>()
  #mostResident = 0
  #mostLogged = 0
  #slowestMs = 0
  #lastPlan: Plan | undefined

  constructor(t: TestContext, system: TestSystem) {
    this.#t = t
    this.#system = system
  }

  async run(): Promise<void> {
    const { amqpUrl } = this.#system.surroundings
    const port = await holdFreePort()
    const serve = await this.#start('serve', port.port)
    await serve.untilReady()
    await this.#start('consume')
    const panel = await startPanelProcess(this.#t, {
      ANALYTICS_URL: serve.url,
      POSTS_URL: await startPosts(this.#t),
      TRUSTED_PROXIES: '127.0.0.1',
    })
    const wire = await wirePublisher(this.#t, amqpUrl)
    const habits: Habit[] = [
      { what: 'publish', everyMs: 1_000, once: () => this.#publish() },
      {
        what: 'odd',
        everyMs: 500,
        once: () => this.#publishOdd(message => wire.publish(VIEWS_QUEUE, ...message)),
      },
      { what: 'garbage', everyMs: 3_000, once: () => sendTo(amqpUrl, [VIEWS_QUEUE], `{ ${Math.random()}`) },
      { what: 'stop', everyMs: 25_000, once: () => this.#stopOne(port.port) },
      {
        what: 'cut',
        everyMs: 40_000,
        once: async () => this.#system.proxy[Math.random() < 0.5 ? 'cut' : 'reset'](),
      },
      { what: 'list', everyMs: 9_000, once: () => this.#command('dead list --limit 50') },
      { what: 'replay', everyMs: 31_000, once: () => this.#command('dead replay --reason bad_ip bad_user') },
      { what: 'purge', everyMs: 23_000, once: () => this.#command(`dead purge --reason ${GARBAGE}`) },
      { what: 'prune', everyMs: 20_000, once: () => this.#command('prune') },
      { what: 'prune ahead', everyMs: 97_000, once: () => this.#pruneAhead() },
      { what: 'verify', everyMs: 30_000, once: () => this.#command('verify') },
      { what: 'rebuild', everyMs: 70_000, once: () => this.#command('rebuild') },
      { what: 'guess', everyMs: 1_000, once: () => this.#guess(panel) },
      { what: 'dear', everyMs: 5_000, once: () => this.#askDearly(serve.url) },
      { what: 'look', everyMs: 1_000, once: () => this.#look(serve.url) },
      ...Array.from({ length: PANEL_USERS }, (_, n) => this.#panelUser(panel, n)),
    ]
    const stop = setTimeout(() => this.#over.abort(), MINUTES * 60_000)
    const told = setInterval(() => this.#tell(), 10_000)
    try {
      await Promise.all(habits.map(habit => this.#repeat(habit)))
    } finally {
      clearTimeout(stop)
      clearInterval(told)
    }
    if (this.#failure !== undefined) throw this.#failure
    if (this.#running.size < 2) await this.#start('consume')
    await this.#end(amqpUrl)
    port.release()
  }

  async #end(amqpUrl: string): Promise<void> {
    const { tap } = this.#system
    await until(
      'the queues are empty',
      async () => {
        const depths = await Promise.all(CONSUMED_QUEUES.map(queue => messageCount(amqpUrl, queue)))
        return depths.every(depth => depth === 0) && tap.inHand === 0
      },
      120_000,
    )
    await this.#command(`dead purge --reason ${GARBAGE}`)
    await until('no day is being opened again', async () => (await this.#daysBeingReopened()) === 0, 120_000)
    await this.#command('verify')
    assert.ok(this.#logged() < MOST_LEFT, `the -wal keeps ${inMiB(this.#logged())}`)
    await this.#system.check(120_000, { replayed: true })
    this.#measure()
    await this.#tell()
    assert.ok(this.#mostResident < MOST_RESIDENT, `a service took ${inMiB(this.#mostResident)}`)
    assert.ok(this.#mostLogged < MOST_LOGGED, `the -wal took ${inMiB(this.#mostLogged)}`)
    for (const what of [
      'published',
      'odd',
      'SIGKILL',
      'verify',
      'prune',
      'rebuild',
      'replay',
      'page 200',
      'dear 200',
    ])
      assert.ok(this.#counts.has(what), `${what}: never happened`)
  }

  async #repeat({ what, everyMs, once }: Habit): Promise<void> {
    const { signal } = this.#over
    const pause = (ms: number) => sleep(ms, undefined, { signal }).catch(() => {})
    await pause(Math.random() * Math.min(everyMs, 20_000))
    while (!signal.aborted) {
      const since = performance.now()
      try {
        await once()
      } catch (error) {
        this.#failure ??= new Error(`${what}: ${error}`, { cause: error })
        this.#over.abort()
      }
      await pause(Math.max(0, everyMs - (performance.now() - since)))
    }
  }

  async #publish(): Promise<void> {
    const usual = plan({ views: VIEWS_A_SECOND, bad: 0.03, seed: Date.now() })
    const strangers = planOf(Array.from({ length: STRANGERS_A_SECOND }, () => [madeUp()]))
    await this.#system.publish(usual)
    await this.#system.publish(strangers)
    this.#lastPlan = usual
    this.#count('published', usual.views.size + strangers.views.size)
  }

  /** Views that were published before, in messages that no client library would send. */
  async #publishOdd(send: (message: [properties: Buffer, body: Buffer]) => Promise<void>): Promise<void> {
    const messages = this.#lastPlan?.messages ?? []
    const { ids, body } = messages[Math.floor(Math.random() * messages.length)] ?? { ids: [], body: null }
    if (body === null || ids.some(id => id.startsWith('bad:'))) return
    const properties = ODD[Math.floor(Math.random() * ODD.length)]!
    await send([properties, body])
    this.#count('odd')
  }

  async #stopOne(port: number): Promise<void> {
    const [service] = [...this.#running].sort(() => Math.random() - 0.5)
    if (service === undefined) return
    const signal = Math.random() < 0.7 ? 'SIGKILL' : 'SIGTERM'
    this.#running.delete(service)
    const { code } = await service.end(signal)
    if (signal === 'SIGTERM') assert.equal(code, 0, 'it ends in the orderly way')
    this.#count(signal)
    await (new URL(service.url).port === String(port) ? this.#start('serve', port) : this.#start('consume'))
  }

  async #start(command: 'serve' | 'consume', port?: number): Promise<Service> {
    const service = await this.#system.start({ command, oneOfSeveral: true, ...(port && { port }) })
    this.#running.add(service)
    return service
  }

  async #command(line: string): Promise<void> {
    const { code, output } = await postviews(this.#system.surroundings, ...line.split(' '))
    assert.equal(code, 0, `\`postviews ${line}\` failed: ${output}`)
    this.#count(line.split(' ').find(word => word !== 'dead')!)
  }

  /**
   * Retention by a host whose clock is 40 days ahead: a database server's own clock refuses it. On SQLite every day is closed, and
   * opens again by itself.
   */
  async #pruneAhead(): Promise<void> {
    const clock = await shiftedClock(this.#t)
    await clock.set(40 * 86_400)
    const { settings, ...surroundings } = this.#system.surroundings
    const { code, output } = await postviews(
      { ...surroundings, settings: { ...settings, ...clock.settings } },
      'prune',
    )
    assert.equal(code, ENGINE?.name === 'SQLite' ? 0 : 1, output)
    this.#count('prune ahead')
  }

  /** A wrong password a second, from one address: it may be let off, and nobody else may be. */
  async #guess(panel: string): Promise<void> {
    const { status } = await signIn(panel, `guess ${Math.random()}`, '203.0.113.7')
    assert.ok([401, 429].includes(status), `a wrong password is answered with ${status}`)
    this.#count(`guess ${status}`)
  }

  #panelUser(panel: string, n: number): Habit {
    let cookie: string | undefined
    const address = `198.51.100.${n + 1}`
    return {
      what: `panel user ${n + 1}`,
      everyMs: 700,
      once: async () => {
        if (cookie === undefined) {
          const signedIn = await signIn(panel, PASSWORD, address)
          assert.equal(signedIn.status, 303, 'the right password')
          cookie = signedIn.headers.getSetCookie()[0]!.split(';')[0]!
        }
        const path = PAGES[Math.floor(Math.random() * PAGES.length)]!
        const answer = await ask(panel + path, {
          headers: { cookie, accept: 'text/html', 'x-forwarded-for': address },
        })
        const isWhole = await answer.arrayBuffer().then(
          () => true,
          () => false,
        )
        // Away for a moment, since the service is killed now and then: said, and never a number. A file that was begun is cut.
        assert.ok([200, 503].includes(answer.status), `${path} is answered with ${answer.status}`)
        assert.ok(isWhole || path.endsWith('.csv'), `${path} is cut`)
        this.#count(isWhole ? `page ${answer.status}` : 'file cut')
      },
    }
  }

  /** As much as may be asked at a time, ten times at once. */
  async #askDearly(url: string): Promise<void> {
    const posts = Array.from({ length: 200 }, (_, n) => `post-${n}`)
    const dear = `${url}/api/v1/posts/views?days=100&uuids=${posts.join()}`
    const answers = Array.from({ length: 10 }, async () => {
      const answer = await ask(dear, { headers: { 'x-internal-api-key': API_KEY } })
      await answer.arrayBuffer()
      return answer.status
    })
    for (const answer of await Promise.allSettled(answers)) {
      // Nobody answers while it is killed.
      if (answer.status === 'rejected') continue
      assert.ok([200, 503].includes(answer.value), `a dear question is answered with ${answer.value}`)
      this.#count(`dear ${answer.value}`)
    }
  }

  async #look(url: string): Promise<void> {
    const since = performance.now()
    const answer = await ask(`${url}/livez`).catch(() => null)
    if (answer !== null) {
      await answer.arrayBuffer()
      this.#slowestMs = Math.max(this.#slowestMs, performance.now() - since)
    }
    this.#measure()
  }

  #measure(): void {
    for (const service of this.#running) {
      if (service.isRunning) this.#mostResident = Math.max(this.#mostResident, service.residentBytes() || 0)
    }
    this.#mostLogged = Math.max(this.#mostLogged, this.#logged())
  }

  #logged(): number {
    const { url } = this.#system.database
    if (!url.startsWith('sqlite:')) return 0
    return statSync(`${url.slice('sqlite:'.length)}-wal`, { throwIfNoEntry: false })?.size ?? 0
  }

  /** A host whose clock was ahead closed them: until they are open, their readers are hashed under two keys. */
  async #daysBeingReopened(): Promise<number> {
    const [row] = await this.#system.database.query(
      'SELECT COUNT(*) AS days FROM post_view_day_keys WHERE reopening IS NOT NULL',
    )
    return Number(row!['days'])
  }

  async #tell(): Promise<void> {
    const { amqpUrl } = this.#system.surroundings
    const stored = await countRows(this.#system.database).catch(() => '?')
    const dead = await messageCount(amqpUrl, DEAD_QUEUE).catch(() => '?')
    const counts = [...this.#counts].sort().map(([what, count]) => `${what} ${count}`)
    console.log(
      `[soak] stored ${stored}, dead ${dead}, ${counts.join(', ')}; at most ${inMiB(this.#mostResident)} resident, ` +
        `${inMiB(this.#mostLogged)} of -wal; /livez at most ${Math.round(this.#slowestMs)} ms`,
    )
  }

  #count(what: string, by = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + by)
  }
}

const ODD = [
  headers(field('bang', 'F', Buffer.from([0, 0, 0, 3, 1, 0x21, 0x56]))),
  headers(field('bytes', 'x', longText(Buffer.from([0, 0xff])))),
  headers(...Array.from({ length: 2_000 }, (_, n) => field(`h${n}`, 'V'))),
  propertyList({ messageId: Buffer.alloc(200, 0xff), appId: Buffer.alloc(255, 0xe9) }),
  propertyList({ timestamp: 2n ** 64n - 1n }),
]

const PAGES = [
  '/',
  '/?period=90d',
  '/data',
  '/days.csv',
  '/posts.csv',
  '/referrers.csv',
  '/posts/post-1',
  '/posts/post-2/data',
  '/posts/post-3/days.csv',
  '/posts/post-4/referrers.csv',
]

function madeUp() {
  const now = Math.floor(Date.now() / 1_000)
  const [one, other] = [0, 0].map(() => Math.random().toString(36).slice(2))
  return goodEvent(
    { postUuid: `post-${one!.slice(0, 2)}`, viewedAt: now - Math.floor(Math.random() * 3 * 86_400) },
    {
      user_agent: `Reader/${other} `.repeat(2_000),
      referer: `https://${one}.${other}.example/${'x'.repeat(400)}`,
      ip: `2001:db8::${one!.length.toString(16)}:${Math.floor(Math.random() * 65_536).toString(16)}`,
    },
  )
}

function signIn(panel: string, password: string, address: string): Promise<Response> {
  return ask(`${panel}/sign-in`, {
    method: 'POST',
    redirect: 'manual',
    headers: { 'x-forwarded-for': address },
    body: new URLSearchParams({ password }),
  })
}

function ask(url: string, options: RequestInit = {}): Promise<Response> {
  return fetch(url, { ...options, signal: AbortSignal.timeout(30_000) })
}

function inMiB(bytes: number): string {
  return `${Math.round(bytes / MiB)} MiB`
}
