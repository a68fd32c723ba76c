/**
 * What people, crashes or other versions may do to a store's data, and what tests read from them past the store. Both are
 * described in the words of the domain, and each engine implements them on its own tables.
 */

import type { Day } from '../../packages/analytics/src/store/days.ts'
import type { KeptRow } from '../../packages/analytics/src/store/kept.ts'
import type { Difference } from '../../packages/analytics/src/store/store.ts'

/** Selects figures; `of` is the kind, named as in `verify`. Without a post, day or host, all of them are meant. */
export interface Figures {
  of: Extract<Difference['kind'], 'aggregate' | 'total' | 'referrer' | 'site_aggregate' | 'site_referrer'>
  post?: string
  day?: Day
  /** Empty: direct or unknown. */
  host?: string
}

/** Only totals have `detailed_views`, and referrers have only `views`. */
export type Figure = 'views' | 'unique_views' | 'logged_in' | 'bots' | 'detailed_views'

/** Columns of a raw row that are derived when it is counted. */
export type Derived = Pick<
  KeptRow,
  'day' | 'slice' | 'loggedIn' | 'bot' | 'visitor' | 'refererHost' | 'hour' | 'origin' | 'agent' | 'country'
>

/** An engine throws when it finds nothing to damage, because a test of undamaged data proves nothing. */
export type Damage =
  /** The figure is too high by `by`. Default 1. */
  | ({ kind: 'too high'; figure: Figure; by?: number } & Figures)
  /** The figure is 0; a time is null. */
  | ({ kind: 'emptied'; figure: Figure | 'first_viewed_at' } & Figures)
  | ({ kind: 'missing' } & Figures)
  /** Figures of views that never happened, each by a different reader. Every selector that `of` has must be given. */
  | ({ kind: 'superfluous'; views: number } & Figures)
  /** Raw rows are missing. */
  | { kind: 'rows missing'; post: string }
  /** The raw rows of the post, or those with the referer, have other derived values. */
  | { kind: 'rows tampered'; post?: string; referer?: string; says: Partial<Derived> }
  /** The raw rows of the post have nothing of who read it, as rows from before that was kept. */
  | { kind: 'rows from before'; post: string }
  /**
   * Uncounted copies of the post's raw rows (default: of all posts), as the article's own consumer inserts them when it keeps
   * running beside this service. `ip`: the copies have another address. `instead`: the counted rows are gone.
   */
  | { kind: 'rows uncounted'; post?: string; ip?: string; instead?: true }
  /** Readers who were counted as unique are missing from the lists. */
  | { kind: 'readers missing'; post?: string; day?: Day }
  /** The list has a reader who was never counted. `visitor`: 32 hex digits. */
  | { kind: 'reader superfluous'; post: string; day: Day; visitor: string }
  /** Closed days still list the readers of all rows, as an interrupted retention run leaves them. */
  | { kind: 'readers left over' }
  | { kind: 'day keys missing' }
  /** A newer version of postviews has migrated the tables. */
  | { kind: 'newer version'; migration: number }
  /** Another process holds the retention lease. `until`: Unix seconds. */
  | { kind: 'another prunes'; until: number }
  /** One of the engine's `counters` is removed, or restored as it was. */
  | { kind: 'table taken away' | 'table given back'; table: string }

/** The stored data. */
export interface Kept {
  /** Every raw row: its post, and its reader's data. */
  rows(): Promise<
    Pick<KeptRow, 'postUuid' | 'userId' | 'ip' | 'userAgent' | 'referer' | 'utm' | 'loggedIn'>[]
  >
  /** The key of each day that has one, ordered by day. */
  dayKeys(): Promise<Record<Day, string>>
  /** The days with a reader list, in order. */
  readerDays(): Promise<Day[]>
  /** The stored hosts of a day, of each post and of the site (`post` null). Called only for settled days. */
  hosts(day: Day): Promise<{ post: string | null; host: string; views: number }[]>
  /** The release of the recorded zone rules. */
  rulesRelease(): Promise<string>
  /** Everything that a batch writes, except the day keys. Equal as long as nothing was written. */
  everything(): Promise<unknown>
}
