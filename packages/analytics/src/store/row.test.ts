import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { View } from '@postviews/client/src/index.ts'
import { BotList } from '../derive/machines.ts'
import { Who } from '../derive/who.ts'
import { Calendar } from './calendar.ts'
import { type RowContext, refererHost, toRow, UNKNOWN_VISITOR, visitorOf } from './row.ts'

const KEY = 'ab'.repeat(32)
const OTHER_KEY = 'cd'.repeat(32)

const VIEW: View = {
  eventId: '0197c1f0-0000-7000-8000-000000000001',
  postUuid: '42',
  userId: '7',
  loggedIn: true,
  ip: '192.0.2.1',
  userAgent: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  referer: 'https://News.Example.org/item?id=1',
  url: 'https://blog.example/posts/42?utm_source=hn&utm_campaign=Spring%20Sale',
  viewedAt: Date.parse('2026-03-10T23:30:00Z') / 1_000,
  ownTime: null,
  timeSource: 'event',
  index: null,
}

function context(fields: Partial<RowContext> = {}): RowContext {
  return {
    calendar: new Calendar('Europe/Warsaw', 6),
    who: new Who({ countries: null, ownHosts: [] }),
    uniqueBy: 'ip',
    ipStorage: 'full',
    keyOf: () => KEY,
    ...fields,
  }
}

test('a row holds the view, and everything that counting needs', () => {
  assert.deepEqual(toRow(VIEW, VIEW.viewedAt + 90_000, context()), {
    eventId: VIEW.eventId,
    postUuid: '42',
    userId: '7',
    ip: '192.0.2.1',
    userAgent: VIEW.userAgent,
    referer: VIEW.referer,
    viewedAt: VIEW.viewedAt,
    receivedAt: VIEW.viewedAt + 90_000,
    day: '2026-03-11',
    slice: 0,
    loggedIn: true,
    bot: false,
    visitor: createHash('sha256').update(`${KEY}192.0.2.1`).digest('hex').slice(0, 32),
    refererHost: 'news.example.org',
    hour: 0,
    utm: 'hn\t\tspring sale\t',
    origin: '1\tnews\tHacker News\tspring sale',
    agent: '1\tdesktop\tFirefox\tLinux\t\t',
    country: null,
  })
})

test("a row's reader is told by the key of the view's own day", () => {
  const asked: string[] = []
  const keyOf = (day: string) => {
    asked.push(day)
    return KEY
  }
  toRow(VIEW, VIEW.viewedAt + 10 * 86_400, context({ keyOf }))
  assert.deepEqual(asked, ['2026-03-11'])
})

test('addresses are left out of rows on demand, and the reader is the same', () => {
  const full = toRow(VIEW, VIEW.viewedAt, context())
  const none = toRow(VIEW, VIEW.viewedAt, context({ ipStorage: 'none' }))
  assert.deepEqual(none, { ...full, ip: null })
})

test('who is logged in is what the view says, with a user id and without', () => {
  for (const loggedIn of [true, false])
    assert.equal(toRow({ ...VIEW, userId: null, loggedIn }, VIEW.viewedAt, context()).loggedIn, loggedIn)
})

