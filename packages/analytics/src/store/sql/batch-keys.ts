/** What a batch is held against: the keys that its readers were hashed under, and those that are recorded. */

import type { Day } from '../calendar.ts'
import type { ViewRow } from '../row.ts'
import { KeyReplaced } from '../store.ts'
import type { SqlRow } from './sql.ts'

/** The key of each day of the rows. @throws {KeyReplaced} where two of one day have different ones */
export function keysOf(rows: readonly ViewRow[]): Map<Day, string> {
  const keys = new Map<Day, string>()
  for (const { day, dayKey } of rows) {
    const key = keys.get(day)
    if (key === undefined) keys.set(day, dayKey)
    else if (key !== dayKey) throw new KeyReplaced(day)
  }
  return keys
}

export const KEY_COLUMNS = 'secret, reopening'

/**
 * Whether batches list the readers of the day, and count those who are new: not while `reopen.ts` makes the list of those
 * who were counted before.
 *
 * @param recorded its row of `post_view_day_keys`; undefined where it has none
 * @throws {KeyReplaced} unless the key is the recorded one
 */
export function listsReaders(recorded: SqlRow | undefined, day: Day, key: string | undefined): boolean {
  if (recorded === undefined || recorded['secret'] !== key) throw new KeyReplaced(day)
  return recorded['reopening'] === null || recorded['reopening'] === 'late'
}
