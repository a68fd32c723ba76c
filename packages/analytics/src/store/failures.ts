/** The errors of a store. Each says what is lost, which is never a view that was acknowledged. */

/** The store is away or refuses to write for now. Nothing was lost: keep what is in hand and try again. */
export class StoreUnavailable extends Error {
  override name = 'StoreUnavailable'
}

/** The file was deleted, moved or replaced after it was opened. Nothing is lost except what was lost with the file. */
export class StoreMisplaced extends StoreUnavailable {
  override name = 'StoreMisplaced'
}

/**
 * The store cannot do a step, and no retry would help: a table or a privilege is missing, for example. Somebody must repair it.
 * Nothing was written, and nothing is lost.
 */
export class StoreBroken extends StoreUnavailable {
  override name = 'StoreBroken'
  /** The statement that was refused, such as `INSERT INTO post_view_totals`, without any value. */
  readonly step: string

  constructor(message: string, step: string, options?: ErrorOptions) {
    super(`${message}, at ${step}`, options)
    this.step = step
  }
}

/** Why the store cannot be used, in words that anyone may read: nothing of the error's own message. */
export function storeProblem(error: unknown, otherwise = 'store: does not take views'): string {
  if (error instanceof StoreBroken) return `store: ${error.step} fails, and no retry mends it`
  return error instanceof StoreMisplaced ? 'store: its file was deleted, moved or replaced' : otherwise
}

/** The store works, but can never keep these views. If it is a single view, make it a dead letter. Nothing was written. */
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

/** The reason for refusing a batch whose settings or zone rules are no longer the recorded ones. */
export const AGREEMENT_REPLACED =
  'a value that all processes must share has been replaced in the database since this process started: restart this process'
