import type { Day } from './calendar.ts'

/**
 * Thrown within a store: the readers of a day were hashed under a key that is not the recorded one, as the day was closed
 * since the key was asked for, and maybe opened again. Nothing was written; `RowsOfViews` derives the rows again.
 */
export class KeyReplaced extends Error {
  override name = 'KeyReplaced'
  readonly day: Day

  constructor(day: Day) {
    super(`the key of ${day} is another one now, or none`)
    this.day = day
  }
}
