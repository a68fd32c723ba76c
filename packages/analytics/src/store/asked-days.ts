/** The days that a user asks to rebuild. */

import type { Day } from './days.ts'
import { StoreRefused } from './failures.ts'
import type { RebuildOptions } from './store.ts'

type AskedDays = Pick<RebuildOptions, 'from' | 'to'>

export function isAsked({ from, to }: AskedDays, day: Day): boolean {
  return (from === undefined || day >= from) && (to === undefined || day <= to)
}

/** @param days the existing days, oldest first. @throws {StoreRefused} if the options name days, and none of them exists */
export function refuseNoDays(options: AskedDays, days: readonly Day[]): void {
  const { from, to } = options
  if ((from === undefined && to === undefined) || days.some(day => isAsked(options, day))) return
  const asked = [from && `from ${from}`, to && `to ${to}`].filter(Boolean).join(' ')
  const there =
    days.length === 0 ? 'no views have been counted yet' : `the counted days are ${days[0]} to ${days.at(-1)}`
  throw new StoreRefused(`no views are counted on any day ${asked}: ${there}`)
}
