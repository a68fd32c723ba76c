import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hostOf, withoutWww } from './hosts.ts'

const LABEL = 'x'.repeat(63)
const LONGEST = `${LABEL}.${LABEL}.${LABEL}.${'x'.repeat(61)}`

test('a host is a name of labels, or an address, in lower case and without its last dot', () => {
  for (const [hostname, host] of [
    ['Blog.Example', 'blog.example'],
    ['blog.example.', 'blog.example'],
    ['localhost', 'localhost'],
    ['my_blog.exa-mple', 'my_blog.exa-mple'],
    ['xn--e1afmkfd.xn--p1ai', 'xn--e1afmkfd.xn--p1ai'],
    ['192.0.2.1', '192.0.2.1'],
    ['[2001:db8::1]', '[2001:db8::1]'],
    [LONGEST, LONGEST],
    [`${LONGEST}.`, LONGEST],
  ] as const)
    assert.equal(hostOf(hostname), host, hostname)
})

test('what DNS cannot hold is no host', () => {
  for (const hostname of [
    '',
    '.',
    'x;=1+1;y',
    '=1+1',
    '+1',
    "x'y",
    'x(y)',
    'a,b',
    'a&b',
    'a..b',
    '.a',
    'a..',
    'a b',
    'a\tb',
    'a%20b',
    'пример.рф',
    '[::1',
    '[x]',
    '[]',
    '[=1+1]',
    `${LABEL}x`,
    `${LONGEST}x`,
    `${LABEL}.${LABEL}.${LABEL}.${LABEL}`,
  ])
    assert.equal(hostOf(hostname), '', hostname)
})

test('www is dropped from a name, as often as it is there, and never all of the name', () => {
  for (const [host, bare] of [
    ['www.blog.example', 'blog.example'],
    ['www.www.blog.example', 'blog.example'],
    ['www.localhost', 'localhost'],
    ['www.com', 'com'],
    ['www', 'www'],
    ['www.www', 'www'],
    ['www2.blog.example', 'www2.blog.example'],
    ['blog.www.example', 'blog.www.example'],
    ['wwwblog.example', 'wwwblog.example'],
  ] as const) {
    assert.equal(withoutWww(host), bare, host)
    assert.equal(withoutWww(bare), bare)
  }
})
