/**
 * Declares which column of a raw row holds the value of each dimension, for all engines. The names of the dimensions, and what
 * they mean, are in `packages/client/src/figures.ts`.
 */

import { DIMENSION_NAMES, type DimensionName } from '@postviews/client/src/figures.ts'
import { NO_VALUE } from './bounds.ts'
import { type CountableRow, KEPT } from './kept.ts'

const VALUES: Record<DimensionName, keyof CountableRow> = {
  referrer: 'refererHost',
}

/** The column of `post_views` that holds the value, null or empty where a view has none. */
export function columnOf(name: DimensionName): string {
  return KEPT[VALUES[name]].column
}

/** The columns of all dimensions, for a SELECT. */
export const DIMENSION_COLUMNS = [...new Set(DIMENSION_NAMES.map(columnOf))]

/** The value of a dimension as a text, from a row or from a column of it. */
export function valueIn(row: CountableRow, name: DimensionName): string {
  return asValue(row[VALUES[name]])
}

export function asValue(kept: unknown): string {
  if (kept === null || kept === undefined) return NO_VALUE
  return String(typeof kept === 'boolean' ? Number(kept) : kept)
}
