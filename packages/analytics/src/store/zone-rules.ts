/**
 * Time zone rules: what a zone's clocks show, and when that changes. Governments change them at a few weeks' notice. So they come
 * from a package that follows each release of the IANA database within days, never from Node, whose own data may be months
 * behind. See decisions/0015-zone-rules.md.
 */

import packed from 'moment-timezone/data/packed/latest.json' with { type: 'json' }

/** From `from` on (Unix seconds; -Infinity for the first), local time is UTC plus `offset` seconds. */
export interface OffsetChange {
  from: number
  offset: number
}

export interface Zone {
  /** In its own spelling. An alias keeps its name. */
  name: string
  /** Oldest first; each holds until the next. */
  changes: readonly OffsetChange[]
}

/** The rules of all zones, as one release of the data has them. */
export interface ZoneRules {
  /** Who packed the data. */
  source: string
  /** The IANA release, `2026f`. Later ones compare as greater. */
  release: string
  /** Unix seconds: the data do not cover later moments. */
  until: number
  /** From a name in any letter case; null where there is no such zone. */
  zone(name: string): Zone | null
}

/** A table of `name|abbreviations|offsets|order of these|minutes between changes|population`, and aliases of it. */
export interface PackedRules {
  version: string
  zones: string[]
  /** `name|alias` */
  links: string[]
}

export const NEWEST_RULES: ZoneRules = unpack(packed, 'moment-timezone')

export function unpack({ version, zones, links }: PackedRules, source: string): ZoneRules {
  const packedOf = new Map(zones.map(text => [text.slice(0, text.indexOf('|')), text]))
  const byLowerCase = new Map(zones.map(text => [nameIn(text).toLowerCase(), { name: nameIn(text), text }]))
  for (const link of links) {
    const [target, alias] = link.split('|') as [string, string]
    byLowerCase.set(alias.toLowerCase(), { name: alias, text: packedOf.get(target)! })
  }
  const unpackedZones = new Map<string, Zone>()
  return {
    source,
    release: version,
    until: Date.UTC(2038, 0, 1) / 1_000,
    zone(text) {
      const found = byLowerCase.get(text.toLowerCase())
      if (found === undefined) return null
      const { name } = found
      const zone = unpackedZones.get(name) ?? { name, changes: changesIn(found.text) }
      unpackedZones.set(name, zone)
      return zone
    },
  }
}

function nameIn(text: string): string {
  return text.slice(0, text.indexOf('|'))
}

function changesIn(text: string): OffsetChange[] {
  const [, , offsets, order, gaps] = text.split('|') as [string, string, string, string, string]
  // The packed offsets are minutes west of Greenwich.
  const seconds = offsets.split(' ').map(offset => -base60(offset) || 0)
  const changes = [{ from: -Infinity, offset: seconds[base60Digit(order.charCodeAt(0))]! }]
  let from = 0
  for (const [index, gap] of (gaps === '' ? [] : gaps.split(' ')).entries()) {
    from += base60(gap)
    const offset = seconds[base60Digit(order.charCodeAt(index + 1))]!
    // A change of only the abbreviation does not count.
    if (offset !== changes.at(-1)!.offset) changes.push({ from, offset })
  }
  return changes
}

/** Converts minutes in base 60, with 60ths of a minute after the point, to seconds. */
function base60(text: string): number {
  const [whole, fraction = '0'] = text.replace('-', '').split('.') as [string, string?]
  const minutes = [...whole].reduce((sum, digit) => sum * 60 + base60Digit(digit.charCodeAt(0)), 0)
  const seconds = minutes * 60 + base60Digit(fraction.charCodeAt(0))
  return text.startsWith('-') ? -seconds : seconds
}

// 0 to 9, a to z, A to X.
function base60Digit(code: number): number {
  return code > 96 ? code - 87 : code > 64 ? code - 29 : code - 48
}

/** Whether the first release is the newer one. */
export function isNewer(release: string, other: string): boolean {
  return release > other
}

