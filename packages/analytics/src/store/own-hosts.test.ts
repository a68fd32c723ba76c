import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreRefused } from './failures.ts'
import { isOwnHost, ownHostsInUse, ownHostsOf, ownHostsText, recordedOwnHosts } from './own-hosts.ts'

test('a list of own hosts has each once, in one spelling, in whatever order it is written', () => {
  for (const [text, hosts] of [
    ['blog.example', ['blog.example']],
    [' Blog.Example:8080 , , ', ['blog.example']],
    ['www.blog.example,blog.example.,BLOG.EXAMPLE:443', ['blog.example']],
    ['b.example,a.example', ['a.example', 'b.example']],
    ['*.blog.example,blog.example', ['*.blog.example', 'blog.example']],
    ['*.Blog.Example:8080', ['*.blog.example']],
    ['пример.рф,*.пример.рф', ['*.xn--e1afmkfd.xn--p1ai', 'xn--e1afmkfd.xn--p1ai']],
    ['bücher.example', ['xn--bcher-kva.example']],
    ['127.0.0.1:3300,localhost', ['127.0.0.1', 'localhost']],
    ['::1,[::1]:3300,2001:DB8:0::1', ['[2001:db8::1]', '[::1]']],
    ['my_blog.example', ['my_blog.example']],
    ['com.example.reader', ['com.example.reader']],
    ['none', []],
    ['None', []],
  ] as const)
    assert.deepEqual(ownHostsOf(text), hosts, text)
})

test('an entry that is no host is refused, and quoted', () => {
  for (const wrong of [
    'https://blog.example',
    'https://blog.example/',
    'blog.example/',
    'blog.example/path',
    'blog.example?a',
    'blog.example#a',
    'blog example',
    'blog.example; other.example',
    'x;=1+1;y',
    'blog..example',
    '.blog.example',
    '.',
    'none',
    '*',
    '*.',
    '*blog.example',
    'a.*.example',
    '*.*.example',
    '*.127.0.0.1',
    '*.[::1]',
    '*.::1',
    '[::1',
    ':8080',
    'blog.example:port',
    'blog.example:99999',
    '%41.example',
    `${'x'.repeat(64)}.example`,
  ])
    assert.throws(
      () => ownHostsOf(`blog.example,${wrong}, other.example`),
      error => error instanceof Error && error.message.startsWith(`"${wrong}" is not a host; write`),
      wrong,
    )
  assert.throws(
    () => ownHostsOf('a b, ok.example, c d'),
    /^Error: "a b" is not a host, "c d" is not a host; write/,
  )
  assert.throws(() => ownHostsOf(' , '), /names no host/)
  assert.throws(
    () => ownHostsOf('https://reader:geheim@blog.example/'),
    /^Error: "…@blog\.example\/" is not a host; write/,
  )
})

test('an own host is one that the list names, with www or without; *.x is what is below x, and not x', () => {
  const own = ownHostsOf('blog.example, *.wide.example, 127.0.0.1, [::1], пример.рф')
  for (const [host, isOwn] of [
    ['blog.example', true],
    ['www.blog.example', true],
    ['www.www.blog.example', true],
    ['shop.blog.example', false],
    ['notblog.example', false],
    ['blog.example.org', false],
    ['example', false],
    ['a.wide.example', true],
    ['www.a.wide.example', true],
    ['b.a.wide.example', true],
    ['wide.example', false],
    ['www.wide.example', false],
    ['notwide.example', false],
    ['127.0.0.1', true],
    ['127.0.0.10', false],
    ['[::1]', true],
    ['[::2]', false],
    ['xn--e1afmkfd.xn--p1ai', true],
    ['www.xn--e1afmkfd.xn--p1ai', true],
    ['', false],
  ] as const)
    assert.equal(isOwnHost(own, host), isOwn, host)
})

test('where the list has x and *.x, both are own; where it is empty, nothing is', () => {
  const both = ownHostsOf('*.blog.example,blog.example')
  for (const host of ['blog.example', 'www.blog.example', 'a.blog.example']) assert.ok(isOwnHost(both, host))
  for (const host of ['blog.example', 'localhost', '']) assert.ok(!isOwnHost(ownHostsOf('none'), host))
})

test('a list is written as the text that it is read from', () => {
  for (const text of ['none', '*.blog.example,127.0.0.1,[::1],blog.example,xn--e1afmkfd.xn--p1ai']) {
    assert.equal(ownHostsText(ownHostsOf(text)), text)
    assert.deepEqual(recordedOwnHosts(text), ownHostsOf(text))
  }
})

test('of the lists that are recorded the first holds, whatever a process has; one that never was is refused', () => {
  const lists = ['b.example', 'a.example', 'none']
  for (const [own, isReplaced] of [
    [null, false],
    [['b.example'], false],
    [['a.example'], true],
    [[], true],
  ] as const)
    assert.deepEqual(ownHostsInUse(own, lists), { ownHosts: ['b.example'], isReplaced })
  assert.throws(() => ownHostsInUse(['c.example', 'd.example'], lists), {
    constructor: StoreRefused,
    message:
      /^SITE_HOSTS is c\.example,d\.example, but the database records b\.example: run `postviews migrate`/,
  })
})
