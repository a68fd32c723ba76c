/** The middleware of the client, in the applications of its README and on a real broker and the real service. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import type { IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { trackView as trackViewInExpress } from '@postviews/client/src/express.ts'
import { trackView as trackViewInFastify } from '@postviews/client/src/fastify.ts'
import express from 'express'
import Fastify from 'fastify'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { clientNodes } from '../tools/stack/nodes.ts'
import { holdFreePort } from '../tools/stack/ports.ts'
import { Server } from '../tools/stack/server.ts'
import { type ClientCheckout, clientCheckout } from './support/client-checkout.ts'
import { SQLITE } from './support/engines.ts'
import { testTracker } from './support/published.ts'
import { startService } from './support/service.ts'
import { until } from './support/until.ts'
import { FIREFOX } from './support/views.ts'

const run = promisify(execFile)
const PAGES = 200

let clone: ClientCheckout

before(async () => {
  clone = await clientCheckout()
  const readme = await readFile(new URL('../packages/client/README.md', import.meta.url), 'utf8')
  // Each sample of a file begins with its name.
  for (const [, name, code] of readme.matchAll(/```js\n\/\/ ([\w.-]+\.mjs)\n(.*?)```/gs))
    await writeFile(join(clone.folder, name!), code!)
})

after(() => clone.remove())

async function system(t: TestContext) {
  const broker = await testRabbitmq()
  const database = await SQLITE.create(t)
  const service = await startService(t, { amqpUrl: broker.url, databaseUrl: database.url })
  await service.untilReady()
  const countsOf = async (post: string) => {
    const { views, unique_views, logged_in } = JSON.parse(
      (await service.get(`/api/v1/posts/${post}/views`)).text,
    )
    return { views, unique_views, logged_in }
  }
  return {
    amqpUrl: broker.url,
    database,
    countsOf,
    untilViews: async (views: number) => {
      await until(`${views} views are counted`, async () => {
        const [stored] = await database.query('SELECT COUNT(*) AS views FROM post_views')
        return Number(stored!['views']) >= views
      })
    },
  }
}

/** One of the programs that were saved, as a process of its own. */
async function startProgram(t: TestContext, node: string, program: string, amqpUrl: string) {
  const { port, release } = await holdFreePort()
  const url = `http://127.0.0.1:${port}`
  const server = new Server({
    name: program,
    command: [node, program],
    env: { PATH: process.env['PATH'], AMQP_URL: amqpUrl, PORT: String(port) },
    cwd: clone.folder,
    logFile: join(clone.folder, `${program}.log`),
    ready: () =>
      fetch(url).then(
        () => true,
        () => false, // Not listening yet.
      ),
    startTimeoutMs: 20_000,
    stopTimeoutMs: 20_000,
  })
  t.after(async () => {
    await server.kill()
    release()
  })
  await server.start()
  return { server, url }
}

for (const program of ['express.mjs', 'fastify.mjs']) {
  test(`${program} of the README counts each post that it shows, on Node 20, 22 and 24, also as it ends`, async t => {
    const { amqpUrl, database, untilViews, countsOf } = await system(t)
    const nodes = await clientNodes(line => t.diagnostic(line))
    for (const [index, node] of nodes.entries()) {
      const { server, url } = await startProgram(t, node, program, amqpUrl)
      const get = (path: string, options: RequestInit = {}) =>
        fetch(url + path, {
          ...options,
          headers: { 'user-agent': FIREFOX, 'x-forwarded-for': '203.0.113.7', ...options.headers },
        })
      await Promise.all(Array.from({ length: PAGES }, () => get('/posts/hello-world')))
      await get('/posts/hello-world', { method: 'HEAD' })
      await get('/posts/hello-world', { headers: { 'sec-purpose': 'prefetch' } })
      await get('/none')
      const ended = server.untilEnded()
      await server.stop()
      assert.equal(await ended, 'exit code 0')
      await untilViews(PAGES * (index + 1))
    }
    const views = PAGES * nodes.length
    assert.deepEqual(await countsOf('hello-world'), { views, unique_views: 1, logged_in: 0 })
    const rows = await database.query(
      'SELECT ip, user_agent, COUNT(*) AS views FROM post_views GROUP BY ip, user_agent',
    )
    assert.deepEqual(
      rows.map(row => ({ ...row })),
      [{ ip: '203.0.113.7', user_agent: FIREFOX, views }],
    )
  })
}

