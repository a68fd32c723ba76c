/** The panel while Analytics is away: whom it lets in, and what it says then. */

import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { describe, type TestContext, test } from 'node:test'
import { createStats } from '@postviews/client'
import { pino } from 'pino'
import { buildPanel } from './app.ts'
import { createPosts } from './posts.ts'
import { localPath } from './sign-in.ts'

const PASSWORD = 'correct horse battery'
const KEY = 'a-key-of-the-tests-alone'
const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const PAGE = { accept: 'text/html' }

function startPanel(t: TestContext, trustedProxies: string[] = []) {
  const lines: string[] = []
  const log = pino(
    { messageKey: 'event' },
    new Writable({
      write: (line, _encoding, done) => {
        lines.push(String(line))
        done()
      },
    }),
  )
  const app = buildPanel({
    // Nobody listens on port 1.
    stats: createStats({ baseUrl: 'http://127.0.0.1:1', key: KEY, timeoutMs: 500 }),
    posts: createPosts({ url: null, log }),
    adminPassword: PASSWORD,
    sessionHours: 12,
    trustedProxies,
    log,
  })
  t.after(() => app.close())
  const signIn = (
    password: string,
    options: { headers?: Record<string, string>; next?: string; from?: string } = {},
  ) =>
    app.inject({
      method: 'POST',
      url: '/sign-in',
      headers: { ...FORM, ...options.headers },
      payload: new URLSearchParams({ password, next: options.next ?? '/' }).toString(),
      remoteAddress: options.from ?? '192.0.2.1',
    })
  return {
    app,
    lines,
    signIn,
    get: (url: string, headers: Record<string, string> = PAGE) => app.inject({ url, headers }),
    async cookie(): Promise<{ cookie: string }> {
      const { cookies } = await signIn(PASSWORD)
      return { cookie: `${cookies[0]!.name}=${cookies[0]!.value}` }
    },
  }
}

describe('signing in', () => {
  test('leads to what was asked for, with a session that scripts and other sites cannot use', async t => {
    const { signIn, get } = startPanel(t)
    const away = await get('/posts/42?period=7d')
    assert.equal(away.statusCode, 303)
    assert.equal(away.headers.location, '/sign-in?next=%2Fposts%2F42%3Fperiod%3D7d')
    const form = await get(String(away.headers.location))
    assert.match(form.body, /name="next" value="\/posts\/42\?period=7d"/)

    const answer = await signIn(PASSWORD, { next: '/posts/42?period=7d' })
    assert.equal(answer.statusCode, 303)
    assert.equal(answer.headers.location, '/posts/42?period=7d')
    const [{ name, value, ...cookie }] = answer.cookies as [{ name: string; value: string }]
    assert.deepEqual(cookie, { path: '/', httpOnly: true, sameSite: 'Strict', maxAge: 43_200 })
    assert.equal((await get('/', { ...PAGE, cookie: `${name}=${value}` })).statusCode, 200)
  })

  test('is refused with another password, and says no more than that', async t => {
    const { signIn } = startPanel(t)
    for (const password of ['', 'correct horse', `${PASSWORD} `, PASSWORD.toUpperCase()]) {
      const answer = await signIn(password)
      assert.equal(answer.statusCode, 401)
      assert.match(answer.body, /That is not the password/)
      assert.equal(answer.cookies.length, 0)
    }
  })

  test('is limited for an address: also the right password waits then', async t => {
    const { signIn } = startPanel(t)
    for (let attempt = 0; attempt < 10; attempt++) assert.equal((await signIn('wrong')).statusCode, 401)
    const answer = await signIn(PASSWORD)
    assert.equal(answer.statusCode, 429)
    assert.ok(Number(answer.headers['retry-after']) > 500)
    assert.match(answer.body, /Try again in 10 min/)
    assert.equal((await signIn(PASSWORD, { from: '192.0.2.2' })).statusCode, 303)
  })

  test('is limited for a network of IPv6 as for one address', async t => {
    const { signIn } = startPanel(t)
    for (let n = 1; n <= 10; n++) await signIn('wrong', { from: `2001:db8::${n}` })
    assert.equal((await signIn(PASSWORD, { from: '2001:db8::ffff' })).statusCode, 429)
    assert.equal((await signIn(PASSWORD, { from: '2001:db8:0:1::1' })).statusCode, 303)
  })

  test('is limited for all together', async t => {
    const { signIn } = startPanel(t)
    for (let n = 0; n < 100; n++) await signIn('wrong', { from: `198.51.100.${n}` })
    assert.equal((await signIn(PASSWORD, { from: '203.0.113.1' })).statusCode, 429)
  })

  test('counts by the address that a trusted proxy tells, and by no other', async t => {
    const trusting = startPanel(t, ['192.0.2.1'])
    for (let n = 0; n < 11; n++)
      await trusting.signIn('wrong', { headers: { 'x-forwarded-for': `198.51.100.${n}` } })
    assert.equal((await trusting.signIn(PASSWORD)).statusCode, 303)
    const plain = startPanel(t)
    for (let n = 0; n < 10; n++)
      await plain.signIn('wrong', { headers: { 'x-forwarded-for': `198.51.100.${n}` } })
    assert.equal((await plain.signIn(PASSWORD)).statusCode, 429)
  })

  test('is not done by a form of another site', async t => {
    const { signIn } = startPanel(t)
    const refused = [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { origin: 'https://evil.example' },
      { origin: 'null' },
    ]
    for (const headers of refused as Record<string, string>[]) {
      assert.equal((await signIn(PASSWORD, { headers })).statusCode, 403, JSON.stringify(headers))
    }
    const headers = { origin: 'http://panel.example', host: 'panel.example' }
    assert.equal((await signIn(PASSWORD, { headers })).statusCode, 303)
  })

  test('leads nowhere else but to the panel', async t => {
    const { signIn } = startPanel(t)
    assert.equal((await signIn(PASSWORD, { next: 'https://evil.example/' })).headers.location, '/')
    for (const next of [
      '//evil.example/x',
      '/.//evil.example',
      '/\\evil.example',
      'javascript:alert(1)',
      '/\t/evil.example',
      undefined,
      5,
    ]) {
      assert.equal(localPath(next), '/', String(next))
    }
    assert.equal(localPath('/posts/42?q=a&b#c'), '/posts/42?q=a&b')
  })

  test('makes a session for TLS alone behind a proxy that speaks it', async t => {
    const { signIn } = startPanel(t, ['192.0.2.1'])
    const { cookies } = await signIn(PASSWORD, { headers: { 'x-forwarded-proto': 'https' } })
    assert.equal(cookies[0]?.name, '__Host-panel_session')
    assert.equal(cookies[0]?.secure, true)
  })
})

