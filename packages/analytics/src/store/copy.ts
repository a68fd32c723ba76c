/** What a store hands over to another one, which keeps and counts the same. */

import type { Day } from './calendar.ts'
import type { CountingSettings } from './counting-settings.ts'
import { type DetailName, eachDetail } from './figures.ts'
import type { KeptRow } from './row.ts'

/** A raw row, with what of it does not follow from its view. */
export interface CopiedRow {
  row: KeptRow
  /** A UUID, made of the row's number where its event had no id: the same one whenever it is copied. */
  id: string
  /** Unix seconds, any of the hour that its publisher has sent; null: nobody can tell, and the view's own time stands for it. */
  hourTime: number | null
  /** Whether it takes part in every number, or in `bots` alone; null: as the settings say. */
  counts: boolean | null
  /** It was adopted and takes part in none, since the views of its day are not those of its rows. */
  isUnexplained: boolean
  isForgotten: boolean
}

/** Figures of a post's day, or the views of one of its hosts, or of one of the site's. Times are Unix seconds. */
export interface CopiedFigures extends Record<DetailName, number> {
  kind: 'post' | 'referrer' | 'site_referrer'
  /** Empty for the site. */
  post: string
  day: Day
  host: string
  views: number
  /** Whether the rest is known. */
  isDetailed: boolean
  first_viewed_at: number | null
  last_viewed_at: number | null
}

/** What figures of a host have beside its views. */
export const OF_HOST = {
  isDetailed: true,
  ...eachDetail(() => 0),
  first_viewed_at: null,
  last_viewed_at: null,
} as const

/** Somebody who has read a post on a day that is open, and may come again. */
export interface CopiedReader {
  post: string
  day: Day
  /** Null: `visitor` says it as well. */
  slice: number | null
  /** The first 16 hex digits. */
  visitor: string
}

export interface CopySource {
  settings: CountingSettings
  settingsSince: Day | null
  /** The lists of the site's own hosts, the latest first. */
  ownHosts: readonly string[]
  /** The keys of open days. */
  keys: ReadonlyMap<Day, string>
  /** The first day whose rows are complete; null when none is incomplete. */
  rawFrom: Day | null
  /** How many there are, about. */
  rowsAbout: number
  rows(): AsyncIterable<CopiedRow[]>
  /** All of posts' days; hosts of days before `rawFrom` alone. */
  figures(): AsyncIterable<CopiedFigures[]>
  /** Of days before `rawFrom`. */
  readers(): AsyncIterable<CopiedReader[]>
}
