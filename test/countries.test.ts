/** How well countries are told, on a list of addresses whose labels are our own: `test/addresses.tsv`. */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { openCountries } from '../packages/analytics/src/derive/countries.ts'

const ADDRESSES = readFileSync(new URL('./addresses.tsv', import.meta.url), 'utf8')
  .split('\n')
  .filter(line => line !== '' && !line.startsWith('#'))
  .map(line => {
    const [ip, country, holder] = line.split('\t')
    return { ip: ip!, country: country!, holder: holder! }
  })

const countries = openCountries()

function judged(t: TestContext, isOneOfThem: (ip: string) => boolean) {
  const all = ADDRESSES.filter(({ ip }) => isOneOfThem(ip))
  const wrong = all.filter(({ ip, country }) => countries.countryOf(ip) !== country)
  t.diagnostic(`${all.length - wrong.length} of ${all.length} right`)
  for (const { ip, country, holder } of wrong)
    t.diagnostic(`wrong: ${ip}, ${holder}: ${countries.countryOf(ip)} instead of ${country}`)
  return { all: all.length, wrong: wrong.length }
}

test('at most 1 of 50 IPv4 addresses is placed in another country, or in none', t => {
  const { all, wrong } = judged(t, ip => !ip.includes(':'))
  assert.ok(all >= 200)
  assert.ok(wrong <= all / 50, `${wrong} of ${all}`)
})

test('at most 1 of 50 IPv6 addresses is placed in another country, or in none', t => {
  const { all, wrong } = judged(t, ip => ip.includes(':'))
  assert.ok(all >= 80)
  assert.ok(wrong <= all / 50, `${wrong} of ${all}`)
})
