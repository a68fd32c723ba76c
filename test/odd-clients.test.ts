/** Panel, blog and API over real sockets, used by clients that mean no good: they are ended, and told why. */

import assert from 'node:assert/strict'
import { Agent, get } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { createStats } from '@postviews/client/src/index.ts'
import { pino } from 'pino'
import { buildBlog } from '../examples/blog/src/app.ts'
import { buildPanel } from '../packages/admin/src/app.ts'
import { createLog } from '../packages/admin/src/log.ts'
import { createPosts } from '../packages/admin/src/posts.ts'
import { KEY, startApi } from './support/api.ts'
import { until } from './support/until.ts'

const parts = {
  api: async (t: TestContext) => (await startApi(t)).app,
  panel: async () => {
    const log = createLog('silent')
    return buildPanel({
      stats: createStats({ baseUrl: 'http://127.0.0.1:1', key: 'key', timeoutMs: 500 }),
      posts: createPosts({ url: null, log }),
      adminPassword: 'correct horse battery',
      sessionHours: 1,
      trustedProxies: [],
      hosts: [],
      root: '/',
      log,
    })
  },
  blog: () =>
    buildBlog({
      posts: [],
      tracker: { trackView: () => {} },
      stats: createStats({ baseUrl: 'http://127.0.0.1:1', key: 'key', timeoutMs: 500 }),
      trustedProxies: [],
      publicUrl: null,
      log: pino({ level: 'silent' }),
    }),
}

