/** How well sources and channels are told, on a list of referers whose labels are our own: `test/referrers.tsv`. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { originOf, utmOf } from '../packages/analytics/src/derive/sources.ts'
import { isOwnHost, ownHostsOf } from '../packages/analytics/src/store/own-hosts.ts'

const OWN_HOSTS = ownHostsOf('blog.example, *.blog.example')

const REFERRERS = readFileSync(new URL('./referrers.tsv', import.meta.url), 'utf8')
  .split('\n')
  .filter(line => line !== '' && !line.startsWith('#'))
  .map(line => {
    const [source, channel, , referer, url] = line.split('\t').map(field => (field === '-' ? null : field))
    return { line, source: source!, channel: channel!, referer: referer!, url: url! }
  })

test('at least 98 of 100 referers are told their source and channel', t => {
  const wrong = REFERRERS.filter(({ source, channel, referer, url }) => {
    const origin = originOf(referer, utmOf(url), host => isOwnHost(OWN_HOSTS, host))
    return origin.source !== source || origin.channel !== channel
  })
  t.diagnostic(`${REFERRERS.length - wrong.length} of ${REFERRERS.length} right`)
  for (const { line, referer, url } of wrong) {
    const { source, channel } = originOf(referer, utmOf(url), host => isOwnHost(OWN_HOSTS, host))
    t.diagnostic(`wrong: ${line}: ${source}, ${channel}`)
  }
  assert.ok(REFERRERS.length >= 200)
  assert.ok(wrong.length <= REFERRERS.length / 50, `${wrong.length} of ${REFERRERS.length}`)
})
