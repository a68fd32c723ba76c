/** Views by the site's own people, as EXCLUDE_USERS and EXCLUDE_NETWORKS name them: they are kept nowhere. */

import { BlockList, isIPv4 } from 'node:net'
import type { View } from '@postviews/client/src/index.ts'
import { familyOf, type Network, networkOf } from '@postviews/client/src/network.ts'
import { isUserId } from '@postviews/client/src/view.ts'

export class OwnViews {
  /** Ids, as decimal digits. */
  readonly users: ReadonlySet<string>
  readonly networks: readonly Network[]
  // Node also finds IPv4 addresses in IPv6 networks around ::ffff:0:0/96, such as ::/8. So each kind has a list of its own.
  readonly #lists = { ipv4: new BlockList(), ipv6: new BlockList() }

  constructor(users: ReadonlySet<string>, networks: readonly Network[]) {
    this.users = users
    this.networks = networks
    for (const { address, length } of networks) {
      const family = familyOf(address)
      this.#lists[family].addSubnet(address, length, family)
    }
  }

  has({ userId, ip }: Pick<View, 'userId' | 'ip'>): boolean {
    if (userId !== null && this.users.has(userId)) return true
    // A check takes a microsecond.
    if (ip === null || this.networks.length === 0) return false
    const family = familyOf(ip)
    return this.#lists[family].check(ip, family)
  }
}

/** @throws {Error} which completes "NAME: VALUE …" */
export function usersOf(text: string): ReadonlySet<string> {
  const users = listOf(text)
  const wrong = users.find(id => !isUserId(id))
  if (wrong !== undefined) {
    throw new Error(
      `names ${wrong}, which is not a user id: ids are whole numbers from 1 to 18446744073709551615`,
    )
  }
  return new Set(users)
}

/** @throws {Error} which completes "NAME: VALUE …" */
export function networksOf(text: string): Network[] {
  return listOf(text).map(entry => {
    const network = networkOf(entry)
    if (network === undefined)
      throw new Error(`names ${entry}, which is not a network such as 203.0.113.0/24 or 2001:db8::/48`)
    if (network.length === 0)
      throw new Error(
        `names ${entry}, which holds all ${isIPv4(network.address) ? 'IPv4' : 'IPv6'} addresses`,
      )
    return network
  })
}

function listOf(text: string): string[] {
  return text
    .split(',')
    .map(part => part.trim())
    .filter(part => part !== '')
}
