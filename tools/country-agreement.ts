/**
 * `npx node tools/country-agreement.ts [FILE]`: how often our country database (or FILE) and databases of other origin name the
 * same country. It installs the others from npm, in a temporary folder. Run it by hand before another file replaces ours.
 *
 * No database is the truth. If they agree less than decision 32 says, one of them is damaged or old.
 */

import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Countries, openCountries } from '../packages/analytics/src/derive/countries.ts'
import { Random } from './life/random.ts'

/** npm has one version of each: a new one replaces it. */
const OTHERS = [
  // From the registries' whois and from what providers publish. It has AU for large IPv6 networks all over Asia.
  { name: 'geo-whois-asn-country', version: '2.3.2026061719' },
  // Where networks are registered, not where they are used.
  { name: 'iptoasn-country', version: '2.3.2026061719' },
]

const ADDRESSES = 10_000

/** The first 16 bits of the IPv6 addresses that the regional registries allocate, as first and last. */
const IPV6_BLOCKS = [
  [0x2001, 0x2001],
  [0x2003, 0x2003],
  [0x2400, 0x240f],
  [0x2600, 0x260f],
  [0x2800, 0x280f],
  [0x2a00, 0x2a1f],
  [0x2c00, 0x2c0f],
] as const

const random = new Random('countries')
const ours = openCountries(process.argv[2])
console.log(`${process.argv[2] ?? 'ours'}, of ${ours.version}`)
const folder = await mkdtemp(join(tmpdir(), 'postviews-countries-'))
try {
  for (const { name, version } of OTHERS) {
    const spec = `@ip-location-db/${name}-mmdb@${version}`
    await promisify(execFile)('npm', ['install', '--ignore-scripts', '--prefix', folder, spec])
    const path = join(folder, 'node_modules', '@ip-location-db', `${name}-mmdb`, `${name}.mmdb`)
    compare(name, openCountries(path))
  }
} finally {
  await rm(folder, { recursive: true })
}

function compare(name: string, theirs: Countries): void {
  console.log(`\n${name}, of ${theirs.version}`)
  for (const [family, draw] of [
    ['IPv4', drawIpv4],
    ['IPv6', drawIpv6],
  ] as const) {
    let [agreed, unknown] = [0, 0]
    const pairs = new Map<string, number>()
    for (let known = 0; known < ADDRESSES; ) {
      const address = draw()
      const [our, their] = [ours.countryOf(address), theirs.countryOf(address)]
      // DB-IP has a country for networks that nobody has been given. What the other does not know counts as such a network.
      if (their === null) continue
      known++
      if (our === their) agreed++
      else if (our === null) unknown++
      else pairs.set(`${our}/${their}`, (pairs.get(`${our}/${their}`) ?? 0) + 1)
    }
    const often = [...pairs].toSorted(([, a], [, b]) => b - a).slice(0, 5)
    const differences = often.map(([pair, count]) => `${pair} ${count}`).join(', ')
    console.log(
      `  ${family}: of ${ADDRESSES} addresses it knows, ${agreed} agree, ${unknown} are unknown here`,
    )
    console.log(`  most differences: ${differences}`)
  }
}

function drawIpv4(): string {
  return [1 + random.below(223), random.below(256), random.below(256), random.below(256)].join('.')
}

function drawIpv6(): string {
  const [first, last] = random.pick(IPV6_BLOCKS, ([first, last]) => last - first + 1)
  const groups = [first + random.below(last - first + 1)]
  while (groups.length < 8) groups.push(random.below(0x10000))
  return groups.map(group => group.toString(16)).join(':')
}
