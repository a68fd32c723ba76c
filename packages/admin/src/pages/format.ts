/** Numbers, days and times as people read them. Unknown is a dash, never a 0. */

import { type StatsZone, zoneDay, zoneTime } from '@postviews/client/src/zone-time.ts'
import type { Sum } from './model.ts'
import type { Day, DayRange } from './question.ts'

export const UNKNOWN = '–'

const whole = new Intl.NumberFormat('en')
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })
const tenth = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 })

export function number(value: number | null): string {
  return value === null ? UNKNOWN : whole.format(value)
}

/** As short as an axis needs it: 1.2K. */
export function shortNumber(value: number): string {
  return compact.format(value)
}

/** `share` from 0 to 1. A tiny share is not shown as 0 %, nor an almost complete one as 100 %. */
export function percent(share: number | null): string {
  if (share === null) return UNKNOWN
  if (share > 0 && share < 0.000_5) return '<0.1 %'
  if (share < 1 && share >= 0.999_5) return '>99.9 %'
  return `${tenth.format(share * 100)} %`
}

/** `3 views`, `1 view`. */
export function some(count: number, noun: string): string {
  return `${number(count)} ${noun}${count === 1 ? '' : 's'}`
}

/** The share of `part` in `part` and `rest`; unknown if either is, or if both are 0. */
export function shareOf(part: Sum, rest: Sum): Sum {
  if (part.value === null || rest.value === null || part.value + rest.value === 0) {
    return { value: null, since: null }
  }
  return { value: part.value / (part.value + rest.value), since: part.since ?? rest.since }
}

/** The share of `part` in `whole`, which it is a part of. */
export function shareIn(part: Sum, whole: Sum): Sum {
  if (part.value === null || whole.value === null || whole.value === 0) return { value: null, since: null }
  return { value: part.value / whole.value, since: part.since ?? whole.since }
}

export interface Change {
  direction: 'up' | 'down' | 'same'
  /** By how much; empty if nothing changed, or if there was nothing before. */
  text: string
}

/** Null if either is unknown, or covers only a part of its days. */
export function changeOf(now: Sum, before: Sum): Change | null {
  if (now.value === null || before.value === null || now.since !== null || before.since !== null) return null
  if (now.value === before.value) return { direction: 'same', text: '' }
  const direction = now.value > before.value ? 'up' : 'down'
  if (before.value === 0) return { direction, text: '' }
  const share = Math.abs(now.value - before.value) / before.value
  return { direction, text: share >= 10 ? `${whole.format(Math.round(share + 1))}-fold` : percent(share) }
}

/** Of shares, in percentage points. */
export function changeOfShare(now: Sum, before: Sum): Change | null {
  if (now.value === null || before.value === null || now.since !== null || before.since !== null) return null
  const points = tenth.format(Math.abs(now.value - before.value) * 100)
  if (points === '0.0') return { direction: 'same', text: '' }
  return { direction: now.value > before.value ? 'up' : 'down', text: `${points} pts` }
}

const dayFormat = new Intl.DateTimeFormat('en-GB', {
  timeZone: 'UTC',
  day: 'numeric',
  month: 'short',
  year: 'numeric',
})
const weekdayFormat = new Intl.DateTimeFormat('en-GB', {
  timeZone: 'UTC',
  weekday: 'short',
  day: 'numeric',
  month: 'short',
  year: 'numeric',
})
const shortDayFormat = new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', day: 'numeric', month: 'short' })

const monthFormat = new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', month: 'short', year: 'numeric' })

/** `21 Nov 2026`. */
export function day(date: Day): string {
  return dayFormat.format(new Date(date))
}

/** `Sat, 21 Nov 2026`. */
export function weekday(date: Day): string {
  return weekdayFormat.format(new Date(date))
}

/** `21 Nov`. */
export function shortDay(date: Day): string {
  return shortDayFormat.format(new Date(date))
}

/** `Nov 2026`. */
export function month(date: Day): string {
  return monthFormat.format(new Date(date))
}

/** `23 Oct – 21 Nov 2026`; for a single day, only that day. */
export function dayRange({ from, to }: DayRange): string {
  if (from === to) return day(to)
  return `${from.slice(0, 4) === to.slice(0, 4) ? shortDay(from) : day(from)} – ${day(to)}`
}

/** `21 Nov 2026, 12:03:05 Europe/Warsaw`. */
export function dayAndTime(iso: string, zone: StatsZone): string {
  return `${zoneDay(iso, zone)}, ${zoneTime(iso, zone)}`
}

/** `+40`, `−12`, `0`. */
export function signed(value: number | null): string {
  if (value === null) return UNKNOWN
  return value < 0 ? `−${whole.format(-value)}` : value > 0 ? `+${whole.format(value)}` : '0'
}

/** `45 s`, `3 min`, `2 h`, `5 days`. */
export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`
  if (seconds < 36 * 3_600) return `${Math.round(seconds / 3_600)} h`
  return some(Math.round(seconds / 86_400), 'day')
}
