import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keptOfUrl } from './url.ts'
import { MAX_URL_CHARACTERS } from './view.ts'

const LONG = 'x'.repeat(10_000)

const cases: [string, unknown, string | null][] = [
  ['a path', '/posts/hello', '/posts/hello'],
  [
    'what is kept of a query',
    '/p?utm_source=a&utm_medium=b&utm_campaign=c&ref=d',
    '/p?utm_source=a&utm_medium=b&utm_campaign=c&ref=d',
  ],
  ['nothing else of it', '/p?token=secret&ref=d&email=a@b.example', '/p?ref=d'],
  ['nothing of a query without them', '/p?token=secret', '/p'],
  ['names that merely begin so', '/p?ref_token=1&reference=2&utm_source_token=3&Ref=4', '/p'],
  ['an encoded name', '/p?utm%5Fsource=a&to%6Ben=secret', '/p?utm%5Fsource=a'],
  ['a name that encodes nothing', '/p?%zz=1&ref=d', '/p?ref=d'],
  ['a name without a value', '/p?ref&token', '/p?ref'],
  ['a value with a question mark', '/p?ref=a?token=secret&token=secret', '/p?ref=a?token=secret'],
  ['no fragment', '/p?ref=a#access_token=secret', '/p?ref=a'],
  ['no fragment that looks like a query', '/p#?ref=secret', '/p'],
  [
    'no user and no password',
    'https://user:p%40ss@word@blog.example/p?ref=a',
    'https://blog.example/p?ref=a',
  ],
  ['no user where the scheme is left out', '//user:password@blog.example/p', '//blog.example/p'],
  ['an at sign in a path', 'https://blog.example/@ada', 'https://blog.example/@ada'],
  ['a URL', new URL('https://blog.example/p?token=secret&ref=a'), 'https://blog.example/p?ref=a'],
  ['an empty text', '', ''],
  ['the parameters rather than a long path', `/${LONG}?ref=a`, '/?ref=a'],
  ['half of a surrogate pair', '/\ud800', '/\ufffd'],
  ['nothing with a NUL', '/p\0', null],
  ['no object', { href: '/p' }, null],
  ['no number', 7, null],
  ['null', null, null],
  ['nothing at all', undefined, null],
]
for (const [what, url, kept] of cases) {
  test(`of an address is sent ${what}`, () => assert.equal(keptOfUrl(url), kept))
}

test('an address takes bounded memory', () => {
  assert.equal(keptOfUrl(`/p?ref=${LONG}`)?.length, MAX_URL_CHARACTERS)
})
