/** Compares the keys under which a batch's readers were hashed with the recorded ones. */

import type { Day } from '../days.ts'
import { KeyReplaced } from '../key-replaced.ts'
import type { SqlRow } from './sql.ts'

export const KEY_COLUMNS = 'secret, reopening'

/**
 * Whether batches list the readers of the day, and count the new ones. They do not while `reopen.ts` is listing the readers who
 * were counted before.
 *
 * @param recorded the day's row of `post_view_day_keys`; undefined if it has none
 * @throws {KeyReplaced} unless the key is the recorded one
 */
export function listsReaders(recorded: SqlRow | undefined, day: Day, key: string | undefined): boolean {
  if (recorded === undefined || recorded['secret'] !== key) throw new KeyReplaced(day)
  return recorded['reopening'] === null || recorded['reopening'] === 'late'
}
