/** What one store hands over to another, which then keeps and counts the same views. */

import type { DimensionName } from '@postviews/client/src/figures.ts'
import type { CountedBy } from './bots-before.ts'
import type { CountingSettings } from './counting-settings.ts'
import type { Day } from './days.ts'
import { type DetailName, eachDetail } from './figures.ts'
import type { KeptRow } from './kept.ts'
import type { Views } from './pack.ts'

/** A raw row, with the facts that do not follow from its view. */
export interface CopiedRow {
  row: KeptRow
  /** A UUID. If the event had no id, it is derived from the row's number, so that every copy has the same one. */
  id: string
  /** Unix seconds, any moment of the hour in which its publisher sent it; null: unknown, and the view's own time is used. */
  hourTime: number | null
  /** Whether the row counts for every figure, or only for `bots`; null: decided by the settings. */
  counts: boolean | null
  /** The row was adopted and counts for no figure, because the views of its day do not match its rows. */
  isUnexplained: boolean
  isForgotten: boolean
}

/**
 * The figures of a post's day, or the views of one value on a day of a post or of the site. Details that are not known are null.
 * Times are Unix seconds.
 */
export interface CopiedFigures extends Record<DetailName, number | null> {
  kind: 'post' | 'value' | 'site_value'
  /** Empty for the site. */
  post: string
  day: Day
  /** Both empty for the figures of a post's day. `REMAINDER` stands for the values that are not kept. */
  dimension: DimensionName | ''
  value: string
  views: number
  /** Whether the figures other than `views` are known. */
  isDetailed: boolean
  first_viewed_at: number | null
  last_viewed_at: number | null
}

/** The views of a value have no figures but bots. */
export function copiedValue(
  of: Pick<CopiedFigures, 'kind' | 'post' | 'day' | 'dimension' | 'value'>,
  { views, bots }: Views,
): CopiedFigures {
  return {
    ...of,
    ...eachDetail(() => 0),
    views,
    bots: bots ?? 0,
    isDetailed: bots !== null,
    first_viewed_at: null,
    last_viewed_at: null,
  }
}

/** A reader of a post on a day that is still open: the same reader may come again. */
export interface CopiedReader {
  post: string
  day: Day
  /** Null: `visitor` already includes the window. */
  slice: number | null
  /** The first 16 hex digits. */
  visitor: string
  /** As what the reader was seen: see readers.ts. */
  seen: number
}

export interface CopySource extends CountedBy<CountingSettings> {
  settingsSince: Day | null
  /** The lists of the site's own hosts, the latest first. */
  ownHosts: readonly string[]
  /** The keys of open days. */
  keys: ReadonlyMap<Day, string>
  /** The first day whose rows are complete; null when none is incomplete. */
  rawFrom: Day | null
  /** The approximate number of rows. */
  rowsAbout: number
  rows(): AsyncIterable<CopiedRow[]>
  /** All days of posts; values only of days before `rawFrom`. */
  figures(): AsyncIterable<CopiedFigures[]>
  /** Of days before `rawFrom`. */
  readers(): AsyncIterable<CopiedReader[]>
}
