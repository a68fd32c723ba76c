/** Networks whose addresses are in no country: private, reserved and documentation ones, tunnels, multicast. */

import { BlockList } from 'node:net'
import { familyOf, networkOf } from '@postviews/client/src/network.ts'

/** From IANA's registries of special-purpose addresses (RFC 6890) and of multicast, as of 2026. */
const NETWORKS = [
  '0.0.0.0/8', // this network
  '10.0.0.0/8', // private
  '100.64.0.0/10', // between a provider and its customers (CGNAT)
  '127.0.0.0/8', // loopback
  '169.254.0.0/16', // link-local
  '172.16.0.0/12', // private
  '192.0.0.0/24', // protocol assignments
  '192.0.2.0/24', // documentation
  '192.31.196.0/24', // AS112
  '192.52.193.0/24', // AMT
  '192.88.99.0/24', // relays of 6to4
  '192.168.0.0/16', // private
  '192.175.48.0/24', // AS112
  '198.18.0.0/15', // benchmarks
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, broadcast

  // Global unicast addresses begin with the bits 001. All others: loopback, IPv4 within IPv6, NAT64, discard, SRv6, unique local,
  // link-local, multicast, and what nobody has allocated.
  '::/3',
  '4000::/2',
  '8000::/1',
  '2001::/23', // protocol assignments: Teredo, benchmarks, AMT, AS112, ORCHID, DRIP
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4
  '2620:4f:8000::/48', // AS112
  '3ffe::/16', // 6bone, given back
  '3fff::/20', // documentation
]

// Node also finds IPv4 addresses in IPv6 networks around ::ffff:0:0/96, such as ::/3. So each kind has a list of its own.
const LISTS = { ipv4: new BlockList(), ipv6: new BlockList() }
for (const { address, length } of NETWORKS.map(text => networkOf(text)!)) {
  const family = familyOf(address)
  LISTS[family].addSubnet(address, length, family)
}

/** A check takes less than half a microsecond. */
export function isSpecial(address: string): boolean {
  const family = familyOf(address)
  return LISTS[family].check(address, family)
}
