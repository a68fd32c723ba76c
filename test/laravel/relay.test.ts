/** A Laravel application with the driver `relay`: what is done to the relay, to the broker behind it, and what becomes of the views. */

import assert from 'node:assert/strict'
import { chmod, chown, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { WEB_USER } from '../../tools/laravel/app.ts'
import { snippetsOf } from '../../tools/laravel/document.ts'
import { testRabbitmq } from '../../tools/stack/for-tests.ts'
import { atEnd } from '../support/at-end.ts'
import { type LaravelApp, laravelApp, page, serving, WAYS, working } from '../support/laravel-app.ts'
import { assertCounted, BLOG, makeVisits, startCounting } from '../support/laravel-visits.ts'
import { type Relay, startRelay } from '../support/relay.ts'
import { API_KEY } from '../support/service.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'

/** The reader waits for the page alone: the relay has its turn after the response. */
const LONGEST_PAGE_MS = 1_500
const WORKERS = 2

interface Options {
  /** Where PHP finds the broker; nowhere by default, so that what is counted came by the relay. */
  amqpUrl?: string
  env?: Record<string, string>
}

/** An application that has the snippet of the document, with a relay in a folder whose group is the web server's. */
async function blogWithRelay(t: TestContext, brokerUrl: string, { amqpUrl = '', env = {} }: Options = {}) {
  const app = await laravelApp(t, { env: { POSTVIEWS_AMQP_URL: amqpUrl, ...env }, files: BLOG })
  const folder = join(app.folder, 'relay')
  await mkdir(folder)
  await chown(folder, 0, WEB_USER)
  // What is made in it is of its group.
  await chmod(folder, 0o2755)
  const snippet = snippetsOf().find(({ section, file }) => section === 'Relay' && file === '.env')!
  const socket = join(folder, 'relay.sock')
  await app.write('.env', app.read('.env') + snippet.text.replace('/run/postviews.sock', socket))
  const start = (settings: Record<string, string> = {}): Promise<Relay> =>
    startRelay(t, { amqpUrl: brokerUrl, folder, settings })
  return { app, socket, start }
}

async function showPosts(url: string, count: number): Promise<void> {
  for (let shown = 0; shown < count; shown++) {
    const { status, tookMs } = await page(`${url}/posts/third`)
    assert.equal(status, 200)
    assert.ok(tookMs < LONGEST_PAGE_MS, `a reader waited ${tookMs} ms`)
  }
}

function toldOf(app: LaravelApp, event: string): string[] {
  return app
    .log()
    .split('\n')
    .filter(line => line.includes(`postviews: ${event}`))
}

/** Each of the views of `showPosts`, once. */
function views(count: number): Map<string, number> {
  return new Map([['3,,0', count]])
}

for (const way of Object.keys(WAYS) as (keyof typeof WAYS)[]) {
  test(`under ${way} every view comes by the relay and is counted once`, async t => {
    const { url } = await testRabbitmq()
    const counting = await startCounting(t, url)
    const { app, start } = await blogWithRelay(t, url)
    const relay = await start()
    const server = await serving(t, app, way)
    const expected = await makeVisits(server.url, 3, 3)
    await assertCounted(counting, expected)
    const accepted = await relay.metric('accepted_total')
    assert.equal(
      accepted,
      [...expected.values()].reduce((sum, count) => sum + count, 0),
    )
    assert.doesNotMatch(app.log(), /postviews: /)
  })
}

test('while the relay is away, pages go by the broker and the log says so once; then by the relay again', async t => {
  const { url } = await testRabbitmq()
  const counting = await startCounting(t, url)
  const { app, start } = await blogWithRelay(t, url, { amqpUrl: url })
  const server = await serving(t, app, 'php-fpm with nginx', { workers: WORKERS })
  await showPosts(server.url, 10)
  await assertCounted(counting, views(10))
  assert.equal(toldOf(app, 'relay.lost').length, 1)
  assert.match(toldOf(app, 'relay.lost')[0]!, /there is no socket .*: start postviews-relay/)

  const relay = await start()
  await showPosts(server.url, 10)
  await assertCounted(counting, views(20))
  assert.equal(await relay.metric('accepted_total'), 10)
  assert.equal(toldOf(app, '').length, 1)
})

test('a relay that hangs holds up no reader, and each view is counted once', async t => {
  const { url } = await testRabbitmq()
  const counting = await startCounting(t, url)
  const { app, start } = await blogWithRelay(t, url, { amqpUrl: url })
  const relay = await start()
  const server = await serving(t, app, 'php-fpm with nginx', { workers: WORKERS })
  await showPosts(server.url, 5)
  await assertCounted(counting, views(5))
  relay.kill('SIGSTOP')
  atEnd(t, () => relay.kill('SIGCONT'))
  await showPosts(server.url, 20)
  // The relay still hangs, so PHP has published these to the broker itself.
  await assertCounted(counting, views(25))
  const told = toldOf(app, 'relay.lost').length
  assert.ok(told > 0 && told <= WORKERS, `told ${told} times`)
  relay.kill('SIGCONT')
  await until(
    'the relay has its turn again',
    async () => {
      await showPosts(server.url, 1)
      return (await relay.metric('accepted_total')) > 8
    },
    60_000,
  )
  const [stored] = await counting.database.query(
    'SELECT COUNT(*) - COUNT(DISTINCT event_id) AS twice FROM post_views',
  )
  assert.equal(stored!['twice'], 0)
  assert.deepEqual(toldOf(app, 'view.dropped'), [])
})

test('while the broker is away pages do not notice, and what the relay has no room for goes to the queue', async t => {
  const { url } = await testRabbitmq()
  const counting = await startCounting(t, url)
  const proxy = await startTcpProxy(Number(new URL(url).port))
  atEnd(t, () => proxy.close())
  proxy.refuse()
  const { app, start } = await blogWithRelay(t, proxy.through(url), {
    env: { POSTVIEWS_QUEUE_CONNECTION: 'database' },
  })
  const relay = await start({ RELAY_MAX_BYTES: '1MiB' })
  const server = await serving(t, app, 'php-fpm with nginx', { workers: WORKERS })
  await showPosts(server.url, 5)
  await until('the relay has them', async () => (await relay.metric('accepted_total')) === 5)
  assert.equal(app.log(), '')

  const filled = await fill(relay)
  await showPosts(server.url, 5)
  await until('they are in the queue', async () => {
    const { stdout } = await app.run("echo DB::table('jobs')->count();")
    return stdout === '5'
  })
  assert.match(toldOf(app, 'relay.lost')[0]!, /its spool is full/)
  proxy.pass()
  await working(t, app)
  await assertCounted(counting, new Map([...views(10), ['filler,,0', filled]]))
  assert.deepEqual(toldOf(app, 'view.dropped'), [])
})

/** Leaves no room for a view, however short. @returns how many it has taken for that */
async function fill(relay: Relay): Promise<number> {
  const caller = await relay.caller()
  let taken = 0
  for (const length of [2_000, 1]) {
    const line = JSON.stringify({ post_id: 'filler', user_agent: 'x'.repeat(length) })
    let answers: string[]
    do {
      answers = await caller.ask(...Array.from({ length: 50 }, () => line))
      taken += answers.filter(answer => answer === 'ok').length
    } while (!answers.some(answer => answer.startsWith('refused: full')))
  }
  caller.end()
  return taken
}

test('a long-lived worker does not notice that the relay was restarted between two requests', async t => {
  const { url } = await testRabbitmq()
  const counting = await startCounting(t, url)
  const { app, start } = await blogWithRelay(t, url)
  let relay = await start()
  const server = await serving(t, app, 'a worker loop as Octane’s')
  await showPosts(server.url, 5)
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    // PHP hands the last view to the relay only after it has sent the page.
    await until('it has them', async () => (await relay.metric('accepted_total')) === 5)
    await relay.end(signal)
    relay = await start()
    await showPosts(server.url, 5)
  }
  await assertCounted(counting, views(15))
  assert.doesNotMatch(app.log(), /postviews: /)
})

