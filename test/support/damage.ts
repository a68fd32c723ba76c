/**
 * What somebody's hand, a crash or another version may have done to what a store keeps, and what can be asked of it behind the
 * store's back: in the words of the domain, so that each engine does and answers it in its own tables.
 */

import type { Day } from '../../packages/analytics/src/store/calendar.ts'
import type { KeptRow } from '../../packages/analytics/src/store/row.ts'
import type { Difference } from '../../packages/analytics/src/store/store.ts'

/** Figures by what they are of, as `verify` calls it. A post, day or host that is left out stands for all of them. */
export interface Figures {
  of: Extract<Difference['kind'], 'aggregate' | 'total' | 'referrer' | 'site_aggregate' | 'site_referrer'>
  post?: string
  day?: Day
  /** Empty: direct or unknown. */
  host?: string
}

/** `detailed_views` only totals have, and of a referrer there are only views. */
export type Figure = 'views' | 'unique_views' | 'logged_in' | 'bots' | 'detailed_views'

/** What a raw row says that was derived when it was counted. */
export type Derived = Pick<KeptRow, 'day' | 'slice' | 'loggedIn' | 'visitor' | 'refererHost'>

/** An engine throws where it finds nothing to damage: a test of undamaged data proves nothing. */
export type Damage =
  /** The figure is too high by `by`, 1 by default. */
  | ({ kind: 'too high'; figure: Figure; by?: number } & Figures)
  /** The figure is 0, a time is unknown. */
  | ({ kind: 'emptied'; figure: Figure | 'first_viewed_at' } & Figures)
  | ({ kind: 'missing' } & Figures)
  /** Figures of views that never happened, each by another reader. Nothing that figures `of` this kind have may be left out. */
  | ({ kind: 'superfluous'; views: number } & Figures)
  /** Raw rows are gone. */
  | { kind: 'rows missing'; post: string }
  /** The raw rows of the post, or those with the referer, say something else. */
  | { kind: 'rows tampered'; post?: string; referer?: string; says: Partial<Derived> }
  /**
   * Copies of the post's raw rows (by default of all) that nobody counted, as the article's own consumer, left running beside
   * this service, inserts them. `ip`: from another address. `instead`: the rows that were counted are gone.
   */
  | { kind: 'rows uncounted'; post?: string; ip?: string; instead?: true }
  /** Readers who were counted as unique are not listed any more. */
  | { kind: 'readers missing'; post?: string; day?: Day }
  /** A reader is listed who was never counted. `visitor`: 32 hex digits. */
  | { kind: 'reader superfluous'; post: string; day: Day; visitor: string }
  /** The readers of all rows are listed though their days are closed, as an interrupted run of retention leaves them. */
  | { kind: 'readers left over' }
  | { kind: 'day keys missing' }
  /** A newer version of postviews has changed the tables. */
  | { kind: 'newer version'; migration: number }
  /** Another process holds the lease of retention. `until`: Unix seconds. */
  | { kind: 'another prunes'; until: number }
  /** One of the engine's `counters` is away, or back as it was. */
  | { kind: 'table taken away' | 'table given back'; table: string }

/** What is stored now. */
export interface Kept {
  /** Every raw row: its post, and what it says of its reader. */
  rows(): Promise<Pick<KeptRow, 'postUuid' | 'userId' | 'ip' | 'userAgent' | 'referer' | 'loggedIn'>[]>
  /** The key of each day that has one, in the order of days. */
  dayKeys(): Promise<Record<Day, string>>
  /** The days whose readers are listed, in order. */
  readerDays(): Promise<Day[]>
  /** The hosts kept of a day, each post's and the site's (`post` null). Asked only where days are settled. */
  hosts(day: Day): Promise<{ post: string | null; host: string; views: number }[]>
  /** The release of the zone rules that are recorded. */
  rulesRelease(): Promise<string>
  /** All that a batch writes but the keys of days, to compare: the same as long as nothing was written. */
  everything(): Promise<unknown>
}
