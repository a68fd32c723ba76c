/**
 * What a store is: the one place where views are kept and counted. Every engine keeps the promises written here,
 * and passes `test/store-contract.ts` unchanged.
 */

import type { DimensionName } from '@postviews/client/src/figures.ts'
import type { View } from '@postviews/client/src/index.ts'
import type { Calendar } from './calendar.ts'
import type { CopySource } from './copy.ts'
import type { CountingSettings } from './counting-settings.ts'
import type { Day, Period } from './days.ts'
import type { ChosenFigures, Who } from './figures.ts'
import type { AskedHosts, OwnHosts, OwnHostsInUse } from './own-hosts.ts'
import type { Views } from './pack.ts'
import type { SiteCompared } from './trending.ts'

/** A view, and when its event was received. */
export interface ReceivedView {
  view: View
  /** Unix seconds, whole. */
  receivedAt: number
}

/** The result of recording a batch. */
export interface Recorded {
  /** New views, which are counted now; all views of the batch if `duplicates` is null. */
  counted: number
  /** Views whose id had been counted before; they change nothing. Null if that is not known yet (see `roll`). */
  duplicates: number | null
  /** Days that another process closed while this one still counted their views. They were opened again. Absent if there are none. */
  closedMeanwhile?: readonly Day[]
}

/** Which batches suit the engine best. */
export interface Batching {
  /** The most messages in a batch, as a share of the most events in it. */
  messagesPerEvent: number
}

export interface Store extends Reads {
  readonly engine: 'sqlite' | 'mysql' | 'postgres' | 'clickhouse'
  readonly batching: Batching
  /** Whether `close` interrupts a long command. False where statements cannot be interrupted, and a lease must be given back. */
  readonly isCutByClose: boolean
  /** Settings that are not configured are those of a new database until `migrate`, `checkSettings` or `rebuild` reads them. */
  readonly settings: CountingSettings
  readonly calendar: Calendar

  /** Whether this process received views of new days since the last call of `reopenDays`, which may then have work to do. */
  readonly mayReopenDays: boolean

  /**
   * Continues opening days again, in small steps while consumers run, until none is left. It can be interrupted at any moment,
   * also by a `progress` that throws; the next call continues.
   *
   * @throws {StoreUnavailable}
   * @throws {StoreRefused} what all processes must agree on was replaced since `checkSettings`
   */
  reopenDays(progress?: Progress): Promise<Reopened>

  /**
   * Keeps a batch: ids, rows and counters in one transaction that is durable when this resolves. Only views with a new id are
   * kept and counted; of several views with the same id, the first counts. Called again with the same views, or with some of them
   * among others, it counts none twice (views without an id excepted).
   *
   * The first view of a day that retention has closed opens that day again: at once if it is small, otherwise in `reopenDays`,
   * and its views are counted meanwhile.
   *
   * @throws {StoreUnavailable} the outcome is unknown or nothing was written: call again with the same views
   * @throws {RowRejected} nothing was written: some view cannot be kept, call again with fewer
   * @throws {StoreRefused} nothing was written, and nothing will be: what all processes must agree on was replaced since
   *   `checkSettings`
   */
  recordViews(views: readonly ReceivedView[]): Promise<Recorded>

  /**
   * Counts the views that any process has recorded since the last call; returns whether there were any. Exists only where views
   * are not counted with their batch (ClickHouse): there, answers are as old as `asOf` says. Any number of processes may call it
   * at the same time.
   *
   * @throws {StoreUnavailable}
   * @throws {StoreRefused} as `recordViews`
   */
  roll?(): Promise<boolean>

  /** Whether the store can take a batch now: a write that changes nothing. @throws {StoreUnavailable} */
  ping(): Promise<void>

  /**
   * Checks whether the store could keep these views if all of them were new: does what `recordViews` does, and undoes it, except
   * that closed days stay opened. Ignores a view that even a working store could not keep. (ClickHouse cannot undo: there, it
   * inserts zero rows into each table that a batch writes to.)
   *
   * @param views if there are none, a made-up view is tried, and nothing at all is kept
   * @throws {StoreUnavailable} if no retry helps, it is a {@link StoreBroken}, which names the step that failed
   * @throws {StoreRefused} as `recordViews`
   */
  rehearse(views: readonly ReceivedView[]): Promise<void>

  /**
   * Migrates the database to this version, under a lock; records the zone rules of this process if they are newer, and its own
   * hosts if they differ. It can be interrupted at any moment, also by a `progress` that throws; the next run continues.
   *
   * @throws {StoreRefused} for a newer database; for zone rules that are older than those recorded, or differ on days that are
   *   kept
   */
  migrate(progress?: Progress, hosts?: AskedHosts): Promise<Migrated>

