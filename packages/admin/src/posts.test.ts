import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { pino } from 'pino'
import { createLog } from './log.ts'
import { createPosts } from './posts.ts'

const POSTS = [
  { id: 'a', title: 'Bread that forgives', author: 'Inês', url: 'https://blog.example/bread' },
  { id: 'b', title: 'Boring dates', author: null, url: 'javascript:alert(1)' },
]

/** A posts service: what it was asked, and what it answers. */
async function startService(t: TestContext, answer: () => { status?: number; body: string }) {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(decodeURIComponent(request.url!))
    const { status = 200, body } = answer()
    response.writeHead(status, { 'content-type': 'application/json' }).end(body)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/posts.json` }
}

function testPosts(url: string | null, now: () => number = Date.now) {
  return createPosts({ url, log: createLog('silent'), timeoutMs: 1_000, now })
}

test('tells titles, authors and links, and asks once a minute for each', async t => {
  const { asked, url } = await startService(t, () => ({ body: JSON.stringify({ posts: POSTS }) }))
  let now = 0
  const posts = testPosts(url, () => now)
  const { names, from } = await posts.names(['a', 'b', 'c'])
  assert.equal(from, 'known')
  assert.deepEqual(names.get('a'), {
    title: 'Bread that forgives',
    author: 'Inês',
    url: 'https://blog.example/bread',
    publishedAt: null,
  })
  assert.ok(!names.has('c'))
  assert.deepEqual(asked, ['/posts.json?ids=a,b,c'])
  await posts.names(['a', 'c'])
  assert.equal(asked.length, 1, 'what it knows, and what nobody knows, is remembered')
  now = 61_000
  await posts.names(['c', 'a'])
  assert.equal(asked[1], '/posts.json?ids=c,a')
})

test('passes on no link that could run a script', async t => {
  const { url } = await startService(t, () => ({ body: JSON.stringify({ posts: POSTS }) }))
  assert.equal((await testPosts(url).names(['b'])).names.get('b')?.url, null)
})

test('searches, and remembers what it found', async t => {
  const { asked, url } = await startService(t, () => ({ body: JSON.stringify({ posts: POSTS }) }))
  const posts = testPosts(url)
  assert.deepEqual(await posts.search('b&c'), { ids: ['a', 'b'], from: 'known' })
  assert.deepEqual(asked, ['/posts.json?search=b&c&limit=50'])
  assert.equal((await posts.names(['a'])).names.size, 1)
  assert.equal(asked.length, 1)
})

test('says when the service is away, goes on with what it knows, and leaves it alone for some seconds', async t => {
  let status = 200
  const { asked, url } = await startService(t, () => ({ status, body: JSON.stringify({ posts: POSTS }) }))
  let now = 0
  const posts = testPosts(url, () => now)
  await posts.names(['a'])
  status = 500
  now = 61_000
  const { names, from } = await posts.names(['a', 'b'])
  assert.equal(from, 'away')
  assert.deepEqual([...names.keys()], ['a'])
  assert.deepEqual(await posts.search('x'), { ids: [], from: 'away' })
  assert.equal(asked.length, 2)
  status = 200
  now += 5_000
  assert.equal((await posts.names(['a', 'b'])).from, 'known')
})

test('takes nothing that is not as agreed', async t => {
  const bodies = ['no JSON', '{}', 'null', '{"posts":[null,1,{"id":1,"title":"x"},{"id":"a","title":" "}]}']
  for (const body of bodies) {
    const { url } = await startService(t, () => ({ body }))
    assert.equal((await testPosts(url).names(['a'])).names.size, 0, body)
  }
})

test('takes ids as Analytics spells them, and none that no post can have', async t => {
  const uuid = '0190163D-8694-739B-AEA5-000000000001'
  const told = ['a/b', '', 'x'.repeat(37), uuid].map(id => ({ id, title: 'x' }))
  const { url } = await startService(t, () => ({ body: JSON.stringify({ posts: told }) }))
  const posts = testPosts(url)
  assert.deepEqual((await posts.search('x')).ids, [uuid.toLowerCase()])
  assert.ok((await posts.names([uuid.toLowerCase()])).names.has(uuid.toLowerCase()))
})

test('reads no more of an answer than one can have', async t => {
  let sentBytes = 0
  const server = createServer((_request, response) => {
    const chunk = Buffer.alloc(65_536, ' ')
    const send = () => {
      if (response.destroyed) return
      sentBytes += chunk.length
      response.write(chunk)
    }
    response.on('drain', send)
    send()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  assert.equal((await testPosts(url).names(['a'])).from, 'away')
  assert.ok(sentBytes < 16_777_216, `${sentBytes} bytes were taken`)
})

test('follows no redirect, and says so', async t => {
  const elsewhere = await startService(t, () => ({ body: JSON.stringify({ posts: POSTS }) }))
  const server = createServer((_, response) => response.writeHead(302, { location: elsewhere.url }).end())
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const lines: string[] = []
  const log = pino({ messageKey: 'event' }, { write: line => lines.push(line) })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  assert.equal((await createPosts({ url, log }).names(['a'])).from, 'away')
  assert.equal(elsewhere.asked.length, 0)
  assert.match(lines.join(), /answered 302, a redirect, which is not followed: set POSTS_URL/)
})

test('logs nothing of what it was sent', async t => {
  const lines: string[] = []
  const log = pino({ messageKey: 'event' }, { write: line => lines.push(line) })
  const { url } = await startService(t, () => ({ body: 'a secret title' }))
  await createPosts({ url, log }).names(['a'])
  assert.match(lines.join(), /posts\.lost/)
  assert.doesNotMatch(lines.join(), /secret/)
})

test('knows no names without a service', async () => {
  assert.deepEqual(await testPosts(null).names(['a']), { names: new Map(), from: 'none' })
  assert.deepEqual(await testPosts(null).search('a'), { ids: [], from: 'none' })
})

test('tells which posts were published on some days, asks once a minute, and believes no time that is none', async t => {
  const told = [
    { ...POSTS[0], published_at: '2026-11-20T22:30:00+01:00' },
    { ...POSTS[1], published_at: 'yesterday' },
  ]
  const { asked, url } = await startService(t, () => ({ body: JSON.stringify({ posts: told }) }))
  let now = 0
  const posts = testPosts(url, () => now)
  const days = { from: '2026-11-01', to: '2026-11-21' }
  const published = [{ id: 'a', title: 'Bread that forgives', publishedAt: '2026-11-20T21:30:00.000Z' }]
  assert.deepEqual(await posts.published(null, days), published)
  assert.deepEqual(await posts.published(null, days), published)
  // The service may have the days of another zone.
  assert.deepEqual(asked, ['/posts.json?published_from=2026-10-31&published_to=2026-11-22&limit=50'])
  now = 61_000
  await posts.published(null, days)
  assert.equal(asked.length, 2)
  assert.deepEqual(await posts.published('a', days), published)
  assert.deepEqual(await posts.published('c', days), [])
})
