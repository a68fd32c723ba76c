/**
 * Declares where a raw row keeps the value of each dimension, for all engines. The names of the dimensions, and what they mean, are in
 * `packages/client/src/figures.ts`.
 */

import { DIMENSION_NAMES, type DimensionName } from '@postviews/client/src/figures.ts'
import { FIELDS, fieldsOf } from '../derive/who.ts'
import { NO_VALUE } from './bounds.ts'
import { type CountableRow, KEPT } from './kept.ts'

/** Where a value is: in a field of the row, or in one of the fields that it joins. */
interface Place {
  of: keyof CountableRow
  /** The number of the field within a text that joins several. */
  field?: number
  /** Views without a value do not count: people, for what only machines have. */
  hasNone?: false
}

function within<Of extends keyof typeof FIELDS>(of: Of, field: (typeof FIELDS)[Of][number]): Place {
  return { of, field: (FIELDS[of] as readonly string[]).indexOf(field) }
}

const PLACES: Record<DimensionName, Place> = {
  hour: { of: 'hour' },
  referrer: { of: 'refererHost' },
  source: within('origin', 'source'),
  channel: within('origin', 'channel'),
  campaign: within('origin', 'campaign'),
  country: within('country', 'country'),
  device: within('agent', 'device'),
  browser: within('agent', 'browser'),
  os: within('agent', 'os'),
  bot: { ...within('agent', 'bot'), hasNone: false },
  purpose: { ...within('agent', 'purpose'), hasNone: false },
}

/** Whether only machines have values: then the breakdown is of bots, and not of all views. */
export function isOfBots(name: DimensionName): boolean {
  return PLACES[name].hasNone === false
}

/** The fields of a row that hold values, each with its dimensions. */
const DIMENSIONS_OF = Map.groupBy(DIMENSION_NAMES, name => PLACES[name].of)
export const KEPT_OF_DIMENSIONS = [...DIMENSIONS_OF.keys()]

/** The field of a row that holds the value. */
export function keptOf(name: DimensionName): keyof CountableRow {
  return PLACES[name].of
}

/** The number of the field that holds the value, within a text that joins several; undefined: the text is the value. */
export function fieldOf(name: DimensionName): number | undefined {
  return PLACES[name].field
}

/** The column of `post_views` that holds the value. */
export function columnOf(name: DimensionName): string {
  return KEPT[PLACES[name].of].column
}

/** The columns of all dimensions, for a SELECT. */
export const DIMENSION_COLUMNS = KEPT_OF_DIMENSIONS.map(name => KEPT[name].column)

/**
 * The value of a dimension, from what a row keeps; `NO_VALUE` if the view has none. Null: the row was kept before values of this
 * dimension were, or the dimension is not about such views.
 */
export function valueIn(kept: unknown, name: DimensionName): string | null {
  if (kept === null || kept === undefined) return null
  const { field, hasNone } = PLACES[name]
  const value = field === undefined ? textOf(kept) : (fieldsOf(String(kept))[field] ?? NO_VALUE)
  return value === NO_VALUE && hasNone === false ? null : value
}

function textOf(kept: unknown): string {
  return String(typeof kept === 'boolean' ? Number(kept) : kept)
}

/** The value of each dimension that is in a field of a row. */
export function* valuesIn(kept: unknown, of: keyof CountableRow): Generator<[DimensionName, string]> {
  for (const name of DIMENSIONS_OF.get(of)!) {
    const value = valueIn(kept, name)
    if (value !== null) yield [name, value]
  }
}