test('of an IPv6 address the network tells readers apart where that is set, and all of an IPv4 address', () => {
  const visitor = (ip: string) => visitorOf(KEY, 'network', ip, 'Firefox')
  const same = [
    ['2001:db8::1', '2001:db8:0:0:ffff:ffff:ffff:ffff', '2001:DB8:0000::2', '2001:db8::192.0.2.1'],
    ['2001:db8:0:1::1', '2001:db8:0:1:1:1:1:1', '2001:db8:0:1::'],
    ['2001:db8:1::1', '2001:db8:1:0:1::'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4::'],
    ['1::4:5:6:7:8', '1:0:0:4::'],
    ['::', '::1', '::192.0.2.1'],
    ['0:0:0:1::', '::1:0:0:0:0'],
    ['192.0.2.1', '::ffff:192.0.2.1', '::ffff:c000:201'],
    ['192.0.2.2'],
  ]
  const networks = same.map(ips => new Set(ips.map(visitor)))
  for (const network of networks) assert.equal(network.size, 1)
  assert.equal(new Set(networks.flatMap(network => [...network])).size, same.length)
  // So an adoption does not change readers with an IPv4 address.
  assert.equal(visitor('192.0.2.1'), visitorOf(KEY, 'ip', '192.0.2.1', 'Firefox'))
  const withAgent = (agent: string) => visitorOf(KEY, 'network+user_agent', '2001:db8::1', agent)
  assert.notEqual(withAgent('Firefox'), withAgent('Safari'))
})

test('readers are told apart by key and address, and by agent where that is set', () => {
  const visitor = visitorOf(KEY, 'ip', '192.0.2.1', 'Firefox')
  assert.match(visitor, /^[0-9a-f]{32}$/)
  assert.equal(visitorOf(KEY, 'ip', '192.0.2.1', 'Safari'), visitor)
  assert.notEqual(visitorOf(KEY, 'ip', '192.0.2.2', 'Firefox'), visitor)
  assert.notEqual(visitorOf(OTHER_KEY, 'ip', '192.0.2.1', 'Firefox'), visitor)

  const agents = [null, 'Firefox', 'Safari', 'firefox'].map(agent =>
    visitorOf(KEY, 'ip+user_agent', '192.0.2.1', agent),
  )
  assert.equal(new Set(agents).size, 4)
  assert.equal(visitorOf(KEY, 'ip+user_agent', '192.0.2.1', ''), agents[0])
})

test('where the address ends and the agent begins is beyond doubt', () => {
  const one = visitorOf(KEY, 'ip+user_agent', '192.0.2.1', '1 Firefox')
  assert.notEqual(visitorOf(KEY, 'ip+user_agent', '192.0.2.11', ' Firefox'), one)
})

test('readers without an address are one unknown reader, whatever their agent and the day', () => {
  for (const key of [KEY, OTHER_KEY]) {
    assert.equal(visitorOf(key, 'ip', null, 'Firefox'), UNKNOWN_VISITOR)
    assert.equal(visitorOf(key, 'ip+user_agent', null, 'Safari'), UNKNOWN_VISITOR)
  }
})

test('the host of a referer is in lower case, without port, path, credentials, last dot and www', () => {
  const hosts: [referer: string | null, host: string][] = [
    ['https://news.example.org/a?b=c#d', 'news.example.org'],
    ['HTTP://WWW.Example.ORG:8080/', 'example.org'],
    ['https://www.example.org./', 'example.org'],
    ['https://www2.example.org/', 'www2.example.org'],
    ['https://www.localhost/', 'localhost'],
    ['https://www/', 'www'],
    ['https://reader:secret@example.org/', 'example.org'],
    ['https://example.org./', 'example.org'],
    ['https://пример.рф/страница', 'xn--e1afmkfd.xn--p1ai'],
    ['http://[2001:DB8::1]/', '[2001:db8::1]'],
    ['http://0x7f.1/', '127.0.0.1'],
    ['http://my_host.example/', 'my_host.example'],
    ['android-app://com.Google.android.gm/', 'com.google.android.gm'],
    ['https://example.org/a', 'example.org'],
    ['https://example.org/b c', 'example.org'],
    ['https://example.org:99999/a', ''],
    ['https://user:password@example.org/a', 'example.org'],
    ['https://example.org\\@other.example/a', 'example.org'],
    ['http:////example.org/a', 'example.org'],
    ['https://www. /a', ''],
    [null, ''],
    ['', ''],
    ['example.org', ''],
    ['/a/path', ''],
    ['https://', ''],
    ['about:blank', ''],
    ['javascript:alert(1)', ''],
    ['file:///etc/hosts', ''],
    ['data:text/html,x', ''],
    ['mailto:somebody@example.org', ''],
    ['http://x;=1+1;y/', ''],
    ['http://=1+1/', ''],
    ["http://x'y/", ''],
    ['http://a..b/', ''],
    ['android-app://=1+1/', ''],
    ['android-app://x%20y/', ''],
    ['android-app://com.example.Читатель/', ''],
    [`http://${'x'.repeat(64)}.example/`, ''],
    [`http://${'x.'.repeat(127)}example/`, ''],
    [`http://www.${'x.'.repeat(124)}x/`, `${'x.'.repeat(124)}x`],
  ]
  for (const [referer, host] of hosts) assert.equal(refererHost(referer), host, String(referer))
})

test('bots are told by their agents; no agent is no bot', () => {
  const bots = new BotList()
  for (let again = 0; again < 2; again++) {
    assert.equal(bots.isBot('Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'), true)
    assert.equal(bots.isBot('curl/8.14.1'), true)
    assert.equal(bots.isBot(VIEW.userAgent), false)
    assert.equal(bots.isBot(null), false)
    assert.equal(bots.isBot(''), false)
  }
})

test('bots are told right after more agents than are remembered', () => {
  const bots = new BotList()
  for (let agent = 0; agent < 50_000; agent++) bots.isBot(`${VIEW.userAgent} ${agent}`)
  assert.equal(bots.isBot('curl/8.14.1'), true)
  assert.equal(bots.isBot(VIEW.userAgent), false)
})
