/**
 * Times as people read them: by the clocks of the zone that days are counted in, and with its name. The clocks are those
 * that Analytics counts by: the process or browser that shows a time may have older zone rules. Runs in browsers too.
 */

export interface ClockOffset {
  /** From then on. */
  from: string
  /** What local time is ahead of UTC; negative where it is behind. */
  seconds: number
}

/** As `/api/v1/status` tells it: an IANA name, and the zone's clocks, oldest first; none is UTC. */
export interface StatsZone {
  timezone: string
  offsets: readonly ClockOffset[]
}

/** What times are shown in until Analytics has told its zone. */
export const UTC: StatsZone = { timezone: 'UTC', offsets: [] }

// Of a time that was moved by the zone's offset, UTC shows what the zone's clocks showed.
const dayFormat = new Intl.DateTimeFormat('en-GB', {
  timeZone: 'UTC',
  day: 'numeric',
  month: 'short',
  year: 'numeric',
})
const timeFormat = new Intl.DateTimeFormat('en-GB', {
  timeZone: 'UTC',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
})
const minuteFormat = new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', hour: '2-digit', minute: '2-digit' })

/** `22 Nov 2026`. `time` is ISO 8601 or a Date. */
export function zoneDay(time: string | Date, zone: StatsZone): string {
  return dayFormat.format(localOf(time, zone))
}

/** `00:30:05 Europe/Warsaw`; in the hour that there is twice, `02:30:00 Europe/Warsaw (UTC+2)`. */
export function zoneTime(time: string | Date, zone: StatsZone): string {
  return `${timeFormat.format(localOf(time, zone))} ${nameAt(time, zone)}`
}

/** `00:30 Europe/Warsaw`. */
export function zoneMinute(time: string | Date, zone: StatsZone): string {
  return `${shortMinute(time, zone)} ${nameAt(time, zone)}`
}

/** `00:30`, where the zone is named beside it. */
export function shortMinute(time: string | Date, zone: StatsZone): string {
  return minuteFormat.format(localOf(time, zone))
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

/** Which clock holds then; before the first that is known it is the first. */
function inForce(time: string | Date, { offsets }: StatsZone): number {
  return Math.max(
    0,
    offsets.findLastIndex(({ from }) => Date.parse(from) <= msOf(time)),
  )
}

function secondsOf({ offsets }: StatsZone, index: number): number {
  return offsets[index]?.seconds ?? 0
}

/** Whether the clocks show this twice, because they are set back before it or after it. */
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
