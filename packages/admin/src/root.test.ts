import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createStats } from '@postviews/client/src/index.ts'
import { buildPanel } from './app.ts'
import { createLog } from './log.ts'
import { createPosts } from './posts.ts'
import { belowRoot, OWN_PARTS, parseRoot } from './root.ts'

test('is a path with a slash at both ends, however it is written', () => {
  for (const text of ['stats', '/stats', '/stats/', 'stats/']) assert.equal(parseRoot(text), '/stats/', text)
  assert.equal(parseRoot('/team/~blog/post.views_2'), '/team/~blog/post.views_2/')
  for (const text of ['/', '']) assert.equal(parseRoot(text), '/', text)
})

test('is nothing that a browser or a proxy would read as something else', () => {
  for (const text of [
    '//stats/',
    '/stats//',
    '/a/../b',
    '/.well-known/',
    '/st ats/',
    '/stats?x=1',
    '/stats#x',
    '/st%61ts/',
    '/stäts/',
    '/a;b/',
    '/"x"/',
    'https://blog.example/stats/',
    '\\stats',
  ]) {
    assert.throws(() => parseRoot(text), /is not a path such as \/stats\//, text)
  }
})

test('begins like no page of the panel: a proxy that takes it off could not be told from one that does not', async t => {
  for (const part of OWN_PARTS) {
    assert.throws(() => parseRoot(`/${part}/`), /one of the panel's own pages/, part)
    assert.throws(() => parseRoot(`/${part}/x/`), /one of the panel's own pages/, part)
  }
  const log = createLog('silent')
  const panel = buildPanel({
    stats: createStats({ baseUrl: 'http://127.0.0.1:1', key: 'key' }),
    posts: createPosts({ url: null, log }),
    adminPassword: 'correct horse battery',
    sessionHours: 1,
    trustedProxies: [],
    hosts: [],
    root: '/',
    log,
  })
  t.after(() => panel.close())
  await panel.ready()
  const lines = panel.printRoutes({ commonPrefix: false }).matchAll(/^ {4}[├└]── ([^/ ]+)/gm)
  // For the assets it prints only a wildcard.
  const first = new Set([...lines].map(([, part]) => (part === '*' ? 'assets' : part)))
  assert.deepEqual([...first].toSorted(), OWN_PARTS)
})

test('is taken off an address where it is there', () => {
  for (const [url, below] of [
    ['/stats/posts/a?period=7d', '/posts/a?period=7d'],
    ['/stats/', '/'],
    ['/stats', '/'],
    ['/stats?period=7d', '/?period=7d'],
    ['/posts/a', '/posts/a'],
    ['/?q=/stats/', '/?q=/stats/'],
    ['/statistics', '/statistics'],
    ['/stats/stats/', '/stats/'],
    ['/', '/'],
  ] as const) {
    assert.equal(belowRoot(url, '/stats/'), below)
  }
  for (const url of ['/', '/posts/a', '/?x']) assert.equal(belowRoot(url, '/'), url)
})
