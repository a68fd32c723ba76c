/** The readers: regulars who come back from the same address with the same browser, and passers-by. */

import { BROWSERS } from './agents.ts'
import { ZONES, type Zone } from './places.ts'
import type { Random } from './random.ts'
import { activity, shareOf } from './rhythm.ts'

export interface Reader {
  kind: 'regular' | 'passer-by'
  ip: string
  agent: string
  /** Null: not signed in. */
  userId: number | null
}

const REGULARS = 1_400
const REGULAR_SHARE = 0.56
const SIGNED_IN_SHARE = 0.54
const FIRST_USER_ID = 1_000

/** The same seed gives the same readers. */
export class Crowd {
  readonly #random: Random
  readonly #regulars = new Map<Zone, Reader[]>(ZONES.map(zone => [zone, []]))

  constructor(random: Random) {
    this.#random = random
    for (let number = 0; number < REGULARS; number++) {
      const userId = random.chance(SIGNED_IN_SHARE) ? FIRST_USER_ID + number : null
      const zone = random.pick(ZONES, shareOf)
      this.#regulars.get(zone)!.push({ ...this.#passerBy(zone), kind: 'regular', userId })
    }
  }

  /** A reader who is probably awake at that time. */
  someone(atMs: number): Reader {
    const random = this.#random
    const zone = this.#zoneAt(atMs)
    if (!random.chance(REGULAR_SHARE)) return this.#passerBy(zone)
    const regulars = this.#regulars.get(zone)!
    // A few come every day, most of them once in a while.
    return regulars[Math.floor(regulars.length * random.fraction() ** 1.8)] ?? this.#passerBy(zone)
  }

  passerBy(atMs: number): Reader {
    return this.#passerBy(this.#zoneAt(atMs))
  }

  #zoneAt(atMs: number): Zone {
    return this.#random.pick(ZONES, zone => shareOf(zone) * activity(zone, atMs))
  }

  #passerBy(zone: Zone): Reader {
    const random = this.#random
    const { networks } = random.pick(zone.places, ({ weight }) => weight)
    const [, agent] = random.pick(BROWSERS, ([weight]) => weight)
    return { kind: 'passer-by', ip: addressIn(random.pick(networks), random), agent, userId: null }
  }
}

/** @param network the first half of an IPv4 address or three quarters of it, or the first two groups of an IPv6 address */
export function addressIn(network: string, random: Random): string {
  if (network.includes(':')) {
    const group = () => (1 + random.below(65_535)).toString(16)
    return `${network}:${group()}:${group()}::${group()}`
  }
  const third = network.split('.').length === 2 ? `.${random.below(256)}` : ''
  return `${network}${third}.${1 + random.below(254)}`
}
