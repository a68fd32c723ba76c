import assert from 'node:assert/strict'
import { createServer, get, type IncomingMessage } from 'node:http'
import { describe, test } from 'node:test'
import { proxyList, viewFromRequest } from './request.ts'
import type { Tracker } from './tracker.ts'

const PROXIES = proxyList(['10.0.0.0/8', '192.0.2.1', '::1', 'fd00::/8'])

/** The address of a request that came from `remoteAddress` with this X-Forwarded-For. */
function addressOf(remoteAddress: string | undefined, forwarded?: string, trustedProxies = PROXIES) {
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }
  return viewFromRequest({ headers, socket: { remoteAddress } }, { post_uuid: 7, trustedProxies })?.ip
}

describe("a reader's address", () => {
  const cases: [string, string | undefined, string | undefined, string | null][] = [
    ['is that of the socket', '203.0.113.7', undefined, '203.0.113.7'],
    ['in its canonical spelling', '::ffff:203.0.113.7', undefined, '203.0.113.7'],
    ['is unknown when the socket is gone', undefined, undefined, null],
    ['is unknown when the socket is gone, whatever is claimed', undefined, '203.0.113.7', null],
    ['is not what an untrusted sender claims', '203.0.113.7', '198.51.100.1', '203.0.113.7'],
    ['is what a trusted proxy says', '10.1.2.3', '203.0.113.7', '203.0.113.7'],
    ['is what a trusted proxy says, mapped into IPv6', '::ffff:10.1.2.3', '203.0.113.7', '203.0.113.7'],
    ['is what a trusted IPv6 proxy says', '::1', '2001:DB8::1', '2001:db8::1'],
    ['is found behind several', '10.1.2.3', '203.0.113.7, 192.0.2.1,fd00::5', '203.0.113.7'],
    ['is not what stands before it', '10.1.2.3', '1.2.3.4, 203.0.113.7, 10.0.0.1', '203.0.113.7'],
    ['is the first proxy when all are trusted', '10.1.2.3', '10.0.0.9, 10.0.0.1', '10.0.0.9'],
    ['may stand with a port', '10.1.2.3', '203.0.113.7:4711', '203.0.113.7'],
    ['may stand in brackets', '10.1.2.3', '[2001:db8::1]:4711', '2001:db8::1'],
    ['is unknown when the proxy does not know it', '10.1.2.3', 'unknown', null],
    ['is unknown rather than what stands before nonsense', '10.1.2.3', '203.0.113.7, _hidden', null],
    ['is the proxy when it says nothing', '10.1.2.3', undefined, '10.1.2.3'],
    ['is unknown when the header is empty', '10.1.2.3', '', null],
  ]
  for (const [what, remote, forwarded, expected] of cases) {
    test(`${what}: ${remote} with ${forwarded}`, () => assert.equal(addressOf(remote, forwarded), expected))
  }

  test('is that of the socket when no proxy is trusted', () => {
    const request = { headers: { 'x-forwarded-for': '203.0.113.7' }, socket: { remoteAddress: '10.1.2.3' } }
    assert.equal(viewFromRequest(request, { post_uuid: 7 })?.ip, '10.1.2.3')
    assert.equal(viewFromRequest(request, { post_uuid: 7, trustedProxies: proxyList([]) })?.ip, '10.1.2.3')
  })
})

