/**
 * Corrects a wrong number by adding the difference. The difference was read in one snapshot; what batches have added since is
 * part of the stored number, and stays.
 */

import { DETAILS } from '../figures.ts'
import { DAY_COLUMNS } from './figure-columns.ts'
import type { Aggregate, Pair } from './recount.ts'
import type { SqlValue } from './sql.ts'

export interface Corrected<V> {
  /** What must be stored now; null: nothing. */
  value: V | null
  /** False if batches added to a missing or wrong value meanwhile: only another look can tell the right value. */
  isCertain: boolean
}

/** @param now what is stored now: `found`, and what batches have added since */
export function corrected<V extends Aggregate>(
  now: V | null,
  { expected, found }: Pick<Pair<unknown, V>, 'expected' | 'found'>,
): Corrected<V> {
  if (isSame(now, found)) return { value: expected, isCertain: true }
  // Somebody has removed it.
  if (now === null) return { value: expected, isCertain: false }
  const value: V = { ...now }
  const fields: Aggregate = value
  fields.view_count = difference(now.view_count, expected?.view_count ?? 0, found?.view_count ?? 0)
  let isCertain = expected !== null
  for (const field of DETAILS) {
    const right = expected === null ? 0 : expected[field]
    const wrong = found === null ? 0 : found[field]
    const stored = now[field]
    if (right === wrong) continue
    if (right === null || wrong === null || stored === null) {
      fields[field] = right
      // Batches leave an unknown number unknown, so what they would have added is not known.
      isCertain &&= right === null
    } else {
      fields[field] = difference(stored, right, wrong)
    }
  }
  if (expected !== null) {
    const first = time('first_viewed_at', now, expected, found, (a, b) => a < b)
    const last = time('last_viewed_at', now, expected, found, (a, b) => a > b)
    fields.first_viewed_at = first.value
    fields.last_viewed_at = last.value
    isCertain &&= first.isCertain && last.isCertain
  }
  return { value, isCertain }
}

function isSame(a: Aggregate | null, b: Aggregate | null): boolean {
  if (a === null || b === null) return a === b
  return DAY_COLUMNS.every(field => a[field] === b[field])
}

// The sum is negative only if somebody else changed the number meanwhile.
function difference(now: number, right: number, wrong: number): number {
  return Math.max(0, now + right - wrong)
}

/**
 * The corrected first (or last) time: the earlier (or later) one of the recounted time and the time of views that were added since.
 * A wrong stored value may hide the time of those views; then the recounted time is used.
 */
function time(
  field: 'first_viewed_at' | 'last_viewed_at',
  now: Aggregate,
  expected: Aggregate,
  found: Aggregate | null,
  isBetter: (a: string | number, b: string | number) => boolean,
): { value: SqlValue; isCertain: boolean } {
  const right = expected[field]
  const wrong = found === null ? null : found[field]
  const stored = now[field]
  if (right === wrong) return { value: stored, isCertain: true }
  const isHiding = wrong !== null && (right === null || isBetter(wrong, right))
  if (isHiding || right === null) return { value: right, isCertain: !isHiding }
  return { value: stored === null || isBetter(right, stored) ? right : stored, isCertain: true }
}
