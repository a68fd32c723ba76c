/**
 * What the SQL engines share: reads, recounts and retention are written once, in SQL that all of them understand, over this small
 * interface. Only the recording of a batch is written for each engine.
 */

import { type CountedBy, toBotsBefore } from '../bots-before.ts'
import type { Calendar } from '../calendar.ts'
import type { CountingSettings } from '../counting-settings.ts'
import type { Day } from '../days.ts'
import type { UniqueBy } from '../row.ts'
import type { Difference, Progress } from '../store.ts'

export type SqlValue = string | number | null
export type SqlRow = Record<string, unknown>

/** SQL that each engine spells differently. */
export interface Dialect {
  /** Hex digits as a literal of bytes. */
  bytes(hex: string): string
  /** Bytes as hex digits, in upper case. */
  hex(column: string): string
  /** Hex digits as bytes. */
  unhex(digits: string): string
  /**
   * The column by which the tables of rows (`post_views`, `post_view_visitors`, `post_view_unpacked`) are searched and sorted by
   * post.
   */
  post: string
  /** A post's key in that column, from its `post_uuid`. */
  postKey(text: string): string
  /** The type to which CAST makes a value a text. */
  text: string
}

export const MYSQL_DIALECT: Dialect = {
  bytes: hex => `x'${hex}'`,
  hex: column => `HEX(${column})`,
  unhex: digits => `UNHEX(${digits})`,
  post: 'post_uuid',
  postKey: text => text,
  text: 'CHAR',
}

/** Runs single statements with `?` for each value. @throws {StoreUnavailable} and the other errors of a store */
export interface SqlClient {
  readonly dialect: Dialect
  all(sql: string, values?: readonly SqlValue[]): Promise<SqlRow[]>
  /** Returns how many rows were changed. */
  run(sql: string, values?: readonly SqlValue[]): Promise<number>
}

/** The unique keys of each table, as the names of their columns: `date, post_uuid`. */
export type Keys = ReadonlyMap<string, ReadonlySet<string>>

export interface FoundSchema {
  /** The table that holds the raw rows. */
  rows: string
  /** The keys in the committed `schema.sql`. */
  expected: Keys
  /** The keys in the database. A table that is missing there is missing here. */
  found: Keys
  /** Tables to which users may add keys of their own: a view that violates one becomes a dead letter. */
  adopted: ReadonlySet<string>
  /** Other differences, which only this engine can have. */
  differences: Difference[]
}

/** Runs short work during which no batch is recorded. */
export type Exclusive = <T>(work: (client: SqlClient) => Promise<T>) => Promise<T>

export interface SqlEngine {
  calendar: Calendar
  settings: CountingSettings
  /** True if `settings.uniqueBy` was not configured; see agreement.ts. */
  learnsUniqueBy: boolean
  /** Single reads. */
  reader: SqlClient
  /** Runs reads that all see one snapshot. */
  snapshot<T>(work: (client: SqlClient) => Promise<T>): Promise<T>
  /** A transaction during which no batch is recorded, by any process. Tried again after a deadlock. */
  exclusive<T>(work: (client: SqlClient, state: State) => Promise<T>): Promise<T>
  /** The keys and triggers that exist, and those that must exist. */
  schema(): Promise<FoundSchema>
  /** Unix seconds as the engine stores times, and back. */
  toTime(unixSeconds: number): SqlValue
  fromTime(value: unknown): number
  /** Unix seconds by the server's own clock; null where there is no server. */
  serverClock: (() => Promise<number>) | null
  /** The column by which a day's rows of `post_view_aggregates` are found in order. */
  aggregatesAreKeptBy: 'post_uuid' | 'id'
  /**
   * Removes texts that rows shared and that no row uses any more. Engines that keep each text in its row do not have this.
   *
   * @param now Unix seconds. If it is given, the removal is done at most once a day.
   * @returns false if something may be left, because rows were being changed meanwhile
   */
  removeUnused?(exclusive: Exclusive, progress: Progress, now?: number): Promise<boolean>
  /** `post_view_aggregates` as SQL to select from, so that the days of a few posts are found without reading others. */
  daysOfPosts: string
}

/** The one row of `post_view_state`. */
export interface State extends CountedBy<CountingSettings> {
  /** Raised whenever something that all processes must agree on is replaced; see agreement.ts. */
  agreement: number
  /** The first day counted under `settings`; null when every day is. */
  settingsSince: Day | null
  /** The first day whose raw rows are complete; null when none is incomplete. */
  rawFrom: Day | null
  /** The first day whose key and visitors are kept; null when none was closed. */
  openFrom: Day | null
  /** The last day of which only the views are known, because of adopted rows; null when there is none. */
  unknownUntil: Day | null
  /** The last day of which only the hosts with most views are kept, and the rest as a remainder; null when there is none. */
  settledUntil: Day | null
  /** The last day that was cut to the values that are kept; null when there is none. */
  boundedUntil: Day | null
  /** Unix seconds; null when the tables are our own from the start. */
  adoptedAt: number | null
}

export const STATE_COLUMNS =
  'agreement, stats_timezone, window_hours, unique_by, bots, bots_before, settings_since, raw_from, open_from, unknown_until, settled_until, bounded_until, adopted_at'

export const SELECT_STATE = `SELECT ${STATE_COLUMNS} FROM post_view_state WHERE id = 1`

/** Written once, with a new database. */
export const FIRST_STATE = `
  INSERT INTO post_view_state (id, stats_timezone, window_hours, unique_by, bots)
  VALUES (1, ?, ?, ?, ?)
  ON CONFLICT (id) DO NOTHING`

export function firstState({ timeZone, windowHours, uniqueBy, bots }: CountingSettings): SqlValue[] {
  return [timeZone, windowHours, uniqueBy, bots]
}

export function toState(row: SqlRow): State {
  return {
    agreement: Number(row['agreement']),
    settings: {
      timeZone: String(row['stats_timezone']),
      windowHours: Number(row['window_hours']),
      uniqueBy: row['unique_by'] as UniqueBy,
      bots: row['bots'] as CountingSettings['bots'],
    },
    botsBefore: toBotsBefore(row['bots_before']),
    settingsSince: row['settings_since'] as Day | null,
    rawFrom: row['raw_from'] as Day | null,
    openFrom: row['open_from'] as Day | null,
    unknownUntil: row['unknown_until'] as Day | null,
    settledUntil: row['settled_until'] as Day | null,
    boundedUntil: row['bounded_until'] as Day | null,
    adoptedAt: row['adopted_at'] === null ? null : Number(row['adopted_at']),
  }
}

export function isSettled({ settledUntil }: Pick<State, 'settledUntil'>, day: Day): boolean {
  return settledUntil !== null && day <= settledUntil
}

/** `?, ?, ?` for `count` values. */
export function placeholders(count: number): string {
  return Array.from({ length: count }, () => '?').join(', ')
}

/** A sum or count as the engine returns it; null stays null. */
export function figure(value: unknown): number | null {
  return value === null || value === undefined ? null : Number(value)
}
