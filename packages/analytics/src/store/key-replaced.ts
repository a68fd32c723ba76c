import type { Day } from './days.ts'

/**
 * Thrown within a store if the readers of a day were hashed under a key that is no longer recorded: after the key was read, the
 * day was closed, and perhaps opened again. Nothing was written; `RowsOfViews` derives the rows again.
 */
export class KeyReplaced extends Error {
  override name = 'KeyReplaced'
  readonly day: Day

  constructor(day: Day) {
    super(`the key of ${day} has been replaced or removed`)
    this.day = day
  }
}
