/** Writes small databases in MaxMind's format, as its specification says. */

import { isIPv4 } from 'node:net'

type Value = string | number | { [key: string]: Value }

/** What the record of each network is; a network is `203.0.0.0/8` or `2001:4::/32`. */
export type Networks = Record<string, Value>

/** Records of 24 bits: two to a node. */
const NODE_BYTES = 6

/**
 * @param metadata in place of an IPv6 database of the type Test-Country, built on 2026-02-03
 */
export function countryFile(networks: Networks, metadata: Record<string, Value> = {}): Buffer {
  const about = { database_type: 'Test-Country', ip_version: 6, build_epoch: 1_770_076_800, ...metadata }
  const nodes: (number | { record: number } | null)[][] = [[null, null]]
  const records: Buffer[] = []
  for (const [network, value] of Object.entries(networks)) {
    const [address = '', length] = network.split('/')
    const bits = bitsOf(address, about.ip_version === 4).slice(0, Number(length) + offsetOf(address, about))
    let node = 0
    for (const bit of bits.slice(0, -1)) {
      if (typeof nodes[node]![bit] !== 'number') nodes[node]![bit] = nodes.push([null, null]) - 1
      node = nodes[node]![bit] as number
    }
    nodes[node]![bits.at(-1)!] = { record: Buffer.concat(records).length }
    records.push(encoded(value))
  }

  const tree = Buffer.alloc(nodes.length * NODE_BYTES)
  for (const [at, sides] of nodes.entries())
    for (const [side, to] of sides.entries()) {
      const value = to === null ? nodes.length : typeof to === 'number' ? to : nodes.length + 16 + to.record
      tree.writeUIntBE(value, at * NODE_BYTES + side * 3, 3)
    }
  const description = encoded({ node_count: nodes.length, record_size: 24, ...about })
  const marker = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1')
  return Buffer.concat([tree, Buffer.alloc(16), ...records, marker, description])
}

/** In an IPv6 tree, IPv4 addresses are those that begin with 96 zeros. */
function offsetOf(address: string, { ip_version }: { ip_version: Value }): number {
  return isIPv4(address) && ip_version === 6 ? 96 : 0
}

function bitsOf(address: string, isIpv4Tree: boolean): number[] {
  const bits = (value: number, count: number) => [...value.toString(2).padStart(count, '0')].map(Number)
  if (isIPv4(address)) {
    const own = address.split('.').flatMap(part => bits(Number(part), 8))
    return isIpv4Tree ? own : [...Array<number>(96).fill(0), ...own]
  }
  const [before = '', after = ''] = address.split('::')
  const groups = (text: string) =>
    text === '' ? [] : text.split(':').map(group => Number.parseInt(group, 16))
  const zeros = Array<number>(8 - groups(before).length - groups(after).length).fill(0)
  return [...groups(before), ...zeros, ...groups(after)].flatMap(group => bits(group, 16))
}

/** A control byte (three bits of type, five of size) and the value. */
function encoded(value: Value): Buffer {
  if (typeof value === 'string')
    return Buffer.concat([Buffer.from([(2 << 5) | value.length]), Buffer.from(value)])
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(5, (6 << 5) | 4)
    bytes.writeUInt32BE(value, 1)
    return bytes
  }
  const fields = Object.entries(value)
  return Buffer.concat([
    Buffer.from([(7 << 5) | fields.length]),
    ...fields.flatMap(pair => pair.map(encoded)),
  ])
}
