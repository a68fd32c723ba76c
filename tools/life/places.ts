/** Where readers are, and the addresses that they have there. */

export interface Place {
  /** ISO 3166 code. */
  country: string
  /** Weight among all readers. */
  weight: number
  /** The first half of IPv4 addresses, the first 32 bits of IPv6 addresses: networks of providers who serve one country. */
  networks: readonly string[]
}

export interface Zone {
  /** Offset from UTC. Daylight saving time is left out. */
  offsetHours: number
  places: readonly Place[]
}

type Row = readonly [country: string, weight: number, networks: string]

function zone(offsetHours: number, ...rows: Row[]): Zone {
  const places = rows.map(([country, weight, networks]) => ({
    country,
    weight,
    networks: networks.split(' '),
  }))
  return { offsetHours, places }
}

/** test/life.test.ts checks all networks against the country database that comes with the service. */
export const ZONES: readonly Zone[] = [
  zone(-8, ['US', 7, '73.5 98.192 2601:640']),
  zone(-6, ['MX', 1, '189.130 187.130 2806:2f0']),
  zone(
    -5,
    ['US', 13, '73.2 71.162 174.50 2600:1700'],
    ['CA', 3, '99.226 70.50 2607:fea8'],
    ['CO', 0.5, '181.50'],
  ),
  zone(-3, ['BR', 2, '177.34 189.4 2804:14c'], ['AR', 0.8, '190.17 186.125'], ['CL', 0.5, '190.161']),
  zone(
    0,
    ['GB', 9, '86.130 81.98 90.194 2a00:23c4'],
    ['IE', 1.5, '86.42 2a02:8084'],
    ['PT', 1.5, '85.241 2001:8a0'],
    ['NG', 0.8, '105.112'],
  ),
  zone(
    1,
    ['PL', 13, '83.8 83.20 178.42 79.186 2a02:a310'],
    ['DE', 11, '91.10 84.150 93.210 2003:c0'],
    ['FR', 5, '90.2 82.66 2a01:cb00'],
    ['NL', 4, '84.82 77.162 2001:1c04'],
    ['IT', 3, '79.10 151.20'],
    ['ES', 3, '83.36 88.2'],
    ['CZ', 2.5, '90.178 85.70 2a00:1028'],
    ['SE', 2, '81.226 90.228 2001:2042'],
    ['AT', 1.5, '84.113 77.118 2a02:8388'],
    ['CH', 1.5, '178.194 85.2 2a02:1210'],
    ['DK', 1, '87.50 83.90'],
    ['NO', 1, '84.210 2a01:79c'],
  ),
  zone(
    2,
    ['UA', 2, '93.74 37.54'],
    ['FI', 1.5, '91.154 2001:14ba'],
    ['RO', 1.5, '86.122 2a02:2f00'],
    ['GR', 1, '79.130 2a02:587'],
    ['ZA', 1, '105.185 41.146'],
    ['IL', 0.5, '84.228'],
    ['EG', 0.5, '41.34'],
  ),
  zone(3, ['TR', 1, '88.230 78.165'], ['KE', 0.5, '105.161']),
  zone(5.5, ['IN', 5, '117.195 59.90 2401:4900 2409:4070']),
  zone(7, ['VN', 0.6, '14.165 2402:800'], ['ID', 1, '36.70']),
  zone(8, ['SG', 0.7, '116.14'], ['PH', 0.6, '112.200'], ['TW', 0.7, '61.220 2001:b011']),
  zone(9, ['JP', 2.2, '126.3 60.65 240d:1a'], ['KR', 0.8, '121.130']),
  zone(11, ['AU', 1.5, '1.121 101.162 2001:8003'], ['NZ', 0.5, '125.237']),
]
