import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { refererHost } from '../store/row.ts'
import { CHANNELS, originOf, SOURCES_VERSION, utmOf } from './sources.ts'

const LIST = readFileSync(new URL('./sources.tsv', import.meta.url), 'utf8')
const ROWS = LIST.split('\n').filter(line => line !== '' && !line.startsWith('#'))
const [SUFFIXES, ...SOURCES] = ROWS.map(line => line.split('\t'))

const isOwn = (host: string) => host === 'blog.example'

/** The source and the channel of a view, as `source, channel`. */
function told(referer: string | null, url: string | null = null): string {
  const { source, channel } = originOf(referer, utmOf(url), isOwn)
  return `${source}, ${channel}`
}

test('an own host is internal, and no source', () => {
  assert.deepEqual(originOf('https://www.blog.example/a', utmOf('/b'), isOwn), {
    source: null,
    channel: 'internal',
    campaign: null,
  })
})

test('an own host counts as nothing where the link says more', () => {
  const referer = 'https://blog.example/a'
  assert.equal(told(referer, '/b?utm_source=hn'), 'Hacker News, news')
  assert.equal(told(referer, '/b?ref=sidebar'), 'sidebar, campaign')
  assert.equal(told(referer, '/b?utm_medium=email'), 'null, email')
  assert.equal(told(referer, '/b?utm_campaign=spring'), 'null, campaign')
})

test("an own host is the site's even if the list has it", () => {
  const origin = originOf('https://news.ycombinator.com/', utmOf(null), () => true)
  assert.deepEqual([origin.source, origin.channel], [null, 'internal'])
})

test('utm_source is the source before ref, and both before the referer', () => {
  const referer = 'https://www.bing.com/'
  assert.equal(told(referer, '/?ref=reddit&utm_source=hn'), 'Hacker News, news')
  assert.equal(told(referer, '/?ref=reddit'), 'Reddit, social')
  assert.equal(told(referer, '/?utm_source=&ref=reddit'), 'Reddit, social')
  assert.equal(told(referer, '/?utm_source=&ref='), 'Bing, search')
})

test('a source that is not on the list keeps its own text, and is a campaign', () => {
  assert.equal(told('https://www.bing.com/', '/?utm_source=Spring%20Letter'), 'spring letter, campaign')
  assert.equal(told(null, '/?utm_source=__proto__'), '__proto__, campaign')
  assert.equal(told(null, '/?utm_source=-'), '-, campaign')
})

test('a source is known by its name, by another name, by a host, and by a host below it', () => {
  for (const text of ['Hacker News', 'hacker-news', 'HACKER_NEWS', 'hn', 'news.ycombinator.com'])
    assert.equal(told(null, `/?utm_source=${encodeURIComponent(text)}`), 'Hacker News, news', text)
  assert.equal(told(null, '/?utm_source=www.chatgpt.com'), 'ChatGPT, ai')
})

test('a host in the midst of a text is no source of the list', () => {
  for (const text of ['about www.google.com', 'x/?.google.com', 'google.com.evil.example'])
    assert.equal(told(null, `/?utm_source=${encodeURIComponent(text)}`), `${text}, campaign`)
})

test('utm_medium names the channel, however it is spelled', () => {
  for (const [medium, channel] of [
    ['email', 'email'],
    ['E-Mail', 'email'],
    ['newsletter', 'email'],
    ['social', 'social'],
    ['social_media', 'social'],
    ['Social Network', 'social'],
    ['cpc', 'campaign'],
    ['ppc', 'campaign'],
    ['paid', 'campaign'],
    ['paid-social', 'campaign'],
    ['paidsearch', 'campaign'],
    ['affiliate', 'campaign'],
    ['organic', 'search'],
    ['referral', 'referral'],
    ['ai', 'ai'],
    ['ai-assistant', 'ai'],
    ['news', 'news'],
    ['rss', 'news'],
    ['feed', 'news'],
  ] as const) {
    const query = `utm_medium=${encodeURIComponent(medium)}`
    assert.equal(told(null, `/?utm_source=google&${query}`), `Google, ${channel}`)
    assert.equal(told(null, `/?utm_source=partner&${query}`), `partner, ${channel}`)
    assert.equal(told('https://example.org/', `/?${query}`), `example.org, ${channel}`)
    assert.equal(told(null, `/?${query}`), `null, ${channel}`)
  }
})