test('without another way and without a queue, what is shown while the relay is away is told as dropped', async t => {
  const { url } = await testRabbitmq()
  const { app } = await blogWithRelay(t, url)
  const server = await serving(t, app, 'php-fpm with nginx', { workers: WORKERS })
  await showPosts(server.url, 3)
  await until('all are told', () => toldOf(app, 'view.dropped').length === 3)
  assert.equal(toldOf(app, 'relay.lost').length, 1)
})

interface Finding {
  name: string
  status: string
  detail: string
  todo: string | null
}

test('the doctor sends its view by the relay, and names a relay that is away or hangs, and the way that is left', async t => {
  const { url } = await testRabbitmq()
  const { service } = await startCounting(t, url)
  const { app, socket, start } = await blogWithRelay(t, url, {
    env: { POSTVIEWS_API_URL: service.url, POSTVIEWS_API_KEY: API_KEY, CACHE_STORE: 'file' },
  })
  const examine = async (...args: string[]) => {
    const { code, stdout, stderr } = await app.artisan('postviews:doctor', '--json', ...args)
    assert.equal(stderr, '')
    const { checks } = JSON.parse(stdout) as { checks: Finding[] }
    return { code, of: (name: string) => checks.findLast(each => each.name === name) }
  }
  const relay = await start()
  const well = await examine()
  assert.equal(well.code, 0)
  assert.equal(
    well.of('relay')!.detail,
    `${socket}: a process listens and reads; PHP must run as the user root or in the group www-data`,
  )
  assert.match(well.of('test view')!.detail, /^counted after/)
  assert.equal(await relay.metric('accepted_total'), 1)
  assert.equal(well.of('fallback')!.status, 'warning')
  assert.equal(well.of('broker'), undefined)

  await app.write('.env', `${app.read('.env')}POSTVIEWS_AMQP_URL="${url}"\n`)
  const both = await examine('--without-view')
  assert.deepEqual([both.of('fallback')!.status, both.of('broker')!.status], ['ok', 'ok'])
  assert.match((await app.artisan('postviews:doctor', '--without-view')).stdout, /^ok +relay +/m)

  relay.kill('SIGSTOP')
  atEnd(t, () => relay.kill('SIGCONT'))
  const hangs = await examine()
  assert.deepEqual([hangs.code, hangs.of('relay')!.status], [1, 'failed'])
  assert.match(hangs.of('relay')!.detail, /does not answer in time/)
  assert.equal(hangs.of('test view')!.detail, 'needs the relay')
  relay.kill('SIGCONT')
  await relay.end('SIGTERM')
  const away = await examine()
  assert.match(away.of('relay')!.detail, /^there is no socket .*: start postviews-relay/)
  assert.match(away.of('relay')!.todo!, /POSTVIEWS_RELAY_SOCKET/)
})
