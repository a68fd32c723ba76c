/**
 * What a store is: the one place where views are kept and counted. Every engine keeps the promises written here,
 * and passes `test/store-contract.ts` unchanged.
 */

import type { Figures } from '@postviews/client/src/figures.ts'
import type { View } from '@postviews/client/src/index.ts'
import type { Calendar, Day } from './calendar.ts'
import type { CopySource } from './copy.ts'
import type { CountingSettings } from './counting-settings.ts'
import type { Referrer } from './hosts.ts'
import type { AskedHosts, OwnHosts, OwnHostsInUse } from './own-hosts.ts'

/** A view, and when its event was received. */
export interface ReceivedView {
  view: View
  /** Unix seconds, whole. */
  receivedAt: number
}

/** What came of a batch. */
export interface Recorded {
  /** Views that were new, and are counted now; where `duplicates` is null all of them. */
  counted: number
  /** Views whose id had been counted before; they change nothing. Null where nobody knows that yet (see `roll`). */
  duplicates: number | null
  /**
   * Days that another process has closed while this one still counted views of them. They were opened again. Absent where
   * there are none.
   */
  closedMeanwhile?: readonly Day[]
}

/** What batches are best. */
export interface Batching {
  /** Of messages that hold one event each, a batch has at most this share of the events it may have. */
  messagesPerEvent: number
}

export interface Store extends Reads {
  readonly engine: 'sqlite' | 'mysql' | 'postgres' | 'clickhouse'
  readonly batching: Batching
  /** Whether `close` ends what a long command is at: not where a statement cannot be cut off, and the command has a lease to give back. */
  readonly isCutByClose: boolean
  /** What was not asked for is learned by `migrate`, `checkSettings` and `rebuild`; until then it is a new database's. */
  readonly settings: CountingSettings
  readonly calendar: Calendar

  /** Whether views came of days that were new to this process since `reopenDays` was last called: it may have something to do. */
  readonly mayReopenDays: boolean

  /**
   * Goes on with the days that are being opened again, in small steps beside consumers, until none is left. It can be
   * interrupted at any moment, also by a `progress` that throws; whoever calls it next goes on.
   *
   * @throws {StoreUnavailable}
   * @throws {StoreRefused} what all processes must agree on was replaced since `checkSettings`
   */
  reopenDays(progress?: Progress): Promise<Reopened>

  /**
   * Keeps a batch: ids, rows and counters in one transaction that is durable when this resolves. Only views whose
   * id is new are kept and counted; of views with one id the first counts. Called again with the same views, or with
   * some of them among others, it counts none twice (views without an id excepted).
   *
   * A day that retention has closed is opened again by its first view: at once where it is small, else by `reopenDays`;
   * views of it are counted meanwhile.
   *
   * @throws {StoreUnavailable} the outcome is unknown or nothing was written: call again with the same views
   * @throws {RowRejected} nothing was written: some view cannot be kept, call again with fewer
   * @throws {StoreRefused} nothing was written, and nothing will be: what all processes must agree on was replaced since `checkSettings`
   */
  recordViews(views: readonly ReceivedView[]): Promise<Recorded>

  /**
   * Counts what was recorded since it was last called, by any process; returns whether there was anything. Only where
   * views are not counted with their batch (ClickHouse): there, answers are as old as `asOf` says. Any number of processes may
   * do it at once.
   *
   * @throws {StoreUnavailable}
   * @throws {StoreRefused} as `recordViews`
   */
  roll?(): Promise<boolean>

  /** Whether the store can take a batch now: a write that changes nothing. @throws {StoreUnavailable} */
  ping(): Promise<void>

  /**
   * Whether the store could keep these views if all of them were new: does what `recordViews` does, and undoes it, except
   * that closed days stay opened. A view that no store in good order could keep is passed over. (On ClickHouse, which cannot
   * undo, it writes nothing to each table of a batch.)
   *
   * @param views where there are none, one of our own is tried, and nothing at all is kept
   * @throws {StoreUnavailable} {@link StoreBroken} tells the step that no retry gets past
   * @throws {StoreRefused} as `recordViews`
   */
  rehearse(views: readonly ReceivedView[]): Promise<void>

