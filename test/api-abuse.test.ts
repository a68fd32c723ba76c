/** The API over real sockets, used by clients that mean no good: they are refused, and nobody else notices. */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { KEY, NOW, startApi } from './support/api.ts'
import { until } from './support/until.ts'

async function listen(t: TestContext) {
  const api = await startApi(t)
  await api.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = api.app.server.address() as AddressInfo
  return {
    ...api,
    /** Asks as a well-behaved neighbour does. */
    async neighbour() {
      const answer = await fetch(`http://127.0.0.1:${port}/api/v1/views`, {
        headers: { 'X-Internal-Api-Key': KEY },
      })
      await answer.arrayBuffer()
      return answer.status
    },
    /** Opens a connection, lets `talk` write what it wants, and resolves with all that came back once it was closed. */
    async rudely(talk: (write: (text: string) => boolean) => unknown): Promise<string> {
      const socket = connect({ host: '127.0.0.1', port })
      const chunks: Buffer[] = []
      socket.on('data', chunk => chunks.push(chunk))
      // A reset is one of the ways to be refused.
      socket.on('error', () => {})
      const closed = once(socket, 'close', { signal: AbortSignal.timeout(20_000) })
      await once(socket, 'connect')
      await talk(text => socket.writable && socket.write(text))
      await closed
      return Buffer.concat(chunks).toString()
    },
  }
}

