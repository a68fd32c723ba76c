import { isIPv4 } from 'node:net'
import { canonicalIp } from './view.ts'

/** An address, or all addresses that begin with the same bits. */
export interface Network {
  /** In its one canonical spelling. */
  address: string
  /** How many bits of the address are the network's. */
  length: number
}

/** Reads `10.0.0.1`, `::1`, `10.0.0.0/8` and `fd00::/8`; undefined for any other text. */
export function networkOf(text: string): Network | undefined {
  const [, written = '', prefix] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const address = canonicalIp(written)
  if (address === undefined) return undefined
  const bits = familyOf(written) === 'ipv4' ? 32 : 128
  // An IPv4 address that is written as IPv6 begins with 96 bits that are no part of it.
  const ahead = bits === 128 && isIPv4(address) ? 96 : 0
  const length = Number(prefix ?? bits) - ahead
  return length < 0 || length > bits - ahead ? undefined : { address, length }
}

export function familyOf(address: string): 'ipv4' | 'ipv6' {
  return address.includes(':') ? 'ipv6' : 'ipv4'
}
