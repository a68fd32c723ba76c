/** Reads the times that publishers, PHP and brokers write, and truncates them to the second. */

/** What `json_encode` makes of a PHP DateTime. */
export interface PhpDateTime {
  /** The wall clock, `YYYY-MM-DD HH:MM:SS.uuuuuu`. */
  date: string
  /** 1: `timezone` is an offset; 2: an abbreviation; 3: an IANA zone. */
  timezone_type: number
  timezone: string
}

/**
 * The Unix time at which the clocks of an IANA zone show `localSeconds`, which is that wall clock read as if it
 * were UTC. The earlier one, if the clocks show it twice. Undefined: there is no such zone. PHP keeps a zone's
 * name as it was typed, so upper and lower case must not matter.
 */
export type ZoneTime = (zone: string, localSeconds: number) => number | undefined

/** Where a view's time was taken from, best first. */
export type TimeSource = 'event' | 'amqp' | 'broker' | 'receipt'

/** When a message was published, as far as it is known. */
export interface MessageTime {
  /** Unix time. */
  seconds: number
  source: Exclude<TimeSource, 'event'>
  /** A better source was present, but its value cannot be a time. */
  isNextBest: boolean
}

/** A time further ahead than this comes from a wrong clock. */
export const CLOCK_MAY_BE_AHEAD_SECONDS = 300
/** An AMQP time before this was never set, or the number is not a time. */
const YEAR_2000 = Date.UTC(2000, 0) / 1_000
const YEAR_2100 = Date.UTC(2100, 0) / 1_000

const MILLISECONDS_FROM = 1e11
const MICROSECONDS_FROM = 1e14
const NANOSECONDS_FROM = 1e17

const DIGITS = /^(\d+)(?:\.\d+)?$/
const DATE_TIME =
  /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(?::(\d{2})(?:[.,]\d+)?)?(?:[Zz]|([+-])(\d{2})(?::?(\d{2}))?)?$/
const PHP_DATE = /^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(?:\.\d+)?$/
const PHP_OFFSET = /^([+-])(\d{2}):(\d{2})(?::(\d{2}))?$/

const HOUR = 3_600

/**
 * PHP's abbreviations, as seconds ahead of UTC: only those that PHP reads as one offset, and that no zone uses
 * today for another. `CST`, `IST`, `PST` and `BST`, say, are left out: each is the time of several countries.
 */
export const PHP_ABBREVIATIONS: ReadonlyMap<string, number> = new Map([
  ...['UTC', 'GMT', 'Z', 'WET'].map((name): [string, number] => [name, 0]),
  ...['WEST', 'CET', 'WAT'].map((name): [string, number] => [name, HOUR]),
  ...['CEST', 'EET', 'CAT', 'SAST'].map((name): [string, number] => [name, 2 * HOUR]),
  ...['EEST', 'MSK', 'EAT'].map((name): [string, number] => [name, 3 * HOUR]),
  ...['AWST', 'HKT'].map((name): [string, number] => [name, 8 * HOUR]),
  ['JST', 9 * HOUR],
  ['ACST', 9.5 * HOUR],
  ['AEST', 10 * HOUR],
  ['ACDT', 10.5 * HOUR],
  ['AEDT', 11 * HOUR],
  ['NZST', 12 * HOUR],
  ['NZDT', 13 * HOUR],
  ['EDT', -4 * HOUR],
  ['EST', -5 * HOUR],
  ['MDT', -6 * HOUR],
  ...['MST', 'PDT'].map((name): [string, number] => [name, -7 * HOUR]),
  ['AKDT', -8 * HOUR],
  ['AKST', -9 * HOUR],
  ['HST', -10 * HOUR],
])

/** These need no zone rules. PHP uses one of these names on most servers. */
const UTC_ZONES = new Set(['UTC', 'GMT', 'ETC/UTC', 'ETC/GMT'])

/** Unix seconds; undefined if it is not a time. */
export function readTime(time: unknown, zoneTime?: ZoneTime): number | undefined {
  if (typeof time === 'string') return DIGITS.test(time) ? readUnixTime(time) : readDateTime(time)
  if (typeof time === 'object' && time !== null)
    return readPhpDateTime(time as Partial<PhpDateTime>, zoneTime)
  return typeof time === 'number' ? readUnixTime(time) : undefined
}

/**
 * Converts a Unix time to seconds. Its size tells the unit: below 10^11 seconds, below 10^14 milliseconds, below 10^17
 * microseconds, else nanoseconds. Undefined if it is not a time.
 */