test('another utm_medium leaves the channel to the source', () => {
  for (const medium of ['qr', 'constructor', '-', '1']) {
    assert.equal(told(null, `/?utm_source=bing&utm_medium=${medium}`), 'Bing, search')
    assert.equal(told(null, `/?utm_source=partner&utm_medium=${medium}`), 'partner, campaign')
    assert.equal(told('https://example.org/', `/?utm_medium=${medium}`), 'example.org, referral')
    assert.equal(told(null, `/?utm_medium=${medium}`), 'null, campaign')
  }
})

test('a campaign without a source leaves source and channel to the referer', () => {
  const utm = utmOf('/?utm_campaign=Spring')
  assert.deepEqual(originOf('https://t.co/x', utm, isOwn), {
    source: 'X',
    channel: 'social',
    campaign: 'spring',
  })
  assert.deepEqual(originOf(null, utm, isOwn), { source: null, channel: 'campaign', campaign: 'spring' })
})

test('the campaign is kept beside every source', () => {
  const utm = utmOf('/?utm_source=hn&utm_campaign=spring')
  assert.equal(originOf(null, utm, isOwn).campaign, 'spring')
  assert.equal(originOf('https://blog.example/', utm, isOwn).campaign, 'spring')
})

test('a host of the list matches by whole labels from the right', () => {
  for (const host of ['google.com', 'www.google.com', 'WWW.Google.Com.:8443', 'a.b.google.com'])
    assert.equal(told(`https://${host}/`), 'Google, search')
  for (const host of ['notgoogle.com', 'google.com.evil.example', 'google.evil.example', 'com'])
    assert.equal(told(`https://${host}/`), `${host}, referral`)
})

test('a host under every country is one under suffixes that are written out', () => {
  for (const host of ['google.de', 'www.google.co.uk', 'google.com.br', 'google.cat'])
    assert.equal(told(`https://${host}/`), 'Google, search')
  assert.equal(told('https://news.google.co.uk/'), 'Google News, news')
  for (const host of ['google.xyz', 'google.com.de', 'google.co.de', 'google.uk.com'])
    assert.equal(told(`https://${host}/`), `${host}, referral`)
})

test('the longest host of the list wins', () => {
  for (const [host, expected] of [
    ['mail.google.com', 'Gmail, email'],
    ['news.google.com', 'Google News, news'],
    ['docs.google.com', 'Google Docs, referral'],
    ['gemini.google.com', 'Gemini, ai'],
    ['scholar.google.com', 'Google Scholar, search'],
    ['tieba.baidu.com', 'Baidu Tieba, social'],
    ['e.mail.ru', 'Mail.ru, email'],
    ['go.mail.ru', 'Mail.ru Search, search'],
    ['suche.web.de', 'web.de Suche, search'],
  ])
    assert.equal(told(`https://${host}/`), expected)
})

test('an app of the list is its source, and another app is other, by its whole id', () => {
  assert.equal(told('android-app://com.google.android.gm/'), 'Gmail, email')
  assert.equal(told('android-app://com.Slack'), 'Slack, social')
  for (const id of ['com.android.chrome', 'evil.com.google.android.gm', 'www2.google.com'])
    assert.equal(told(`android-app://${id}/x`), `${id}, other`)
  assert.equal(told('https://com.google.android.gm/'), 'com.google.android.gm, referral')
})

test('another host is its own source, spelled as in the list of referring hosts', () => {
  for (const referer of [
    'https://www.Example.org:8443/a?b#c',
    'http://192.0.2.1:3000/',
    'http://[2001:db8::1]/',
    'https://müller.example./',
    'https://google.com@example.org/',
  ])
    assert.equal(told(referer), `${refererHost(referer)}, referral`)
})

test('what names no host is direct', () => {
  for (const referer of [
    null,
    '',
    ' ',
    'www.google.com',
    '/a',
    'about:client',
    'https://',
    'https://.',
    'http://x;=1+1;y/',
    'ftp://google.com/',
    'chrome-extension://abc/',
    'android-app://x%20y/',
  ]) {
    assert.equal(told(referer), 'null, direct')
    assert.equal(refererHost(referer), '')
  }
})

test('utm texts are decoded, trimmed and in lower case, and empty ones are null', () => {
  assert.deepEqual(
    utmOf('https://blog.example/p?a=1&utm_source=+Hacker+News%20&utm_medium=S%C3%93CIAL&utm_campaign=+&ref'),
    { source: 'hacker news', medium: 'sócial', campaign: null, ref: null },
  )
  const none = { source: null, medium: null, campaign: null, ref: null }
  for (const url of [null, '', '/p', '?', 'utm_source=x', '/p#?utm_source=x', '/p?UTM_SOURCE=x&xref=y'])
    assert.deepEqual(utmOf(url), none)
})

