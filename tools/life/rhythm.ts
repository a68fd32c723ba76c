/** When people read, and how much a post attracts them over time. */

import { ZONES, type Zone } from './places.ts'

export interface SimulatedPost {
  id: string
  slug: string
  publishedAt: Date
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** Activity by hour of the reader's day, with peaks at breakfast, at lunch and in the evening. */
const WORKDAY = [
  0.25, 0.14, 0.09, 0.07, 0.08, 0.16, 0.42, 0.86, 1.05, 1.1, 1.08, 1.1, 1.32, 1.22, 1.06, 1.02, 1.04, 1.1,
  1.16, 1.28, 1.45, 1.4, 1.02, 0.55,
]
const WEEKEND = [
  0.34, 0.22, 0.14, 0.09, 0.07, 0.09, 0.18, 0.4, 0.74, 1.02, 1.12, 1.04, 0.92, 0.84, 0.82, 0.82, 0.84, 0.86,
  0.9, 1, 1.06, 0.98, 0.8, 0.52,
]
/** Starting with Sunday. */
const WEEKDAYS = [0.86, 1.08, 1.12, 1.1, 1.06, 0.94, 0.72]

/** About 0.75 on average over a week. */
export function activity({ offsetHours }: Zone, atMs: number): number {
  const local = new Date(atMs + offsetHours * HOUR_MS)
  const weekday = local.getUTCDay()
  const hours = weekday === 0 || weekday === 6 ? WEEKEND : WORKDAY
  const hour = local.getUTCHours()
  const part = local.getUTCMinutes() / 60
  return WEEKDAYS[weekday]! * (hours[hour]! * (1 - part) + hours[(hour + 1) % 24]! * part)
}

const WEIGHTS = new Map(ZONES.map(zone => [zone, zone.places.reduce((sum, { weight }) => sum + weight, 0)]))
const WHOLE = WEIGHTS.values().reduce((sum, weight) => sum + weight, 0)

/** The share of all readers who are in a zone. */
export function shareOf(zone: Zone): number {
  return WEIGHTS.get(zone)! / WHOLE
}

/** Of all zones together, by their shares. */
export function siteActivity(atMs: number): number {
  return ZONES.reduce((sum, zone) => sum + shareOf(zone) * activity(zone, atMs), 0)
}

/** 0 before publication; then high for some days, lower for some weeks, and a small constant for ever. */
export function freshness({ publishedAt }: SimulatedPost, atMs: number): number {
  const ageDays = (atMs - publishedAt.getTime()) / DAY_MS
  if (ageDays < 0) return 0
  return 0.14 + 4 * Math.exp(-ageDays / 2.4) + 0.9 * Math.exp(-ageDays / 16)
}

/** Zipf's law, where the second post is read half as often as the first; a little flatter, because nobody here is famous. */
export function popularity(rank: number): number {
  return 1 / (rank + 1) ** 0.75
}