test('signing out ends the session, whatever the browser keeps', async t => {
  const { app, get, cookie } = startPanel(t)
  const session = await cookie()
  const foreign = { ...session, 'sec-fetch-site': 'cross-site' }
  await app.inject({ method: 'POST', url: '/sign-out', headers: foreign })
  assert.equal((await get('/', { ...PAGE, ...session })).statusCode, 200)
  assert.equal((await get('/sign-out', session)).statusCode, 404)
  const out = await app.inject({ method: 'POST', url: '/sign-out', headers: session })
  assert.equal(out.headers.location, '/sign-in')
  assert.equal((await get('/', { ...PAGE, ...session })).statusCode, 303)
})

test('nothing is shown to who is not signed in', async t => {
  const { get } = startPanel(t)
  for (const url of [
    '/',
    '/data',
    '/days.csv',
    '/posts.csv',
    '/referrers.csv',
    '/posts/42',
    '/posts/42/data',
    '/posts/42/days.csv',
  ]) {
    assert.equal((await get(url)).statusCode, 303, url)
    const answer = await get(url, {})
    assert.equal(answer.statusCode, 401, url)
    assert.deepEqual(answer.json(), { error: 'sign in first' })
  }
  assert.equal((await get('/', { ...PAGE, cookie: 'panel_session=made-up' })).statusCode, 303)
})

test('a link from another site is followed once more from here, where the session goes with it', async t => {
  const { get } = startPanel(t)
  const answer = await get('/?period=7d', { ...PAGE, 'sec-fetch-site': 'cross-site' })
  assert.equal(answer.statusCode, 200)
  assert.match(answer.body, /^<!doctype html><meta http-equiv="refresh" content="0">$/)
})

test('every answer has the headers that keep a page to itself', async t => {
  const { get, cookie } = startPanel(t)
  const session = await cookie()
  for (const url of ['/', '/data', '/sign-in', '/nowhere']) {
    const { headers } = await get(url, { ...PAGE, ...session })
    const policy = String(headers['content-security-policy'])
    assert.match(policy, /^default-src 'none';script-src 'self' 'sha256-[^']+';style-src 'self';/)
    assert.ok(!policy.includes('unsafe'))
    assert.match(policy, /frame-ancestors 'none'/)
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.equal(headers['cache-control'], 'no-store')
  }
})

test('says that Analytics is unavailable and since when, shows no number, and logs it once', async t => {
  const { get, cookie, lines } = startPanel(t)
  const session = await cookie()
  const page = await get('/', { ...PAGE, ...session })
  assert.match(page.body, /Analytics is unavailable<\/strong> since<time/)
  assert.ok(!/class="value">\s*0/.test(page.body))
  const { data, unavailable } = (await get('/posts/42/data', session)).json()
  assert.equal(data, null)
  assert.ok(Date.now() - Date.parse(unavailable.since) < 60_000)
  assert.equal((await get('/days.csv', session)).statusCode, 503)
  assert.equal(lines.filter(line => line.includes('"analytics.lost"')).length, 1)
  assert.equal((await get('/posts/no%20id', { ...PAGE, ...session })).statusCode, 404)
})

test('logs neither password nor key, nor who asked', async t => {
  const { signIn, get, cookie, lines } = startPanel(t)
  await signIn('a wrong password')
  const session = await cookie()
  await get('/', { ...PAGE, ...session })
  const text = lines.join('')
  assert.match(text, /"sign_in.done"/)
  for (const secret of [PASSWORD, 'a wrong password', KEY, '192.0.2.1', session.cookie.split('=')[1]!]) {
    assert.ok(!text.includes(secret), secret)
  }
})
