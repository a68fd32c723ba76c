/** What a batch is held against: the keys that its readers were hashed under, and those that are recorded. */

import type { Day } from '../calendar.ts'
import { KeyReplaced } from '../key-replaced.ts'
import type { SqlRow } from './sql.ts'

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
