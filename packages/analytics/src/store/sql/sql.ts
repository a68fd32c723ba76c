/**
 * What the SQL engines have in common: reads, recounts and retention are written once, in SQL that all of them
 * know, over the small interface here. Only the way of a batch is each engine's own.
 */

import type { Calendar, Day } from '../calendar.ts'
import type { CountingSettings } from '../counting-settings.ts'
import type { UniqueBy } from '../row.ts'
import type { Difference } from '../store.ts'

export type SqlValue = string | number | null
export type SqlRow = Record<string, unknown>

/** How an engine spells what SQL leaves open. */
export interface Dialect {
  /** Hex digits as a literal of bytes. */
  bytes(hex: string): string
  /** Bytes as hex digits, in upper case. */
  hex(column: string): string
  /** Hex digits as bytes. */
  unhex(digits: string): string
}

/** That of SQLite and MySQL. */
export const COMMON_DIALECT: Dialect = {
  bytes: hex => `x'${hex}'`,
  hex: column => `HEX(${column})`,
  unhex: digits => `UNHEX(${digits})`,
}

/** Runs single statements with `?` for each value. @throws {StoreUnavailable} and the other errors of a store */
export interface SqlClient {
  readonly dialect: Dialect
  all(sql: string, values?: readonly SqlValue[]): Promise<SqlRow[]>
  /** Returns how many rows were changed. */
  run(sql: string, values?: readonly SqlValue[]): Promise<number>
}

/** Of each table the keys that no two rows share: their columns by name, `date, post_uuid`. */
export type Keys = ReadonlyMap<string, ReadonlySet<string>>

export interface FoundSchema {
  /** Those of the committed `schema.sql`. */
  expected: Keys
  /** Those that there are; a table that is missing is. */
  found: Keys
  /** Tables that users may give keys of their own, which are rules of theirs: a view that breaks one is a dead letter. */
  adopted: ReadonlySet<string>
  /** What else is not as it has to be on this engine. */
  differences: Difference[]
}

export interface SqlEngine {
  calendar: Calendar
  settings: CountingSettings
  /** `settings.uniqueBy` was not asked for; see agreement.ts. */
  learnsUniqueBy: boolean
  /** Single reads. */
  reader: SqlClient
  /** Many reads that all see one moment. */
  snapshot<T>(work: (client: SqlClient) => Promise<T>): Promise<T>
  /** A transaction during which no batch is recorded, by any process. Tried again after a deadlock. */
  exclusive<T>(work: (client: SqlClient, state: State) => Promise<T>): Promise<T>
  /** The keys and triggers that there are, and those that there have to be. */
  schema(): Promise<FoundSchema>
  /** Unix seconds as the engine stores times, and back. */
  toTime(unixSeconds: number): SqlValue
  fromTime(value: unknown): number
  /** Unix seconds by the server's own clock; null where there is no server. */
  serverClock: (() => Promise<number>) | null
  /** The column by which a day's rows of `post_view_aggregates` are found in order. */
  aggregatesAreKeptBy: 'post_uuid' | 'id'
  /** `post_view_aggregates` as SQL to select from, such that the days of a few posts are found without looking at others. */
  daysOfPosts: string
}

/** The one row of `post_view_state`. */
export interface State {
  /** Raised whenever something that all processes must agree on is replaced; see agreement.ts. */
  agreement: number
  settings: CountingSettings
  /** The first day counted under `settings`; null when every day is. */
  settingsSince: Day | null
  /** The first day whose raw rows are complete; null when none is incomplete. */
  rawFrom: Day | null
  /** The first day whose key and visitors are kept; null when none was closed. */
  openFrom: Day | null
  /** The last day that adopted rows leave unknown but for its views; null when there is none. */
  unknownUntil: Day | null
  /** The last day of which only the hosts with most views are kept, and the rest as a remainder; null when there is none. */
  settledUntil: Day | null
  /** The last day of which all that is not kept was moved; null when there is none. */
  boundedUntil: Day | null
  /** Unix seconds; null when the tables are our own from the start. */
  adoptedAt: number | null
}

export const STATE_COLUMNS =
  'agreement, stats_timezone, window_hours, unique_by, bots, settings_since, raw_from, open_from, unknown_until, settled_until, bounded_until, adopted_at'

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

/** `?, ?, ?` for so many values. */
export function placeholders(count: number): string {
  return Array.from({ length: count }, () => '?').join(', ')
}

/** A sum or count as the engine returns it; null stays null. */
export function figure(value: unknown): number | null {
  return value === null || value === undefined ? null : Number(value)
}
