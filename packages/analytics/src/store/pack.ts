/** The breakdowns of one place (a post or the site) on one day, packed as one text: each value of each dimension with its views. */

import type { DimensionName } from '@postviews/client/src/figures.ts'
import { type Bound, NO_VALUE, REMAINDER } from './bounds.ts'

/** `bots`: how many views were by bots, whether these are among the views or excluded; null if unknown. */
export interface Views {
  views: number
  bots: number | null
}

/** The views of each value of one dimension. */
export class Breakdown {
  readonly values = new Map<string, Views>()
  /** The views of all values that are not kept; null if every value is kept. */
  others: Views | null = null
  #bytes = 0

  /**
   * Adds views to a value. A new value is kept only if there is room and no value was ever left out: otherwise some of its views
   * may already be in `others`.
   */
  add(value: string, added: Views, bound: Bound): void {
    const views = this.values.get(value)
    if (views !== undefined) addViews(views, added)
    else if (value === NO_VALUE || (this.others === null && this.#hasRoom(value, bound)))
      this.set(value, added)
    else this.addToOthers(added)
  }

  #hasRoom(value: string, { values, bytes }: Bound): boolean {
    return this.#kept < values && this.#bytes + Buffer.byteLength(value) <= bytes
  }

  /** How many values are kept, not counting `NO_VALUE`. */
  get #kept(): number {
    return this.values.size - Number(this.values.has(NO_VALUE))
  }

  set(value: string, { views, bots }: Views): void {
    if (!this.values.has(value)) this.#bytes += Buffer.byteLength(value)
    this.values.set(value, { views, bots })
  }

  addToOthers(added: Views): void {
    this.others ??= { views: 0, bots: 0 }
    addViews(this.others, added)
  }

  /** Every value, and the others under `REMAINDER`. */
  *entries(): Generator<[string, Views]> {
    yield* this.values
    if (this.others !== null) yield [REMAINDER, this.others]
  }

  merge(other: Breakdown, bound: Bound): void {
    for (const [value, views] of other.values) this.add(value, views, bound)
    if (other.others !== null) this.addToOthers(other.others)
  }

  /** Keeps the values with the most views, and adds up the others. Returns whether there were any others. */
  cutTo(bound: Bound): boolean {
    if (this.#kept <= bound.values && this.#bytes <= bound.bytes) return false
    const sorted = [...this.values].filter(([value]) => value !== NO_VALUE).sort(byViews)
    const none = this.values.get(NO_VALUE)
    this.values.clear()
    this.#bytes = 0
    if (none !== undefined) this.set(NO_VALUE, none)
    for (const [value, views] of sorted) {
      if (this.#hasRoom(value, bound)) this.set(value, views)
      else this.addToOthers(views)
    }
    return true
  }
}

/** Most views first, then by value. */
export function byViews([a, { views: ofA }]: [string, Views], [b, { views: ofB }]: [string, Views]): number {
  return ofB - ofA || (a < b ? -1 : 1)
}

export function addViews(sum: Views, { views, bots }: Views): void {
  sum.views += views
  sum.bots = sum.bots === null || bots === null ? null : sum.bots + bots
}

/** Views without bots are a plain number, because they are by far the most common. */
type Packed = number | [views: number, bots: number | null]

interface PackedBreakdown {
  values: Record<string, Packed>
  others?: Packed
}

export class Pack {
  readonly breakdowns = new Map<DimensionName, Breakdown>()

  /** @param text as `toString` makes it; undefined: nothing was counted yet */
  static parse(text?: string): Pack {
    const pack = new Pack()
    if (text === undefined) return pack
    for (const [name, { values, others }] of Object.entries(
      JSON.parse(text) as Record<string, PackedBreakdown>,
    )) {
      const breakdown = pack.of(name as DimensionName)
      for (const value of Object.keys(values)) breakdown.set(value, unpacked(values[value]!))
      if (others !== undefined) breakdown.others = unpacked(others)
    }
    return pack
  }

  of(name: DimensionName): Breakdown {
    let breakdown = this.breakdowns.get(name)
    if (breakdown === undefined) {
      breakdown = new Breakdown()
      this.breakdowns.set(name, breakdown)
    }
    return breakdown
  }

  get isEmpty(): boolean {
    return [...this.breakdowns.values()].every(({ values, others }) => values.size === 0 && others === null)
  }

  /** Whether values were left out. */
  get hasOthers(): boolean {
    return [...this.breakdowns.values()].some(({ others }) => others !== null)
  }

  merge(other: Pack, bound: Bound): void {
    for (const [name, breakdown] of other.breakdowns) this.of(name).merge(breakdown, bound)
  }

  /** Returns whether anything was cut. */
  cutTo(bound: Bound): boolean {
    return [...this.breakdowns.values()].map(breakdown => breakdown.cutTo(bound)).includes(true)
  }

  toString(): string {
    const packed = [...this.breakdowns].map(([name, { values, others }]): [string, PackedBreakdown] => {
      // Values without views are left out, unless they have bots that are excluded from the views.
      const some = [...values].filter(([, { views, bots }]) => views !== 0 || bots !== 0)
      return [
        name,
        {
          values: Object.fromEntries(some.map(([value, views]) => [value, packedViews(views)])),
          ...(others !== null && { others: packedViews(others) }),
        },
      ]
    })
    return JSON.stringify(Object.fromEntries(packed))
  }
}

function packedViews({ views, bots }: Views): Packed {
  return bots === 0 ? views : [views, bots]
}

function unpacked(packed: Packed): Views {
  return typeof packed === 'number' ? { views: packed, bots: 0 } : { views: packed[0], bots: packed[1] }
}
