/** The panel while Analytics is away: whom it lets in, and what it says then. */

import assert from 'node:assert/strict'
import { Writable } from 'node:stream'
import { describe, type TestContext, test } from 'node:test'
import { createStats } from '@postviews/client/src/index.ts'
import { pino } from 'pino'
import { buildPanel } from './app.ts'
import { createPosts } from './posts.ts'
import { localPath } from './sign-in.ts'

const PASSWORD = 'correct horse battery'
const KEY = 'a-key-of-the-tests-alone'
const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const PAGE = { accept: 'text/html' }

function startPanel(t: TestContext, trustedProxies: string[] = [], hosts: string[] = [], root = '/') {
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
    hosts,
    root,
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
      return { cookie: cookieOf((await signIn(PASSWORD)).cookies, 'panel_session') }
    },
  }
}

function cookieOf(cookies: { name: string; value: string }[], wanted: string): string {
  const { name, value } = cookies.find(({ name }) => name === wanted)!
  return `${name}=${value}`
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
    assert.equal(answer.cookies.length, 2)
    const [{ name, value, ...cookie }] = answer.cookies as [{ name: string; value: string }]
    assert.deepEqual(cookie, { path: '/', httpOnly: true, sameSite: 'Strict', maxAge: 43_200 })
    assert.equal((await get('/', { ...PAGE, cookie: `${name}=${value}` })).statusCode, 200)
  })

  test('is refused with another password, and says no more than that', async t => {
    const { signIn } = startPanel(t)
    for (const password of ['', 'correct horse', `${PASSWORD} `, PASSWORD.toUpperCase()]) {
      const answer = await signIn(password)
      assert.equal(answer.statusCode, 401)
      assert.match(answer.body, /Wrong password/)
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

  test('is limited for all strangers together, by attempts that their own limits let through', async t => {
    const { signIn } = startPanel(t)
    // Refused attempts of an address do not count, nor do right passwords.
    for (let n = 0; n < 150; n++) await signIn('wrong', { from: '198.51.100.1' })
    for (let n = 0; n < 150; n++) await signIn(PASSWORD, { from: '203.0.113.1' })
    assert.equal((await signIn(PASSWORD, { from: '203.0.113.1' })).statusCode, 303)
    // No single network, of IPv4 or IPv6, uses up the limit for all.
    for (let n = 0; n < 150; n++) {
      await signIn('wrong', { from: `198.51.100.${n}` })
      await signIn('wrong', { from: `2001:db8:1:${n.toString(16)}::1` })
    }
    assert.equal((await signIn(PASSWORD, { from: '203.0.113.1' })).statusCode, 303)
    for (let n = 0; n < 40; n++) await signIn('wrong', { from: `192.0.${n}.1` })
    const answer = await signIn(PASSWORD, { from: '203.0.113.1' })
    assert.equal(answer.statusCode, 429)
    assert.ok(Number(answer.headers['retry-after']) > 500)
  })

  test('stays possible, whoever guesses elsewhere, in a browser in which somebody signed in before', async t => {
    const { signIn } = startPanel(t)
    const known = cookieOf((await signIn(PASSWORD)).cookies, 'panel_browser')
    for (let n = 0; n < 100; n++) await signIn('wrong', { from: `198.51.${n}.1` })
    assert.equal((await signIn(PASSWORD)).statusCode, 429)
    const forged = `${known.slice(0, -43)}${'A'.repeat(43)}`
    for (const cookie of [forged, 'panel_browser=', 'panel_browser=a.b'])
      assert.equal((await signIn(PASSWORD, { headers: { cookie } })).statusCode, 429)

    const headers = { cookie: known }
    const again = await signIn(PASSWORD, { headers })
    assert.equal(again.statusCode, 303)
    assert.equal(cookieOf(again.cookies, 'panel_browser'), known)
    // The cookie lets nobody in without the password, and has a limit of its own.
    for (let n = 0; n < 10; n++) assert.equal((await signIn('wrong', { headers })).statusCode, 401)
    assert.equal((await signIn(PASSWORD, { headers })).statusCode, 429)
    const other = startPanel(t)
    for (let n = 0; n < 100; n++) await other.signIn('wrong', { from: `198.51.${n}.1` })
    assert.equal((await other.signIn(PASSWORD, { headers })).statusCode, 303, 'it outlives the process')
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

  test('counts an address once, with whatever port a proxy writes', async t => {
    for (const [address, other] of [
      ['203.0.113.7:PORT', '203.0.113.8'],
      ['[2001:db8::1]:PORT', '2001:db8:0:1::1'],
      ['::ffff:203.0.113.7', '203.0.113.8'],
      ['203.0.113.7:PORT, 192.0.2.2:PORT', '203.0.113.8'],
    ] as const) {
      const { signIn } = startPanel(t, ['192.0.2.0/24'])
      const from = (text: string) => ({ headers: { 'x-forwarded-for': text } })
      for (let port = 4_700; port < 4_710; port++)
        await signIn('wrong', from(address.replaceAll('PORT', String(port))))
      assert.equal(
        (await signIn(PASSWORD, from(address.replaceAll('PORT', '4711')))).statusCode,
        429,
        address,
      )
      assert.equal((await signIn(PASSWORD, from(other))).statusCode, 303, address)
    }
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
    assert.deepEqual(
      cookies.map(({ name, secure }) => [name, secure]),
      [
        ['__Host-panel_session', true],
        ['__Host-panel_browser', true],
      ],
    )
  })
})

test('below a path of its own, all that it tells a browser is below that path', async t => {
  const { signIn, get, app } = startPanel(t, ['192.0.2.1'], [], '/stats/')
  // A proxy in front may take the path off, or leave it there.
  for (const url of ['/stats/posts/42?period=7d', '/posts/42?period=7d']) {
    const away = await get(url)
    assert.equal(away.headers.location, '/stats/sign-in?next=%2Fposts%2F42%3Fperiod%3D7d', url)
  }
  for (const url of ['/stats/sign-in?next=/x', '/sign-in?next=/x']) {
    const { body } = await get(url)
    assert.match(body, /<form method="post" action="\/stats\/sign-in"/)
    for (const [, address] of body.matchAll(/(?:href|src|action)="([^"]*)"/g))
      assert.match(address!, /^\/stats\//)
  }
  for (const next of [
    '/posts/42?period=7d',
    '/',
    '//evil.example',
    '/.//evil.example',
    'https://evil.example/',
  ])
    assert.match(
      String((await signIn(PASSWORD, { next })).headers.location),
      /^\/stats\/(posts\/42\?period=7d)?$/,
    )

  const { cookies } = await signIn(PASSWORD, { headers: { 'x-forwarded-proto': 'https' } })
  assert.deepEqual(
    cookies.map(({ name, path, secure }) => [name, path, secure]),
    [
      // Browsers take `__Host-` only with the path `/`.
      ['__Secure-panel_session', '/stats', true],
      ['__Secure-panel_browser', '/stats', true],
    ],
  )
  const session = cookieOf((await signIn(PASSWORD)).cookies, 'panel_session')
  const out = await app.inject({ method: 'POST', url: '/stats/sign-out', headers: { cookie: session } })
  assert.deepEqual(
    [out.statusCode, out.headers.location, out.cookies[0]?.path],
    [303, '/stats/sign-in', '/stats'],
  )
  const missing = await get('/stats/nowhere')
  assert.deepEqual([missing.statusCode, missing.body.match(/href="\/stats\/"/g)?.length], [404, 2])
  assert.equal((await get('/stats/livez')).statusCode, 200)
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
    '/machines',
    '/machines/data',
    '/machines/days.csv',
    '/lists/source',
    '/lists/source/data',
    '/lists/source/values.csv',
    '/posts/42',
    '/posts/42/data',
    '/posts/42/days.csv',
    '/posts/42/lists/source',
    '/posts/42/lists/source/values.csv',
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

test('what the framework refuses is told on a page of the panel, with the same headers, and no address in it', async t => {
  const { app, get, cookie } = startPanel(t)
  const session = await cookie()
  const post = (headers: Record<string, string>, payload: string) =>
    app.inject({ method: 'POST', url: '/sign-in?secret', headers, payload })
  const refused: [number, Awaited<ReturnType<typeof get>>][] = [
    [400, await get('/posts/%zz?secret', { ...PAGE, ...session })],
    [400, await get('/posts/%ff/secret')],
    [404, await get(`/posts/${'x'.repeat(5_000)}?secret`, { ...PAGE, ...session })],
    [404, await app.inject({ method: 'DELETE', url: '/secret' })],
    [404, await app.inject({ method: 'OPTIONS', url: '/secret' })],
    [415, await post({ 'content-type': 'text/xml' }, '<secret/>')],
    [400, await post({ 'content-type': 'application/json' }, '{secret')],
    [413, await post(FORM, `secret=${'x'.repeat(10_000)}`)],
  ]
  const { headers: own } = await get('/sign-in')
  for (const [status, { statusCode, headers, body }] of refused) {
    assert.equal(statusCode, status)
    for (const name of Object.keys(own).filter(name => !/length|date|connection/.test(name)))
      assert.equal(headers[name], own[name], `${status}: ${name}`)
    assert.match(body, /^<!doctype html>.*Go to the overview/)
    assert.doesNotMatch(body, /secret|FST_/)
  }
})

test('answers to its own names alone, where it has any, and to a probe by whatever name', async t => {
  const { app } = startPanel(t, ['192.0.2.1'], ['panel.example', '[2001:db8::1]'])
  const ask = (host: string | undefined, url = '/sign-in', headers: Record<string, string> = {}) =>
    app.inject({ url, headers: { ...PAGE, ...(host && { host }), ...headers }, remoteAddress: '192.0.2.1' })
  for (const host of ['panel.example', 'PANEL.example:3200', 'panel.example.', '[2001:DB8::1]:80'])
    assert.equal((await ask(host)).statusCode, 200, host)
  const refused = [
    'evil.example',
    'panel.example.evil.example',
    'xpanel.example',
    'panel.example@evil',
    '10.0.0.1',
  ]
  for (const host of refused) {
    for (const url of ['/sign-in', '/', '/nowhere', '/data']) {
      const { statusCode, headers, body } = await ask(host, url)
      assert.equal(statusCode, 421, `${host} ${url}`)
      assert.match(String(headers['content-security-policy']), /^default-src 'none'/)
      assert.doesNotMatch(body, /evil|10\.0/)
    }
  }
  assert.equal((await ask('10.0.0.7:3200', '/livez')).statusCode, 200)
  const style = /<link rel="stylesheet" href="([^"]+)"/.exec((await ask('evil.example')).body)?.[1]
  assert.equal((await ask('evil.example', style)).statusCode, 200, 'the refusal has its style')
  // The name that a trusted proxy was asked for.
  assert.equal((await ask('upstream', '/sign-in', { 'x-forwarded-host': 'panel.example' })).statusCode, 200)
  assert.equal(
    (await ask('panel.example', '/sign-in', { 'x-forwarded-host': 'evil.example' })).statusCode,
    421,
  )
})

test('says that Analytics is unavailable and since when, shows no number, and logs it once', async t => {
  const { get, cookie, lines } = startPanel(t)
  const session = await cookie()
  const page = await get('/', { ...PAGE, ...session })
  assert.match(page.body, /Analytics has been unavailable<\/strong> since<time/)
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