/** An IANA time zone in its own spelling, from a name in any letter case; null where there is none. An alias stays one. */
export function timeZoneNamed(name: string, rules = NEWEST_RULES): string | null {
  return rules.zone(name)?.name ?? null
}

/** Whether two names mean the same zone, like `Asia/Calcutta` and `Asia/Kolkata`: their clocks have always agreed. */
export function isSameTimeZone(one: string, other: string, rules = NEWEST_RULES): boolean {
  if (one === other) return true
  const [zone, otherZone] = [rules.zone(one), rules.zone(other)]
  return zone !== null && otherZone !== null && firstDifference(zone.changes, otherZone.changes) === null
}

/** The index of the change in force at the moment: the last one that is not later. */
export function changeAt(changes: readonly OffsetChange[], unixSeconds: number): number {
  let [low, high] = [0, changes.length - 1]
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (changes[middle]!.from <= unixSeconds) low = middle
    else high = middle - 1
  }
  return low
}

interface Stretch {
  from?: number
  until?: number
}

/** The first moment, from `from` on and before `until`, at which the clocks of the two differ; null when none does. */
export function firstDifference(
  one: readonly OffsetChange[],
  other: readonly OffsetChange[],
  stretch: Stretch = {},
): number | null {
  return firstMoment(one, other, stretch, (offset, otherOffset) => offset !== otherOffset)
}

/** The first moment at which they agree. */
export function firstAgreement(
  one: readonly OffsetChange[],
  other: readonly OffsetChange[],
  stretch: Stretch = {},
): number | null {
  return firstMoment(one, other, stretch, (offset, otherOffset) => offset === otherOffset)
}

function firstMoment(
  one: readonly OffsetChange[],
  other: readonly OffsetChange[],
  { from = -Infinity, until = Infinity }: Stretch,
  isIt: (offset: number, otherOffset: number) => boolean,
): number | null {
  let [index, otherIndex] = [changeAt(one, from), changeAt(other, from)]
  let moment = from
  while (moment < until) {
    if (isIt(one[index]!.offset, other[otherIndex]!.offset)) return moment
    const [next, otherNext] = [one[index + 1]?.from ?? Infinity, other[otherIndex + 1]?.from ?? Infinity]
    moment = Math.min(next, otherNext)
    if (next === moment) index++
    if (otherNext === moment) otherIndex++
  }
  return null
}

// No clock was ever further from UTC: Manila and Alaska were some 15 hours away before they moved across the date line.
const FURTHEST_SECONDS = 16 * 3_600

/**
 * The first instant, in Unix seconds, at which the clocks show this time, or a later time if they skip it.
 *
 * @param localSeconds the local time as Unix seconds, as if it were UTC
 */
export function firstInstantOf(changes: readonly OffsetChange[], localSeconds: number): number {
  const { instant, skipped } = reachOf(changes, localSeconds)
  return skipped === null ? instant : skipped
}

/**
 * The instant, in Unix seconds, at which the clocks of the zone show this time: the earlier one if they show it twice. A time
 * that they skip is read with the offset before the change: a skipped 02:30 is the moment when they show 03:30, if they skip an
 * hour. Undefined if there is no such zone.
 */
export function zoneTime(timeZone: string, localSeconds: number, rules = NEWEST_RULES): number | undefined {
  const zone = rules.zone(timeZone)
  return zone === null ? undefined : reachOf(zone.changes, localSeconds).instant
}

/** The instant at which the clocks show that time. If they skip it: when they would have shown it, and when they skipped it. */
function reachOf(
  changes: readonly OffsetChange[],
  localSeconds: number,
): { instant: number; skipped: number | null } {
  for (let index = changeAt(changes, localSeconds - FURTHEST_SECONDS); ; index++) {
    const { from, offset } = changes[index]!
    const instant = localSeconds - offset
    if (instant >= (changes[index + 1]?.from ?? Infinity)) continue
    if (instant >= from) return { instant, skipped: null }
    return { instant: localSeconds - changes[index - 1]!.offset, skipped: from }
  }
}