async function listen(t: TestContext, name: keyof typeof parts) {
  const app = await parts[name](t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.after(() => app.close())
  const { port } = app.server.address() as AddressInfo
  return {
    app,
    port,
    isAlive: async () => (await fetch(`http://127.0.0.1:${port}/livez`)).ok,
    /** Opens a connection, lets `talk` write what it wants, and resolves with all that came back once it was closed. */
    async rudely(talk: (write: (text: string) => boolean) => unknown): Promise<string> {
      const socket = connect({ host: '127.0.0.1', port })
      const chunks: Buffer[] = []
      socket.on('data', chunk => chunks.push(chunk))
      // A reset is one of the ways to be refused.
      socket.on('error', () => {})
      socket.once('connect', () => talk(text => socket.writable && socket.write(text)))
      const tooLate = setTimeout(() => socket.destroy(), 40_000)
      await new Promise(resolve => socket.once('close', resolve))
      clearTimeout(tooLate)
      return Buffer.concat(chunks).toString()
    },
  }
}

function assertPage(answer: string, status: number) {
  const [head, body] = answer.split('\r\n\r\n')
  assert.match(head!, new RegExp(`^HTTP/1\\.1 ${status} `))
  assert.match(head!, /^content-type: text\/html; charset=utf-8\r$/im)
  assert.match(head!, /^content-security-policy: default-src 'none';/im)
  assert.match(head!, /^x-content-type-options: nosniff\r$/im)
  assert.match(head!, /^cache-control: (no-store|private, no-cache)\r?$/im)
  assert.match(body!, /^<!doctype html>/)
}

function assertProblem(answer: string, status: number) {
  const [head, body] = answer.split('\r\n\r\n')
  assert.match(head!, new RegExp(`^HTTP/1\\.1 ${status} `))
  assert.match(head!, /content-type: application\/problem\+json/i)
  assert.equal(JSON.parse(body!.split('HTTP/')[0]!).status, status)
}

const FORM = 'Content-Type: application/x-www-form-urlencoded\r\n'

describe('clients that mean no good', { concurrency: true }, () => {
  for (const name of ['panel', 'blog'] as const) {
    test(`the ${name} answers with its own page whatever Node would answer by itself, or drop`, async t => {
      const { rudely, isAlive } = await listen(t, name)
      const host = 'Host: a\r\nConnection: close\r\n'
      const refused: [number, string][] = [
        [400, 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n'],
        [400, `GET /posts/%zz HTTP/1.1\r\n${host}\r\n`],
        [400, `FOO / HTTP/1.1\r\n${host}\r\n`],
        [400, '\x16\x03\x01\x02\x00\x01\x00'],
        [404, `PROPFIND / HTTP/1.1\r\n${host}\r\n`],
        [405, 'CONNECT db:3306 HTTP/1.1\r\nHost: db:3306\r\n\r\n'],
        [415, `POST /sign-in HTTP/1.1\r\n${host}Content-Type: a/b\r\nContent-Length: 1\r\n\r\nx`],
        [431, `GET /${'x'.repeat(20_000)} HTTP/1.1\r\n${host}\r\n`],
      ]
      for (const [status, request] of refused) assertPage(await rudely(write => write(request)), status)
      const odd = await rudely(write => write(`GET /livez HTTP/1.1\r\n${host}Expect: tea\r\n\r\n`))
      assert.match(odd, /^HTTP\/1\.1 200 /)
      assert.ok(await isAlive())
    })
  }

  for (const name of ['api', 'panel', 'blog'] as const) {
    test(`the ${name} ends within seconds what never ends`, async t => {
      const { rudely, isAlive } = await listen(t, name)
      const head = `POST /sign-in HTTP/1.1\r\nHost: a\r\n${FORM}Content-Length: 1000\r\n\r\n`
      const began = Date.now()
      const took = () => Date.now() - began
      const late = await Promise.all([
        rudely(() => {}),
        rudely(write => write('GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ')),
        rudely(write => write(head)),
        rudely(async write => {
          write(head)
          while (write('x')) await pause(100)
        }),
      ])
      assert.ok(took() < 25_000, `${took()} ms`)
      const assertRefusal = name === 'api' ? assertProblem : assertPage
      const bodies = late.splice(2)
      for (const answer of late) assertRefusal(answer, 408)
      // The API needs no body to refuse one.
      for (const answer of bodies) assertRefusal(answer, name === 'api' ? 405 : 408)
      assert.ok(await isAlive())
    })

    test(`the ${name} keeps no connection that has asked once and is idle`, async t => {
      const { rudely } = await listen(t, name)
      const began = Date.now()
      await rudely(write => write('GET /livez HTTP/1.1\r\nHost: a\r\n\r\n'))
      assert.ok(Date.now() - began < 20_000, `${Date.now() - began} ms`)
    })
  }

  test('connections without a key, however many, keep nobody out of the API and end nobody with one', async t => {
    const { app, port, rudely, isAlive } = await listen(t, 'api')
    // On a slow machine, too, nothing but the flood shall end a connection.
    app.server.keepAliveTimeout = 60_000
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.after(() => agent.destroy())
    const ask = (path: string, headers: Record<string, string> = {}) =>
      new Promise<boolean>((resolve, reject) => {
        const request = get({ host: '127.0.0.1', port, path, agent, headers }, response => {
          response.resume().on('end', () => resolve(request.reusedSocket))
        }).on('error', reject)
      })
    await ask('/api/v1/views', { 'X-Internal-Api-Key': KEY })

    // Half of them have asked for something, which is what lets a connection stay idle.
    for (let n = 0; n < 700; n++)
      void rudely(write => n % 2 === 0 && write('GET /api/v1/views HTTP/1.1\r\nHost: a\r\n\r\n'))
    const connections = promisify(app.server.getConnections.bind(app.server))
    await until('as many are connected as may be', async () => (await connections()) >= 490)
    assert.ok(await isAlive())
    assert.equal(await ask('/api/v1/views', { 'X-Internal-Api-Key': KEY }), true, 'its connection was kept')
    assert.ok((await connections()) <= 500)
  })

  test('idle connections, however many, keep nobody out of the panel', async t => {
    const { app, rudely, isAlive } = await listen(t, 'panel')
    const idle = Array.from({ length: 600 }, (_, index) =>
      rudely(write => index % 2 === 0 && write('GET /sign-in HTTP/1.1\r\nHost: a\r\n\r\n')),
    )
    const connections = promisify(app.server.getConnections.bind(app.server))
    await until('as many are connected as may be', async () => (await connections()) >= 490)
    assert.ok(await isAlive())
    assert.ok((await connections()) <= 500)
    await Promise.all(idle)
  })
})