function assertProblem(answer: string, status: number) {
  assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `))
  const [head, body] = answer.split('\r\n\r\n')
  assert.match(head!, /content-type: application\/problem\+json/i)
  assert.equal(JSON.parse(body!).status, status)
}

test('refuses 64 KB of headers, and a URL of 10,000 ids', async t => {
  const { rudely, neighbour } = await listen(t)
  const request = (path: string, header: string) =>
    rudely(write => write(`GET ${path} HTTP/1.1\r\nHost: a\r\nX-Internal-Api-Key: ${KEY}\r\n${header}\r\n`))
  assertProblem(await request('/api/v1/views', `X-Long: ${'x'.repeat(65_536)}\r\n`), 431)
  const many = Array.from({ length: 3_000 }, (_, index) => `X-${index}: some value\r\n`).join('')
  assertProblem(await request('/api/v1/views', many), 431)
  const ids = Array.from({ length: 10_000 }, (_, index) => index).join()
  assertProblem(await request(`/api/v1/posts/views?uuids=${ids}`, ''), 431)
  assert.equal(await neighbour(), 200)
})

test('refuses what is not HTTP', async t => {
  const { rudely } = await listen(t)
  assertProblem(await rudely(write => write('AMQP\x00\x00\x09\x01')), 400)
  assertProblem(await rudely(write => write('GET /livez HTTP/1.1\r\nHost: a\r\nbroken\r\n\r\n')), 400)
})

test('answers whatever Node would answer by itself, or drop, as any other problem', async t => {
  const { rudely, neighbour } = await listen(t)
  const host = 'Host: a\r\nConnection: close\r\n'
  const refused: [number, string][] = [
    [400, 'GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n'],
    [400, `GET /api/v1/posts/%zz/views HTTP/1.1\r\n${host}\r\n`],
    [400, `FOO /livez HTTP/1.1\r\n${host}\r\n`],
    [400, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    [404, `GET /posts/${'x'.repeat(2_000)} HTTP/1.1\r\n${host}\r\n`],
    [405, 'CONNECT db:3306 HTTP/1.1\r\nHost: db:3306\r\n\r\n'],
    [405, `OPTIONS * HTTP/1.1\r\n${host}\r\n`],
    [405, `PROPFIND / HTTP/1.1\r\n${host}\r\n`],
    [405, `POST /livez HTTP/1.1\r\n${host}Content-Type: a/b\r\nContent-Length: 1\r\n\r\nx`],
  ]
  for (const [status, request] of refused) assertProblem(await rudely(write => write(request)), status)
  const answer = await rudely(write => write(`GET /livez HTTP/1.1\r\n${host}Expect: tea\r\n\r\n`))
  assert.match(answer, /^HTTP\/1\.1 200 /)
  assert.equal(await neighbour(), 200)
})

test('ends slow clients after seconds, while others are answered', async t => {
  const { rudely, neighbour } = await listen(t)
  const started = Date.now()
  let ended = false
  const slow = Promise.all([
    rudely(() => {}),
    rudely(write => write('GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: ')),
    rudely(async write => {
      write('GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: ')
      while (write('x')) await pause(100)
    }),
  ]).finally(() => {
    ended = true
  })
  let answered = 0
  while (!ended) {
    assert.equal(await neighbour(), 200)
    answered++
    await pause(50)
  }
  for (const answer of await slow) assertProblem(answer, 408)
  assert.ok(Date.now() - started < 8_000, `${Date.now() - started} ms`)
  assert.ok(answered > 10)
})

test('ten of the largest answers at once hold up nobody else', async t => {
  const { app, count, get: ask, neighbour } = await listen(t)
  const posts = Array.from({ length: 200 }, (_, index) => `post-${index}`)
  const today = Date.parse(NOW)
  for (let day = 0; day < 100; day += 5) {
    const days = Array.from({ length: 5 }, (_, index) => new Date(today - (day + index) * 86_400_000))
    await count(days.flatMap(at => posts.map(post_uuid => ({ post_uuid, timestamp: at.toISOString() }))))
  }
  const path = `/api/v1/posts/views?uuids=${posts}&days=100`
  const askUntilMade = async () => {
    // On a machine that is slow enough some are told to ask again.
    for (let tries = 1; ; tries++) {
      const answer = await ask(path)
      if (answer.statusCode !== 503 || tries === 5) return answer
    }
  }
  let isMade = false
  const making = Promise.all(Array.from({ length: 10 }, askUntilMade)).finally(() => {
    isMade = true
  })
  let neighbours = 0
  while (!isMade) {
    assert.equal(await neighbour(), 200)
    neighbours++
  }
  // Some 40, at whatever speed; 4 when each answer is written in one piece.
  assert.ok(neighbours > 20, `${neighbours} neighbours were answered meanwhile`)
  const answers = await making
  for (const answer of answers) {
    assert.equal(answer.statusCode, 200)
    assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8')
    assert.ok(answer.headers.etag)
    assert.equal(answer.body, answers[0]!.body)
  }
  const content = answers[0]!.json()
  assert.deepEqual(
    content.posts.map((post: { post_uuid: string }) => post.post_uuid),
    posts,
  )
  assert.deepEqual(new Set(content.posts.map(({ days }: { days: unknown[] }) => days.length)), new Set([100]))
  assert.deepEqual([content.from, content.to, content.timezone], ['2026-08-14', '2026-11-21', 'UTC'])
  const tooMany = await ask(`/api/v1/posts/views?uuids=${posts}&days=101`)
  assert.equal(tooMany.statusCode, 400)
  const { parameter, detail } = tooMany.json()
  assert.deepEqual(
    [parameter, detail],
    ['days', 'days must be at most 100 for 200 posts: posts times days are at most 20000'],
  )
  assert.equal((await app.inject('/livez')).statusCode, 200)
})

test('a client that holds its connection does not hold up the end', async t => {
  const { app, rudely } = await listen(t)
  const held = [
    rudely(write => write('GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: ')),
    rudely(write => write('GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx')),
  ]
  const connections = promisify(app.server.getConnections.bind(app.server))
  await until('both are connected', async () => (await connections()) === 2)
  const asked = Date.now()
  await app.close()
  assert.ok(Date.now() - asked < 5_000)
  await Promise.all(held)
})

test('many wrong keys at once let nobody in, and keep nobody out', async t => {
  const { app, neighbour } = await listen(t)
  const { port } = app.server.address() as AddressInfo
  const guesses = Array.from({ length: 400 }, async (_, index) => {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/views`, {
      headers: { 'X-Internal-Api-Key': KEY.slice(0, index % KEY.length) + index },
    })
    await answer.arrayBuffer()
    return answer.status
  })
  const statuses = await Promise.all([...guesses, neighbour()])
  assert.equal(statuses.pop(), 200)
  assert.deepEqual(new Set(statuses), new Set([401]))
})