  /**
   * Brings the database to this version, under a lock; records the zone rules of this process if they are newer, and its own
   * hosts if they differ. It can be interrupted at any moment, also by a `progress` that throws; the next run goes on.
   *
   * @throws {StoreRefused} for a newer database; for zone rules that are older than those recorded, or differ on days that are kept
   */
  migrate(progress?: Progress, hosts?: AskedHosts): Promise<Migrated>

  /**
   * Compares the settings and zone rules of this process with the recorded ones, and learns the number of that agreement.
   * Once any of it is replaced, the batches of this process are refused.
   *
   * @param ownHosts this process's `SITE_HOSTS`; null where it has none, or does not use them
   * @throws {StoreRefused} unless the database is of this version, counts under these settings and zone rules, and has
   *   recorded these hosts at some time
   */
  checkSettings(ownHosts?: OwnHosts | null): Promise<OwnHostsInUse>

  /**
   * Hands over every difference between what is counted and what a recount says: each day with all that hangs on it from one
   * snapshot, then totals and the days that they sum up. What happens between two snapshots is no difference.
   *
   * @throws {StoreRefused} when other settings or zone rules are recorded meanwhile
   */
  verify(found: (difference: Difference) => void, progress?: Progress): Promise<Verified>

  /**
   * Makes what is counted what a recount says, day by day, beside live consumers: no step of it keeps a batch waiting for long,
   * and what batches add meanwhile stays. A `progress` that throws ends it between two steps; the next run goes on.
   *
   * @throws {StoreRefused} also where no view is counted on any of the days that are asked for
   */
  rebuild(options: RebuildOptions, progress?: Progress): Promise<Rebuilt>

  /**
   * Removes what retention says is over, in small steps. Safe beside consumers; a second one at a time is refused
   * (`ran: false`).
   *
   * @throws {ClocksDiffer} where the database is a server whose clock is over an hour from this host's
   */
  prune(options: PruneOptions, progress?: Progress): Promise<Pruned>

  /**
   * What another store keeps and counts, to be filled with.
   *
   * @param name of this database, the same whenever it is copied
   * @throws {StoreRefused} for what ClickHouse cannot keep
   */
  copySource(): Promise<CopySource>

  /** Copies all of it, again and again the same (ClickHouse alone). @throws {StoreRefused} when there are views of its own */
  fill?(source: CopySource, progress?: Progress): Promise<Filled>

  /** Erases what identifies a reader, and changes no number. Returns how many rows were changed. */
  forget(who: Forget, progress?: Progress): Promise<number>

  /** What somebody should look at though the store can be used: in words, with what to do. Known once it was asked something. */
  warnings(): readonly string[]

  close(): Promise<void>
}

export interface Migrated {
  /** What this process has replaced by its own, in words. Processes that still count by the old stop before their next batch. */
  replaced: string[]
}

/** Said as work goes on: `done` of `total` (in rows, days or whatever `step` counts). */
export type Progress = (step: string, done: number, total: number) => void

/** A stored thing that differs from what a recount says; `expected` or `found` is null when there is none. */
export interface Difference {
  kind:
    | 'aggregate'
    | 'total'
    | 'row'
    | 'visitor'
    | 'referrer'
    | 'site_aggregate'
    | 'site_referrer'
    /** What exactness rests on in the database itself; `rebuild` does not put it right. */
    | 'schema'
    /** An id that has several rows. */
    | 'id'
  /** Which one: `post 42 on 2026-11-21`, `row 17`. Holds no personal data. */
  name: string
  /** What of it differs: `view_count`, `day`. */
  field: string
  expected: string | number | null
  found: string | number | null
}

