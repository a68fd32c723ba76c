/**
 * Bounds what an outsider can make up: referring hosts come from a reader's request, so there may be a million of them. A day
 * that ended at least 24 hours ago is *settled*: for each dimension it keeps the values with the most views, and one sum of the
 * others. Before that, it keeps more values. Views without a value are kept separately.
 */

import type { Calendar } from './calendar.ts'
import { addDays, type Day } from './days.ts'

export const KEPT_OF_POST = 500
export const KEPT_OF_SITE = 5_000
/** A day that is not settled keeps this many times as many values. */
const UNTIL_SETTLED = 4
/** Most bytes of the values of one dimension, so that one statement can read or write all dimensions of a place. */
const KEPT_BYTES = 250_000

/** The place of the site's breakdowns; any other place is a post. */
export const SITE = ''

/** How much of a dimension is kept for a day of a post, or of the site. */
export interface Bound {
  values: number
  bytes: number
}

export function boundOf(post: string, isSettled: boolean): Bound {
  const kept = post === SITE ? KEPT_OF_SITE : KEPT_OF_POST
  return { values: isSettled ? kept : UNTIL_SETTLED * kept, bytes: KEPT_BYTES }
}

export const NO_BOUND: Bound = { values: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY }

/** Views without a value are counted under this one: for example, if the reader sent no referer. */
export const NO_VALUE = ''

/** Stored in place of the values that are not kept (ClickHouse). No value has a tab, because rows join values with tabs. */
export const REMAINDER = '\t'

const SETTLES_AFTER_SECONDS = 86_400

/** The last day that ended at least 24 hours ago. `now`: Unix seconds. */
export function lastSettled(calendar: Calendar, now: number): Day {
  return addDays(calendar.dayOf(now - SETTLES_AFTER_SECONDS), -1)
}
