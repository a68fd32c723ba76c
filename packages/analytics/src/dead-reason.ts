import type { InvalidReason } from '@postviews/client/src/index.ts'

/** Why an event becomes a dead letter: it is invalid, or the store refuses its row. */
export type DeadReason = InvalidReason | 'unstorable'