describe('a request', () => {
  const askedWith = (headers: Record<string, string | string[]>, method?: string) =>
    viewFromRequest({ method, headers, socket: { remoteAddress: '203.0.113.7' } }, { post_uuid: 7 })
  const toNobody: [string, string][] = [
    ['sec-purpose', 'prefetch'],
    ['sec-purpose', 'prefetch;prerender'],
    ['sec-purpose', 'prefetch; anonymous-client-ip'],
    ['sec-purpose', 'Prefetch'],
    ['purpose', 'prefetch'],
    ['purpose', 'PREFETCH, other'],
    ['x-moz', 'prefetch'],
    ['x-purpose', 'preview'],
    ['x-purpose', ' preview '],
  ]
  for (const [name, value] of toNobody) {
    test(`with ${name}: ${value} shows the post to nobody`, () => {
      assert.equal(askedWith({ [name]: value }), null)
      assert.equal(askedWith({ [name]: ['x', value] }, 'GET'), null)
    })
  }
  test('that is HEAD shows the post to nobody', () => {
    assert.equal(askedWith({}, 'HEAD'), null)
    assert.equal(askedWith({}, 'head'), null)
  })
  test('of any other kind is a view', () => {
    for (const method of [undefined, 'GET', 'POST']) assert.equal(askedWith({}, method)?.post_uuid, 7)
    for (const purpose of ['', 'navigate', 'prefetching', 'not-prefetch'])
      assert.equal(askedWith({ 'sec-purpose': purpose, purpose, 'x-moz': purpose })?.post_uuid, 7, purpose)
    const elsewhere = {
      referer: 'https://example.org/prefetch',
      'user-agent': 'prefetch',
      'sec-fetch-mode': 'prefetch',
    }
    assert.equal(askedWith(elsewhere)?.post_uuid, 7)
  })
})

test('a reader may be logged in without a user id', () => {
  const request = { headers: {}, socket: {} }
  assert.equal(viewFromRequest(request, { post_uuid: 7, logged_in: true })?.logged_in, true)
  assert.equal('logged_in' in viewFromRequest(request, { post_uuid: 7 })!, false)
})

test('the address asked for is the one before a router took its own path off', () => {
  const request = { headers: {}, socket: {}, url: '/hello' }
  assert.equal(viewFromRequest(request, { post_uuid: 7 })?.url, '/hello')
  assert.equal(
    viewFromRequest({ ...request, originalUrl: '/blog/hello' }, { post_uuid: 7 })?.url,
    '/blog/hello',
  )
  assert.equal(viewFromRequest({ headers: {}, socket: {} }, { post_uuid: 7 })?.url, null)
})

test('trackView takes no null: types demand that its caller has looked', () => {
  const takesNull: null extends Parameters<Tracker['trackView']>[0] ? true : false = false
  const mayBeNull: null extends ReturnType<typeof viewFromRequest> ? true : false = true
  assert.deepEqual([takesNull, mayBeNull], [false, true])
})

test('the list of proxies names the entry that is neither an address nor a network', () => {
  const wrong = [
    '',
    'proxy',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0/8',
    '::/129',
    '::1/x',
    '1.2.3.4/-1',
  ]
  for (const entry of wrong) {
    assert.throws(
      () => proxyList(['10.0.0.1', entry]),
      (error: Error) => error instanceof TypeError && error.message.endsWith(`: ${entry}`),
    )
  }
})

test('a real request gives an event with everything it tells', async t => {
  const { promise: shown, resolve } = Promise.withResolvers<IncomingMessage>()
  const server = createServer((request, response) => {
    resolve(request)
    response.end()
  })
  await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening))
  t.after(() => server.close())
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const headers = {
    'user-agent': 'Mozilla/5.0',
    referer: 'https://example.org/',
    'x-forwarded-for': '203.0.113.7',
  }
  get({ port: address.port, path: '/hello?utm_source=news', headers, agent: false })
  const trustedProxies = proxyList(['127.0.0.1'])
  assert.deepEqual(viewFromRequest(await shown, { post_uuid: 'hello', user_id: 42, trustedProxies }), {
    post_uuid: 'hello',
    user_id: 42,
    ip: '203.0.113.7',
    user_agent: 'Mozilla/5.0',
    referer: 'https://example.org/',
    url: '/hello?utm_source=news',
  })
  assert.equal(viewFromRequest(await shown, { post_uuid: 'hello' })?.user_id, null)
})