  /**
   * Compares the settings and zone rules of this process with the recorded ones, and learns the number of that agreement. Once
   * any of these is replaced, the batches of this process are refused.
   *
   * @param ownHosts this process's `SITE_HOSTS`; null if it has none, or does not use them
   * @throws {StoreRefused} unless the database is of this version, counts under these settings and zone rules, and has recorded
   *   these hosts at some time
   */
  checkSettings(ownHosts?: OwnHosts | null): Promise<OwnHostsInUse>

  /**
   * Reports every difference between the counters and a recount. Each day is compared in one snapshot with everything that
   * depends on it, then the totals with the days that they sum up. Changes between two snapshots are not differences.
   *
   * @throws {StoreRefused} when other settings or zone rules are recorded meanwhile
   */
  verify(found: (difference: Difference) => void, progress?: Progress): Promise<Verified>

  /**
   * Corrects the counters to match a recount, day by day, while consumers run: no step makes a batch wait for long, and what
   * batches add meanwhile stays. A `progress` that throws ends it between two steps; the next run continues.
   *
   * @throws {StoreRefused} also if no view is counted on any of the days that are asked for
   */
  rebuild(options: RebuildOptions, progress?: Progress): Promise<Rebuilt>

  /**
   * Removes what retention no longer keeps, in small steps. Safe while consumers run; a second run at the same time is refused
   * (`ran: false`).
   *
   * @throws {ClocksDiffer} if the database is a server whose clock is over an hour from this host's
   */
  prune(options: PruneOptions, progress?: Progress): Promise<Pruned>

  /**
   * What this store keeps and counts, to fill another store with.
   *
   * @throws {StoreRefused} for data that ClickHouse cannot keep
   */
  copySource(): Promise<CopySource>

  /**
   * Fills this store from the source; may be repeated with the same result (ClickHouse only). @throws {StoreRefused} if it has
   * views of its own
   */
  fill?(source: CopySource, progress?: Progress): Promise<Filled>

  /** Erases what identifies a reader, and changes no number. Returns how many rows were changed. */
  forget(who: Forget, progress?: Progress): Promise<number>

  /** Problems that need attention although the store can be used, each with what to do. Known only after the first use. */
  warnings(): readonly string[]

  close(): Promise<void>
}

export interface Migrated {
  /** Describes in words what this process replaced. Processes that still use the old values stop before their next batch. */
  replaced: string[]
}

/** Called while work goes on: `done` of `total`, in rows, days or whatever `step` counts. */
export type Progress = (step: string, done: number, total: number) => void

/** A stored value that differs from a recount; `expected` or `found` is null if that side does not exist. */
export interface Difference {
  kind:
    | 'aggregate'
    | 'total'
    | 'row'
    | 'visitor'
    | 'site_aggregate'
    /** A breakdown of a post's day, or of the site's. */
    | DimensionName
    | `site_${DimensionName}`
    /** Something in the database itself on which exact counting depends; `rebuild` does not correct it. */
    | 'schema'
    /** An id that has several rows. */
    | 'id'
  /** Which one: `post 42 on 2026-11-21`, `row 17`. Holds no personal data. */
  name: string
  /** The field that differs: `view_count`, `day`. */
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
  /** Also record this process's counting settings, and apply them to every day where that is possible. */
  adoptSettings: boolean
  /** Only these days. By default, and if settings are adopted, all days. Days whose raw rows are gone are refused. */
  from?: Day
  to?: Day
  /**
   * Apply this version's lists to the rows of these days, for the texts that have these dimensions as a field; see
   * who-again.ts. Rows without an hour get it as well.
   */
  derive?: readonly DimensionName[]
}

export interface Rebuilt {
  /** How many values were corrected. */
  fixed: number
  /** How many raw rows got another text, by `derive`. */
  derived: number
  /** How many days were counted again from their raw rows. */
  days: number
  /** The first day whose raw rows are complete; earlier days were not changed. Null if the raw rows of all days are complete. */
  firstDay: Day | null
}

export interface PruneOptions {
  /** Unix seconds. */
  now: number
  /** Raw rows received longer ago are removed; 0 keeps them for ever. */
  rawRetentionDays: number
  /** A day's key and visitors are removed once its views are no longer accepted. */
  maxAgeSeconds: number
}

export interface Pruned {
  /** False if another process was already pruning. */
  ran: boolean
  rows: number
  days: number
}

export interface Reopened {
  /** The days that this call finished opening. */
  days: Day[]
  /** False while another process is opening days. */
  isDone: boolean
}

export interface Filled {
  rows: number
  /** Days of posts for which the source had other figures: views arrived meanwhile, or its figures do not follow from its rows. */
  differing: number
}

export type Forget = { userId: string } | { ip: string }

export interface Totals extends ChosenFigures {
  /** ISO 8601, UTC, whole seconds. */
  first_viewed_at: string | null
  last_viewed_at: string | null
  /** The first day from which all figures are known. Present only if earlier days were adopted with nothing but their views. */
  details_since?: Day
}

export interface DayFigures extends ChosenFigures {
  date: Day
}

