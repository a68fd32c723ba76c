/**
 * Rows on their way from one thread to the other, by column: copied so, a batch takes a third of the time, on either
 * side, that it takes row by row with all its names.
 */

import { KEPT_NAMES, type KeptRow, type KeptValue } from '../row.ts'

/** In the order of `KEPT_NAMES`. */
export type Columns = readonly (readonly KeptValue[])[]

export function toColumns(rows: readonly KeptRow[]): Columns {
  return KEPT_NAMES.map(name => rows.map(row => row[name]))
}

export function rowsIn(columns: Columns): number {
  return columns[0]!.length
}

/** Made one at a time, when asked for: none lives long enough to be moved out of the young generation. */
export function rowAt(columns: Columns, index: number): KeptRow {
  const row: Partial<Record<keyof KeptRow, KeptValue>> = {}
  for (let at = 0; at < KEPT_NAMES.length; at++) row[KEPT_NAMES[at]!] = columns[at]![index]!
  return row as KeptRow
}
