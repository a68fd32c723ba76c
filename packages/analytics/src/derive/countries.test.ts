import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { countryFile, type Networks } from '../../../../test/support/country-file.ts'
import { openCountries } from './countries.ts'

const OURS = readFileSync(new URL('../../dbip/country.mmdb', import.meta.url))

function fileOf(t: TestContext, content: Buffer): string {
  const folder = mkdtempSync(join(tmpdir(), 'postviews-countries-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'own.mmdb')
  writeFileSync(path, content)
  return path
}

function opened(t: TestContext, networks: Networks, metadata = {}) {
  return openCountries(fileOf(t, countryFile(networks, metadata)))
}

test('without a path it is the database that comes with us', () => {
  assert.equal(openCountries().version, '2026-06-01')
})

test('reads a database in the form of MaxMind and DB-IP, and tells when it was built', t => {
  const countries = opened(t, {
    '20.0.0.0/8': { country: { iso_code: 'FR' }, registered_country: { iso_code: 'US' } },
    '2400::/12': { continent: { code: 'AS' }, country: { iso_code: 'JP' } },
    '30.0.0.0/8': { registered_country: { iso_code: 'US' } },
  })
  assert.equal(countries.version, '2026-02-03')
  assert.equal(countries.countryOf('20.1.2.3'), 'FR')
  assert.equal(countries.countryOf('2405::1'), 'JP')
  assert.equal(countries.countryOf('30.1.2.3'), null)
  assert.equal(countries.countryOf('40.1.2.3'), null)
})

test('reads an IPv4 address that is written as IPv6', t => {
  const countries = opened(t, { '20.0.0.0/8': { country_code: 'FR' } })
  assert.equal(countries.countryOf('::ffff:20.1.2.3'), 'FR')
  assert.equal(countries.countryOf('::ffff:10.1.2.3'), null)
})

test('a database of IPv4 alone knows no IPv6 address', t => {
  // 2001:: begins with the bits of 32.1.
  const countries = opened(t, { '32.0.0.0/8': { country_code: 'FR' } }, { ip_version: 4 })
  assert.equal(countries.countryOf('32.1.2.3'), 'FR')
  assert.equal(countries.countryOf('2001:4860:4860::8888'), null)
})

for (const code of ['ZZ', 'XX', 'EU', 'AP', 'fr', 'FRA', 'A1', '', 7]) {
  test(`${JSON.stringify(code)} is no country`, t => {
    const countries = opened(t, {
      '20.0.0.0/8': { country_code: code },
      '21.0.0.0/8': { country_code: 'FR' },
    })
    assert.equal(countries.countryOf('20.1.2.3'), null)
    assert.equal(countries.countryOf('21.1.2.3'), 'FR')
  })
}

test('no address, and a text that is none, are in no country', () => {
  const countries = openCountries()
  for (const ip of [null, '', 'unknown', '8.8.8', '8.8.8.8:80', '8.8.8.8, 9.9.9.9'])
    assert.equal(countries.countryOf(ip), null, `${ip}`)
})

/** The first and the last address of each, and the addresses on either side, if those are not special. */
const SPECIAL: readonly (readonly [what: string, first: string, last: string, ...beside: string[]])[] = [
  ['this network', '0.0.0.0', '0.255.255.255', '1.0.0.0'],
  ['private', '10.0.0.0', '10.255.255.255', '9.255.255.255', '11.0.0.0'],
  ['CGNAT', '100.64.0.0', '100.127.255.255', '100.63.255.255', '100.128.0.0'],
  ['loopback', '127.0.0.0', '127.255.255.255', '126.255.255.255', '128.0.0.0'],
  ['link-local', '169.254.0.0', '169.254.255.255', '169.253.255.255', '169.255.0.0'],
  ['private', '172.16.0.0', '172.31.255.255', '172.15.255.255', '172.32.0.0'],
  ['protocol assignments', '192.0.0.0', '192.0.0.255', '192.0.1.0'],
  ['documentation', '192.0.2.0', '192.0.2.255', '192.0.1.255', '192.0.3.0'],
  ['AS112', '192.31.196.0', '192.31.196.255', '192.31.195.255', '192.31.197.0'],
  ['AMT', '192.52.193.0', '192.52.193.255', '192.52.192.255', '192.52.194.0'],
  ['AS112', '192.175.48.0', '192.175.48.255', '192.175.47.255', '192.175.49.0'],
  ['relays of 6to4', '192.88.99.0', '192.88.99.255', '192.88.98.255', '192.88.100.0'],
  ['private', '192.168.0.0', '192.168.255.255', '192.167.255.255', '192.169.0.0'],
  ['benchmarks', '198.18.0.0', '198.19.255.255', '198.17.255.255', '198.20.0.0'],
  ['documentation', '198.51.100.0', '198.51.100.255', '198.51.99.255', '198.51.101.0'],
  ['documentation', '203.0.113.0', '203.0.113.255', '203.0.112.255', '203.0.114.0'],
  ['multicast and reserved', '224.0.0.0', '255.255.255.255', '223.255.255.255'],
  ['loopback and IPv4 within IPv6', '::', '::7f00:1'],
  ['NAT64', '64:ff9b::', '64:ff9b::ffff:ffff'],
  ['discard', '100::', '100::ffff:ffff:ffff:ffff'],
  ['Teredo and other protocols', '2001::', '2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff', '2001:200::'],
  ['documentation', '2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff', '2001:db7::', '2001:db9::'],
  ['6to4', '2002::', '2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '2001:ffff::', '2003::'],
  ['AS112', '2620:4f:8000::', '2620:4f:8000:ffff::1', '2620:4f:7fff::', '2620:4f:8001::'],
  ['6bone', '3ffe::', '3ffe:ffff::1', '3ffd::'],
  ['documentation', '3fff::', '3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff', '3fff:1000::'],
  ['SRv6', '5f00::', '5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['unique local', 'fc00::', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['link-local', 'fe80::', 'febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['multicast', 'ff00::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
]

test('special networks are in no country, whatever the database says, and the addresses beside them are', async t => {
  const everywhere = { country_code: 'FR' }
  const ipv4 = opened(t, { '0.0.0.0/1': everywhere, '128.0.0.0/1': everywhere }, { ip_version: 4 })
  const ipv6 = opened(t, { '::/1': everywhere, '8000::/1': everywhere })
  for (const [what, first, last, ...beside] of SPECIAL) {
    const countries = first.includes(':') ? ipv6 : ipv4
    await t.test(`${what}: ${first} to ${last}`, () => {
      for (const ip of [first, last]) assert.equal(countries.countryOf(ip), null, ip)
      for (const ip of beside) assert.equal(countries.countryOf(ip), 'FR', ip)
    })
  }
})

const DAMAGED = /is damaged, cut short, or no database/

for (const [what, content, problem] of [
  ['is empty', Buffer.alloc(0), DAMAGED],
  ['is a text', Buffer.from('<!doctype html>\n'.repeat(1_000)), DAMAGED],
  ['lacks its end', OURS.subarray(0, -100), DAMAGED],
  ['lacks its second half', OURS.subarray(0, 4_000_000), DAMAGED],
  ['lacks its beginning', OURS.subarray(1_000_000), DAMAGED],
  ['lacks its middle', without(3_000_000, 4_000_000), DAMAGED],
  // Every address would get the country of the record beside its own: nodes and records take six bytes each.
  ['lacks one node', without(6_000_000, 6_000_006), DAMAGED],
  ['has zeros where its records were', withZeros(8_205_646, 8_206_646), DAMAGED],
  ['is compressed', gzipSync(OURS.subarray(0, 100_000)), /is compressed: unpack it with gunzip/],
  [
    'holds no countries',
    countryFile(
      { '20.0.0.0/8': { autonomous_system_number: 3215 }, '2400::/12': { autonomous_system_number: 2497 } },
      { database_type: 'GeoLite2-ASN' },
    ),
    /holds no countries: its type is "GeoLite2-ASN"/,
  ],
] as const) {
  test(`refuses a file that ${what}, by name`, t => {
    const path = fileOf(t, content)
    assert.throws(
      () => openCountries(path),
      ({ message }: Error) => message.startsWith(`GEOIP_DB: ${path} `) && problem.test(message),
    )
  })
}

test('refuses a file that is not there, by name', () => {
  assert.throws(
    () => openCountries('/nowhere/own.mmdb'),
    /^Error: GEOIP_DB: \/nowhere\/own\.mmdb cannot be read: .*; name a country or city database /,
  )
})

test('damage that was not met when opening costs the country, not the view', t => {
  const content = countryFile({ '20.0.0.0/8': { country_code: 'FR' }, '21.5.5.0/24': { country_code: 'DE' } })
  // The type of the second record becomes one that there is not.
  content[content.indexOf('country_code', content.indexOf('FR')) - 2] = 0
  const countries = openCountries(fileOf(t, content))
  assert.equal(countries.countryOf('20.5.5.5'), 'FR')
  assert.equal(countries.countryOf('21.5.5.5'), null)
})

function withZeros(from: number, to: number): Buffer {
  return Buffer.from(OURS).fill(0, from, to)
}

function without(from: number, to: number): Buffer {
  return Buffer.concat([OURS.subarray(0, from), OURS.subarray(to)])
}
