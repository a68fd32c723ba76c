/** What a raw row keeps of a view, declared once for all engines. */

import type { Day } from './days.ts'

/** A raw row: everything that is kept of a view. `KEPT` says how each field is stored. */
export interface KeptRow {
  /** A lower-case UUID; null: counted at least once. */
  eventId: string | null
  postUuid: string
  /** Decimal digits. */
  userId: string | null
  ip: string | null
  userAgent: string | null
  referer: string | null
  /** Unix seconds. */
  viewedAt: number
  /** Unix seconds of the delivery that was counted. */
  receivedAt: number
  day: Day
  slice: number
  loggedIn: boolean
  bot: boolean
  /** 32 hex digits. */
  visitor: string
  /** The host the reader came from, without `www.`; empty when there was none. */
  refererHost: string
  /** The hour within the day, from its first instant: 0 to 24. */
  hour: number
  /** What the address of the post said about the link: see `utmText`. */
  utm: string | null
  /** Source, channel and campaign; device, browser, system or machine; country: see `derive/who.ts`. */
  origin: string
  agent: string
  /** Null: countries are switched off. */
  country: string | null
}

/** What of a row is counted: everything except what identifies the view and its reader. */
export type CountableRow = Omit<KeptRow, 'eventId' | 'visitor'>

/** What a column holds. Each engine knows how to write it. `digits`: a whole number up to 64 bits, as decimal digits. */
export type ColumnType = 'text' | 'digits' | 'number' | 'flag' | 'time' | 'day' | 'uuid' | 'hash'

export interface KeptColumn {
  /** In `post_views`. */
  column: string
  type: ColumnType
  /** Whether the value may be missing. */
  isNullable?: true
  /** Whether `forget` erases it. */
  isPersonal?: true
  /** Whether the same few texts come again and again: SQLite keeps each of them once, and a number in its place. */
  isRepeated?: true
}

/** The columns of raw rows, the same on every engine. Inserts, `copy` and `forget` follow from this list. */
export const KEPT: Readonly<Record<keyof KeptRow, KeptColumn>> = {
  postUuid: { column: 'post_uuid', type: 'text', isRepeated: true },
  userId: { column: 'user_id', type: 'digits', isNullable: true, isPersonal: true },
  ip: { column: 'ip', type: 'text', isNullable: true, isPersonal: true },
  userAgent: { column: 'user_agent', type: 'text', isNullable: true, isPersonal: true, isRepeated: true },
  referer: { column: 'referer', type: 'text', isNullable: true, isPersonal: true },
  viewedAt: { column: 'viewed_at', type: 'time' },
  eventId: { column: 'event_id', type: 'uuid', isNullable: true },
  receivedAt: { column: 'received_at', type: 'time' },
  day: { column: 'day', type: 'day' },
  slice: { column: 'slice', type: 'number' },
  loggedIn: { column: 'logged_in', type: 'flag' },
  bot: { column: 'bot', type: 'flag' },
  visitor: { column: 'visitor', type: 'hash' },
  refererHost: { column: 'referer_host', type: 'text', isRepeated: true },
  hour: { column: 'hour_of_day', type: 'number', isNullable: true },
  utm: { column: 'utm', type: 'text', isNullable: true, isPersonal: true },
  origin: { column: 'origin', type: 'text', isNullable: true, isRepeated: true },
  agent: { column: 'agent', type: 'text', isNullable: true, isRepeated: true },
  country: { column: 'country', type: 'text', isNullable: true, isRepeated: true },
}

export type KeptName = keyof KeptRow
export type KeptValue = KeptRow[KeptName]

export const KEPT_NAMES = Object.keys(KEPT) as KeptName[]
export const KEPT_COLUMNS = KEPT_NAMES.map(name => KEPT[name].column)
/** The fields that identify a reader. */
export const PERSONAL_NAMES = KEPT_NAMES.filter(name => KEPT[name].isPersonal)
export const PERSONAL_COLUMNS = PERSONAL_NAMES.map(name => KEPT[name].column)