test('the tests of the README pass, and fail where a view would not be counted', async () => {
  const testing = join(clone.folder, 'app.test.mjs')
  const passes = () =>
    run(process.execPath, ['--test', testing], { cwd: clone.folder, env: { PATH: process.env['PATH'] } })
  await passes()
  const code = await readFile(testing, 'utf8')
  await writeFile(
    testing,
    code.replace("app.inject('/posts/hello-world')", "app.inject('/posts/hello%20world')"),
  )
  await assert.rejects(passes, ({ stdout }: { stdout: string }) =>
    /a view would be a dead letter, bad_post/.test(stdout),
  )
})

/** The same blog in both frameworks: readers say who they are, and authors read their own posts. */
interface BlogRequest {
  headers: IncomingHttpHeaders
}

const post = { id: 7, uuid: '0f8fad5b-d9cb-469f-a165-70867728950e', author: '42' }
const userOf = ({ headers }: BlogRequest) => headers['x-user'] as string | undefined
const options = {
  post: () => post,
  user_id: userOf,
  except: (request: BlogRequest, { author }: typeof post) => userOf(request) === author,
}

test('who read, and what was left out, is counted from Express and from Fastify', async t => {
  const { amqpUrl, database, untilViews, countsOf } = await system(t)
  const tracker = testTracker(t, { url: amqpUrl })
  const blog = express()
  blog.get('/post', trackViewInExpress(tracker, options), (_request, response) => {
    response.send('a post')
  })
  const listening = blog.listen(0, '127.0.0.1')
  await once(listening, 'listening')
  t.after(() => listening.close())
  const other = Fastify()
  other.get('/post', { onRequest: trackViewInFastify(tracker, options) }, () => 'a post')
  t.after(() => other.close())
  const fastifyUrl = await other.listen({ host: '127.0.0.1', port: 0 })

  const uuid = '65f0c1d2-e3a4-45c6-97e8-f90165f0c1d2'
  for (const url of [`http://127.0.0.1:${(listening.address() as AddressInfo).port}`, fastifyUrl]) {
    for (const user of [undefined, '7', uuid, '42']) {
      const headers = { 'user-agent': FIREFOX, ...(user === undefined ? {} : { 'x-user': user }) }
      assert.equal(await (await fetch(`${url}/post?token=secret&ref=news`, { headers })).text(), 'a post')
    }
  }
  await until('all are tracked', () => tracker.stats().accepted === 6)
  assert.equal(await tracker.flush(10_000), 0)
  await untilViews(6)
  assert.deepEqual(await countsOf(post.uuid), { views: 6, unique_views: 1, logged_in: 4 })
  const rows = await database.query(
    'SELECT user_id, logged_in, COUNT(*) AS views FROM post_views GROUP BY user_id, logged_in ORDER BY user_id, logged_in',
  )
  assert.deepEqual(
    rows.map(row => Object.values(row)),
    [
      [null, 0, 2],
      [null, 1, 2],
      ['7', 1, 2],
    ],
  )
})

test('pages are answered while the broker is away, and their views wait', async t => {
  const tracker = testTracker(t, { url: 'amqp://127.0.0.1:1' })
  const app = Fastify()
  t.after(() => app.close())
  app.get('/posts/:post', { onRequest: trackViewInFastify(tracker, { post: 'post' }) }, () => 'a post')
  for (let page = 0; page < PAGES; page++) assert.equal((await app.inject('/posts/7')).statusCode, 200)
  assert.equal(tracker.stats().pending, PAGES)
})
