/** The days that somebody asks to be counted again. */

import type { Day } from './calendar.ts'
import { StoreRefused } from './failures.ts'
import type { RebuildOptions } from './store.ts'

type AskedDays = Pick<RebuildOptions, 'from' | 'to'>

export function isAsked({ from, to }: AskedDays, day: Day): boolean {
  return (from === undefined || day >= from) && (to === undefined || day <= to)
}

/** @param days those that there are, oldest first. @throws {StoreRefused} where none of them is asked for, though some are */
export function refuseNoDays(options: AskedDays, days: readonly Day[]): void {
  const { from, to } = options
  if ((from === undefined && to === undefined) || days.some(day => isAsked(options, day))) return
  const asked = [from && `from ${from}`, to && `to ${to}`].filter(Boolean).join(' ')
  const there =
    days.length === 0 ? 'there are none at all yet' : `there are days from ${days[0]} to ${days.at(-1)}`
  throw new StoreRefused(`no views are counted on any day ${asked}: ${there}`)
}