test('the first value wins, in a path and query too', () => {
  assert.equal(utmOf('/p?ref=a&ref=b').ref, 'a')
  assert.equal(utmOf('/p?ref=&ref=b').ref, null)
  assert.equal(utmOf('?x=?&ref=a?b#c').ref, 'a?b')
})

test('a broken percent-encoding never throws', () => {
  for (const [value, text] of [
    ['100%', '100%'],
    ['%', '%'],
    ['%zz', '%zz'],
    ['%e0%a4%a', '\ufffd%a'],
    ['%ff', '\ufffd'],
    ['\ud800', '\ufffd'],
  ] as const)
    assert.equal(utmOf(`/p?utm_source=${value}`).source, text)
  assert.equal(utmOf('http://[/?ref=x').ref, 'x')
})

test('NUL and control characters are removed', () => {
  assert.equal(utmOf('/p?ref=%00a%0A%1b%7f%C2%85b%00').ref, 'ab')
  assert.equal(utmOf('/p?ref=%00+%0A').ref, null)
})

test('utm texts are cut at 100 characters, and never within one', () => {
  assert.equal(utmOf(`/p?ref=${'x'.repeat(101)}`).ref, 'x'.repeat(100))
  assert.equal(utmOf(`/p?ref=${'😀'.repeat(101)}`).ref, '😀'.repeat(100))
  assert.equal([...utmOf(`/p?ref=${'İ'.repeat(100)}`).ref!].length, 100)
  assert.equal(utmOf(`/p?ref=${'x'.repeat(99)}+y`).ref, 'x'.repeat(99))
})

test('texts of any length and with any number of labels are answered', () => {
  for (const text of [
    'a.'.repeat(100_000),
    '.'.repeat(100_000),
    `${'a.'.repeat(126)}a`,
    '-'.repeat(100_000),
  ]) {
    told(`https://${text}/`, `/?utm_source=${text}&utm_medium=${text}`)
    told(`android-app://${text}`)
  }
})

test('the list has a version', () => {
  assert.ok(Number.isInteger(SOURCES_VERSION) && SOURCES_VERSION >= 1)
  assert.ok(LIST.startsWith(`# version ${SOURCES_VERSION}\n`))
})

test('each line of the list has a name, a channel of the list, and patterns', () => {
  const channels = CHANNELS.filter(name => !['direct', 'campaign', 'internal', 'other'].includes(name))
  for (const [source = '', channel = '', patterns = '', ...rest] of SOURCES) {
    assert.ok(source !== '' && source === source.trim() && rest.length === 0, source)
    assert.ok((channels as string[]).includes(channel), source)
    for (const pattern of patterns.split(' '))
      assert.match(
        pattern,
        /^(?:android-app:\/\/[a-z\d_]+(?:\.[a-z\d_]+)+|[a-z\d]+|[a-z\d.-]+\.(?:[a-z-]+|\*))$/,
        source,
      )
  }
  for (const suffix of SUFFIXES![2]!.split(' ')) assert.match(suffix, /^(?:com?\.)?[a-z]{2,3}$/)
})

test('no pattern and no name of the list stands for two sources', () => {
  const owners = new Map<string, string>()
  for (const [source = '', , patterns = ''] of SOURCES) {
    const name = source.toLowerCase().replace(/[\s_-]/g, '')
    for (const text of new Set([name, ...patterns.split(' ')])) {
      assert.equal(owners.get(text) ?? source, source, text)
      owners.set(text, source)
    }
  }
})

test('every pattern of the list leads to its line', () => {
  for (const [source, channel, patterns = ''] of SOURCES) {
    for (const pattern of patterns.split(' ')) {
      const isApp = pattern.includes('://')
      const host = pattern.replace('*', 'co.uk')
      if (isApp || host.includes('.'))
        assert.equal(told(isApp ? pattern : `https://${host}/`), `${source}, ${channel}`)
      if (!isApp) assert.equal(told(null, `/?ref=${host}`), `${source}, ${channel}`)
    }
    assert.equal(told(null, `/?utm_source=${encodeURIComponent(source!)}`), `${source}, ${channel}`)
  }
})

test('the list has 100 hosts of search engines or more', () => {
  const searching = SOURCES.filter(([, channel]) => channel === 'search').flatMap(row => row[2]!.split(' '))
  assert.ok(searching.filter(pattern => pattern.includes('.') && !pattern.includes('://')).length >= 100)
})