export function readUnixTime(time: unknown): number | undefined {
  if (typeof time === 'number') return time >= 0 && time < Infinity ? toSeconds(time) : undefined
  // Text is truncated as text: a number cannot hold the digits of nanoseconds, and would round to the next second.
  const digits = DIGITS.exec(typeof time === 'bigint' || typeof time === 'string' ? String(time) : '')?.[1]
  if (digits === undefined) return undefined
  return Number(digits) < NANOSECONDS_FROM ? toSeconds(Number(digits)) : Number(digits.slice(0, -9))
}

/** The publisher's AMQP timestamp, else the broker's own, else `now`, the time of receipt. */
export function readMessageTime(
  { timestamp, headers }: { timestamp?: unknown; headers?: { [name: string]: unknown } | undefined },
  now: number,
): MessageTime {
  const sources = [
    ['amqp', timestamp],
    ['broker', headers?.['timestamp_in_ms']],
  ] as const
  let isNextBest = false
  for (const [source, time] of sources) {
    if (time === undefined || time === null) continue
    const seconds = readUnixTime(time)
    if (seconds !== undefined && seconds >= YEAR_2000 && seconds <= now + CLOCK_MAY_BE_AHEAD_SECONDS)
      return { seconds, source, isNextBest }
    isNextBest = true
  }
  return { seconds: now, source: 'receipt', isNextBest }
}

/** An AMQP timestamp as it was sent, independent of the reader's clock; null if it cannot be a time. */
export function readSentTime(timestamp: unknown): number | null {
  const seconds = readUnixTime(timestamp)
  return seconds !== undefined && seconds >= YEAR_2000 && seconds < YEAR_2100 ? seconds : null
}

function toSeconds(value: number): number {
  if (value < MILLISECONDS_FROM) return Math.floor(value)
  const unitsPerSecond = value < MICROSECONDS_FROM ? 1e3 : value < NANOSECONDS_FROM ? 1e6 : 1e9
  return Math.floor(value / unitsPerSecond)
}

function readDateTime(time: string): number | undefined {
  const match = DATE_TIME.exec(time)
  if (match === null) return undefined
  const year = digitsAt(time, 0, 4)
  const month = digitsAt(time, 5, 2)
  const day = digitsAt(time, 8, 2)
  const hour = digitsAt(time, 11, 2)
  const minute = digitsAt(time, 14, 2)
  const second = Number(match[1] ?? 0)
  const offsetHours = Number(match[3] ?? 0)
  const offsetMinutes = Number(match[4] ?? 0)
  // A day that the month does not have would roll over into the next.
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return undefined
  if (hour > 23 || minute > 59 || second > 60 || offsetHours > 23 || offsetMinutes > 59) return undefined
  const offset = (match[2] === '-' ? -1 : 1) * (offsetHours * 60 + offsetMinutes) * 60
  return Date.UTC(year, month - 1, day, hour, minute, second) / 1_000 - offset
}

function readPhpDateTime(
  { date, timezone_type, timezone }: Partial<Record<keyof PhpDateTime, unknown>>,
  zoneTime: ZoneTime | undefined,
): number | undefined {
  if (typeof date !== 'string' || typeof timezone !== 'string' || !PHP_DATE.test(date)) return undefined
  const local = readDateTime(date)
  if (local === undefined) return undefined
  if (timezone_type === 3) return UTC_ZONES.has(timezone.toUpperCase()) ? local : zoneTime?.(timezone, local)
  const offset =
    timezone_type === 1
      ? readPhpOffset(timezone)
      : timezone_type === 2
        ? PHP_ABBREVIATIONS.get(timezone.toUpperCase())
        : undefined
  return offset === undefined ? undefined : local - offset
}

function readPhpOffset(offset: string): number | undefined {
  const [, sign, hours, minutes, seconds = 0] = PHP_OFFSET.exec(offset) ?? []
  if (sign === undefined || Number(hours) > 23 || Number(minutes) > 59 || Number(seconds) > 59)
    return undefined
  return (sign === '-' ? -1 : 1) * ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds))
}

/** The number that `length` digits of an ASCII text stand for. */
function digitsAt(text: string, at: number, length: number): number {
  let value = 0
  for (let end = at + length; at < end; at++) value = value * 10 + text.charCodeAt(at) - 48
  return value
}

const DAYS_IN_MONTH = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

function daysInMonth(year: number, month: number): number {
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  return month === 2 && isLeap ? 29 : DAYS_IN_MONTH[month - 1]!
}