/** A dimension's values in a period. */
export interface BreakdownOfPeriod {
  /** The empty value stands for views without one. */
  values: Map<string, Views>
  /** The views of all values that are not kept; null if every value is kept. */
  others: Views | null
  /** Days that have views, in any order. If `known` is less than `all`, some views were kept before values of the dimension were. */
  days: { date: Day; all: Views; known: Views }[]
}

export interface BreakdownOfDay {
  date: Day
  all: Views
  /** Less than `all` if some views were kept before values of the dimension were. */
  known: Views
  values: Map<string, Views>
  /** Whether some values are not kept, so that nobody knows the views of a value that is missing. */
  hasOthers: boolean
}

export type TopSort = 'views' | 'unique_views' | 'change'
export type TopOrder = 'desc' | 'asc'

/** Which list of posts, and which page of it. */
export interface TopQuestion {
  /** Null: all time, which `change` cannot be asked for. */
  period: Period | null
  who?: Who
  /** The figure that decides the order; `views` by default. `change`: the views beyond those of as many days before. */
  sort?: TopSort
  /** `desc` by default: the greatest figure first. Either way equals are in the order of their ids, and posts without the figure last. */
  order?: TopOrder
  limit: number
  offset?: number
  /**
   * How old the answer may be if it takes a while to read; 0, the default: it includes everything that was committed before the
   * call.
   */
  maxAgeMs?: number
}

export interface PostFigures {
  post_uuid: string
  /** Null if not known, which it may be of people or of bots alone. */
  views: number | null
  unique_views: number | null
  /** Both only in a list by `change`, which also has the posts with views in the period before alone; null if not known. */
  previous_views?: number | null
  change?: number | null
}

export interface TopPosts {
  /** Its age when it was requested. 0: read after the request; negative: read this long after it, because reading took long. */
  ageMs: number
  /** How many posts there are to page through. */
  total: number
  posts: PostFigures[]
}

/** Which posts may stand out on some days against days before. */
export interface RisingQuestion {
  who: Who
  days: Period
  /** Null: there are no days before. */
  before: Period | null
  site: SiteCompared
  limit: number
  offset: number
  /** As of a `TopQuestion`. */
  maxAgeMs?: number
}

export interface RisingPost {
  post_uuid: string
  /** Of the days, and of the days before. */
  views: number
  viewsBefore: number
  /** The score that the post has at most, in hundredths. */
  bound: number
}

export interface RisingPosts {
  /** As of `TopPosts`. */
  ageMs: number
  /** The greatest bound first. */
  posts: RisingPost[]
  /** How many posts have views in the days before. */
  postsBefore: number
  /**
   * Another text once figures were corrected by something else than views that came. Null: nobody can tell, so nothing that was
   * read before may be relied on.
   */
  revision: string | null
}

/** What the internal API reads. Days without views are left out; the route fills them in. */
export interface Reads {
  /** The moment up to which all recorded views are counted in answers from now on. Argument and result are Unix milliseconds. */
  asOf(nowMs: number): Promise<number>
  /** In the order asked; zeros for a post never viewed. Times are null where they are not those of the chosen views. */
  postTotals(posts: readonly string[], who?: Who): Promise<(Totals & { post_uuid: string })[]>
  /** Oldest first, by post. */
  postDays(posts: readonly string[], from: Day, to: Day, who?: Who): Promise<Map<string, DayFigures[]>>
  siteTotals(who?: Who): Promise<Totals>
  siteDays(from: Day, to: Day, who?: Who): Promise<DayFigures[]>
  topPosts(question: TopQuestion): Promise<TopPosts>
  /** The posts with at least `LEAST_VIEWS` views on the days that may stand out; none whose views are not known. */
  risingPosts(question: RisingQuestion): Promise<RisingPosts>
  /** The site's own hosts, as recorded now. */
  ownHosts(): Promise<OwnHosts>
  /** The dimensions that `breakdown` can be asked for. */
  readonly dimensions: readonly DimensionName[]
  /**
   * `post` null is the whole site. If `who` is given, days that were counted under another `BOTS` are converted to the present one;
   * views are then NaN where it is not known how many were bots'. Of a settled day (see bounds.ts) only the values that are kept can be listed.
   */
  breakdown(
    dimension: DimensionName,
    post: string | null,
    from: Day,
    to: Day,
    who?: Who,
  ): Promise<BreakdownOfPeriod>
  /** The same, day by day, of some values: those for which `isAsked` holds. Days without views are left out. */
  breakdownDays(
    dimension: DimensionName,
    post: string | null,
    from: Day,
    to: Day,
    isAsked: (value: string) => boolean,
    who?: Who,
  ): Promise<BreakdownOfDay[]>
  /** The same of many posts. */
  breakdownDaysOfPosts(
    dimension: DimensionName,
    posts: readonly string[],
    from: Day,
    to: Day,
    isAsked: (value: string) => boolean,
    who?: Who,
  ): Promise<Map<string, BreakdownOfDay[]>>
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