/** What `verify` looked at. */
export interface Verified {
  days: number
  /** Raw rows. */
  rows: number
}

export interface RebuildOptions {
  /** Also record this process's counting settings, and apply them to every day that has what it takes. */
  adoptSettings: boolean
  /** Only these days; all by default, and where settings are adopted. Days whose raw rows are gone are refused. */
  from?: Day
  to?: Day
}

export interface Rebuilt {
  /** What was put right. */
  fixed: number
  /** How many days were counted again from their raw rows. */
  days: number
  /** The first day whose raw rows are complete; null when there is none that is not. Earlier ones were left. */
  firstDay: Day | null
}

export interface PruneOptions {
  /** Unix seconds. */
  now: number
  /** Raw rows received longer ago go; 0 keeps them for ever. */
  rawRetentionDays: number
  /** A day's key and visitors go once none of its views is accepted any more. */
  maxAgeSeconds: number
}

export interface Pruned {
  /** False when another process was at it. */
  ran: boolean
  rows: number
  days: number
}

export interface Reopened {
  /** The days that this call has opened to the end. */
  days: Day[]
  /** False while another process is at it. */
  isDone: boolean
}

export interface Filled {
  rows: number
  /** Days of posts of which the source said something else: views came meanwhile, or its figures do not follow from its rows. */
  differing: number
}

export type Forget = { userId: string } | { ip: string }

export interface Totals extends Figures {
  /** ISO 8601, UTC, whole seconds. */
  first_viewed_at: string | null
  last_viewed_at: string | null
  /** Only where earlier days of adopted data are known by their views alone: the first day from which all is known. */
  details_since?: Day
}

export interface DayFigures extends Figures {
  date: Day
}

export interface Referrers {
  /** Most views first, then by host. */
  referrers: Referrer[]
  /** The views of all hosts that are not listed, also of those passed over: with the list, the views of the period. */
  other: { views: number }
}

export interface PostFigures {
  post_uuid: string
  views: number
  unique_views: number | null
}

export interface TopPosts {
  /** How long before it was asked for it was read; 0: since; negative: so long after, where reading took long. */
  ageMs: number
  /** How many posts there are to page through. */
  total: number
  posts: PostFigures[]
}

/** What the internal API reads. Days without views are left out; the route fills them in. */
export interface Reads {
  /** The moment up to which all that was recorded is counted, for answers asked for from now on. Both in Unix milliseconds. */
  asOf(nowMs: number): Promise<number>
  /** In the order asked; zeros for a post never viewed. */
  postTotals(posts: readonly string[]): Promise<(Totals & { post_uuid: string })[]>
  /** Oldest first, by post. */
  postDays(posts: readonly string[], from: Day, to: Day): Promise<Map<string, DayFigures[]>>
  siteTotals(): Promise<Totals>
  siteDays(from: Day, to: Day): Promise<DayFigures[]>
  /**
   * Most views first, then by id; `period` null is all time.
   *
   * @param maxAgeMs how long before it was asked for the answer may have been read, where it takes a while to read it; 0: it
   *   misses nothing that was committed by then
   */
  topPosts(
    period: { from: Day; to: Day } | null,
    limit: number,
    offset: number,
    maxAgeMs?: number,
  ): Promise<TopPosts>
  /** `post` null is the whole site. Of a settled day (see bounds.ts) only the hosts that are kept can be listed. */
  referrers(post: string | null, from: Day, to: Day, limit: number, offset?: number): Promise<Referrers>
  progress(): Promise<IngestProgress>
  /** Views a minute by their own time, oldest first, from the minute of `from` (Unix seconds) on; empty ones left out. */
  minutes(from: number): Promise<{ minute: string; views: number }[]>
}

export interface IngestProgress {
  /** Unix seconds; null before the first batch. */
  lastCommittedAt: number | null
  /** The time of the latest view in the last batch, Unix seconds. */
  lastViewedAt: number | null
}
