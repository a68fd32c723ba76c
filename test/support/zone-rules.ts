/** Zone data of other releases: the newest table, with changed rules for one zone. */

import packed from 'moment-timezone/data/packed/latest.json' with { type: 'json' }
import {
  NEWEST_RULES,
  type OffsetChange,
  type PackedRules,
  unpack,
  type ZoneRules,
} from '../../packages/analytics/src/store/zone-rules.ts'
import { unix } from './views.ts'

const DIGITS = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX'

export const WINNIPEG = 'America/Winnipeg'
/** When Winnipeg's clocks would have been set back without the law of 2026. */
export const SET_BACK_AT = '2026-11-01T07:00:00Z'

/** The newest data under the name `release`, but with these changes of the zone's clocks. */
export function packedAs(release: string, timeZone: string, changes: readonly OffsetChange[]): PackedRules {
  const isOther = (text: string) => !text.startsWith(`${timeZone}|`)
  return {
    version: release,
    zones: [...packed.zones.filter(isOther), pack(timeZone, changes)],
    links: packed.links.filter(link => !link.endsWith(`|${timeZone}`)),
  }
}

/** The rules from such data. */
export function rulesAs(release: string, timeZone: string, changes: readonly OffsetChange[]): ZoneRules {
  return unpack(packedAs(release, timeZone, changes), 'moment-timezone')
}

/** The changes of Winnipeg's clocks in a release before the law of 2026, up to `lastYear`. */
export function winnipegBeforeTheLaw(lastYear = 2037): OffsetChange[] {
  const changes = NEWEST_RULES.zone(WINNIPEG)!.changes.filter(({ from }) => from < unix(SET_BACK_AT))
  const winters: OffsetChange[] = []
  for (let year = 2026; year <= lastYear; year++) {
    winters.push({ from: sunday(1, `${year}-11`) + 7 * 3_600, offset: -6 * 3_600 })
    if (year < lastYear) winters.push({ from: sunday(2, `${year + 1}-03`) + 8 * 3_600, offset: -5 * 3_600 })
  }
  return [...changes, ...winters]
}

/** Before the law: Winnipeg's days start an hour later from 2026-11-01 on. */
export const RULES_2026C = rulesAs('2026c', WINNIPEG, winnipegBeforeTheLaw())

function sunday(number: number, month: string): number {
  const first = new Date(`${month}-01T00:00:00Z`)
  return unix(`${month}-01T00:00:00Z`) + (((7 - first.getUTCDay()) % 7) + 7 * (number - 1)) * 86_400
}

function pack(timeZone: string, changes: readonly OffsetChange[]): string {
  const offsets = [...new Set(changes.map(({ offset }) => offset))]
  const order = changes.map(({ offset }) => digits(offsets.indexOf(offset)))
  const gaps = changes
    .slice(1)
    .map(({ from }, index) => base60(from - (index === 0 ? 0 : changes[index]!.from)))
  return [
    timeZone,
    offsets.map(() => '-').join(' '),
    offsets.map(offset => base60(-offset)).join(' '),
    order.join(''),
    gaps.join(' '),
    '',
  ].join('|')
}

/** Seconds as base-60 minutes, with the remaining seconds as a base-60 digit after the point. */
function base60(seconds: number): string {
  const size = Math.abs(seconds)
  const fraction = size % 60 === 0 ? '' : `.${DIGITS[size % 60]}`
  return `${seconds < 0 ? '-' : ''}${digits(Math.floor(size / 60))}${fraction}`
}

function digits(value: number): string {
  return (value < 60 ? '' : digits(Math.floor(value / 60))) + DIGITS[value % 60]
}
