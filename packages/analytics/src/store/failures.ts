/** The errors of a store. Each says what is lost, which is never a view that was acknowledged. */

/** The store is away or refuses to write for now. Nothing was lost: keep what is in hand and try again. */
export class StoreUnavailable extends Error {
  override name = 'StoreUnavailable'
}

/** What was opened is no longer what is there: its file was deleted, moved or replaced. Nothing was lost that was not lost with it. */
export class StoreMisplaced extends StoreUnavailable {
  override name = 'StoreMisplaced'
}

/**
 * The store refuses what no retry cures: a table or a privilege is missing, say. Somebody has to mend it. Nothing was
 * written, and nothing is lost.
 */
export class StoreBroken extends StoreUnavailable {
  override name = 'StoreBroken'
  /** What was refused, as `INSERT INTO post_view_totals`: our own words, without any value. */
  readonly step: string

  constructor(message: string, step: string, options?: ErrorOptions) {
    super(`${message}, at ${step}`, options)
    this.step = step
  }
}

/** What anyone may read of why the store is not to be used: nothing of the error's own words. */
export function storeProblem(error: unknown, otherwise = 'store: does not take views'): string {
  if (error instanceof StoreBroken) return `store: ${error.step} fails, and no retry mends it`
  return error instanceof StoreMisplaced ? 'store: its file was deleted, moved or replaced' : otherwise
}

/** The store cannot keep these views, now or ever, though it is well. One view alone: set it aside. Nothing was written. */
export class RowRejected extends Error {
  override name = 'RowRejected'
}

/** This process must not write to this database: another version, or other settings. Nothing was written; stop. */
export class StoreRefused extends Error {
  override name = 'StoreRefused'
}

/** The clock of this host and that of the database server are far apart: one of them is wrong. Nothing was removed. */
export class ClocksDiffer extends Error {
  override name = 'ClocksDiffer'
}

/** Why a batch is refused that would be counted by settings or zone rules that no longer hold. */
export const AGREEMENT_REPLACED =
  'a value that all processes must share was replaced in the database since this process started: restart it'
