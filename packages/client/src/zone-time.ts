/**
 * Shows times in the zone that days are counted in, with its name. The offsets come from Analytics, because the
 * process or browser that shows a time may have older zone rules. Runs in browsers too.
 */

export interface ClockOffset {
  /** The offset holds from then on. */
  from: string
  /** Local time minus UTC. */
  seconds: number
}

/** As in `/api/v1/status`: an IANA name, and the zone's offsets, oldest first; none is UTC. */
export interface StatsZone {
  timezone: string
  offsets: readonly ClockOffset[]
}

/** The zone of times until Analytics has sent its own. */
export const UTC: StatsZone = { timezone: 'UTC', offsets: [] }

/** Made when it is first needed: the first format of Intl takes 10 MB of memory, and a service never shows a time. */
function lazyFormat(options: Intl.DateTimeFormatOptions): (time: Date) => string {
  let format: Intl.DateTimeFormat | undefined
  return time => {
    // In UTC, because the times are already shifted by the zone's offset.
    format ??= new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', ...options })
    return format.format(time)
  }
}

const formatDay = lazyFormat({ day: 'numeric', month: 'short', year: 'numeric' })
const formatTime = lazyFormat({ hour: '2-digit', minute: '2-digit', second: '2-digit' })
const formatMinute = lazyFormat({ hour: '2-digit', minute: '2-digit' })

/** `22 Nov 2026`. `time` is ISO 8601 or a Date. */
export function zoneDay(time: string | Date, zone: StatsZone): string {
  return formatDay(localOf(time, zone))
}

/** `00:30:05 Europe/Warsaw`; in an hour that occurs twice, `02:30:00 Europe/Warsaw (UTC+2)`. */
export function zoneTime(time: string | Date, zone: StatsZone): string {
  return `${formatTime(localOf(time, zone))} ${nameAt(time, zone)}`
}

/** `00:30 Europe/Warsaw`. */
export function zoneMinute(time: string | Date, zone: StatsZone): string {
  return `${shortMinute(time, zone)} ${nameAt(time, zone)}`
}

/** `00:30`, where the zone is named beside it. */
export function shortMinute(time: string | Date, zone: StatsZone): string {
  return formatMinute(localOf(time, zone))
}

/** The day of a time, `2026-11-22`, by the offsets of the zone that days are counted in. */
export function dayOf(time: string | Date, offsets: StatsZone['offsets']): string {
  return localOf(time, { timezone: '', offsets }).toISOString().slice(0, 10)
}

function nameAt(time: string | Date, zone: StatsZone): string {
  const index = inForce(time, zone)
  const seconds = secondsOf(zone, index)
  return isTwice(msOf(time), zone, index) ? `${zone.timezone} (${offsetName(seconds)})` : zone.timezone
}

function localOf(time: string | Date, zone: StatsZone): Date {
  return new Date(msOf(time) + secondsOf(zone, inForce(time, zone)) * 1_000)
}

function msOf(time: string | Date): number {
  return typeof time === 'string' ? Date.parse(time) : time.getTime()
}

/** The index of the offset that holds then; the first one for earlier times. */
function inForce(time: string | Date, { offsets }: StatsZone): number {
  return Math.max(
    0,
    offsets.findLastIndex(({ from }) => Date.parse(from) <= msOf(time)),
  )
}

function secondsOf({ offsets }: StatsZone, index: number): number {
  return offsets[index]?.seconds ?? 0
}

/** Whether the clocks show this time twice, because they are set back before it or after it. */
function isTwice(ms: number, zone: StatsZone, index: number): boolean {
  const { offsets } = zone
  const setBackMs = (from: number) => (secondsOf(zone, from) - secondsOf(zone, from + 1)) * 1_000
  const since = offsets[index]
  if (index > 0 && since !== undefined && ms - Date.parse(since.from) < setBackMs(index - 1)) return true
  const next = offsets[index + 1]
  return next !== undefined && Date.parse(next.from) - ms <= setBackMs(index)
}

/** `UTC`, `UTC+1`, `UTC−3:30`. */
function offsetName(seconds: number): string {
  if (seconds === 0) return 'UTC'
  const minutes = Math.round(Math.abs(seconds) / 60)
  const rest = minutes % 60 === 0 ? '' : `:${String(minutes % 60).padStart(2, '0')}`
  return `UTC${seconds < 0 ? '−' : '+'}${Math.floor(minutes / 60)}${rest}`
}
