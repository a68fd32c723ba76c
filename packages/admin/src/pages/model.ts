/** What the pages show: plain data, made by the server and sent to the browser as JSON. */

import type { StatsZone } from '@postviews/client/zone-time'
import type { Day, DayRange, Question } from './question.ts'

/** A day's numbers; null where Analytics does not know. */
export interface DayFigures {
  date: Day
  views: number
  unique_views: number | null
  logged_in: number | null
  anonymous: number | null
  bots: number | null
}

/** A sum over the days of a period. */
export interface Sum {
  /** Null: unknown. */
  value: number | null
  /** Earlier days of the period are unknown: the value is that of the days from this one on. */
  since: Day | null
}

export type FigureName = Exclude<keyof DayFigures, 'date'>
export type Sums = Record<FigureName, Sum>

/** A period's numbers beside those of the period before. */
export interface Trend {
  /** IANA name: what a day is. */
  timezone: string
  today: Day
  period: DayRange
  sums: Sums
  /** As many days right before; null where that is more than Analytics tells at once. */
  before: { period: DayRange; sums: Sums } | null
  /** For the chart and the table, oldest first. A short period is shown with some days before it. */
  days: DayFigures[]
  /** As many days, the first beside the first; null unless asked to compare. */
  daysBefore: DayFigures[] | null
}

export interface PostName {
  title: string
  author: string | null
  /** http or https. */
  url: string | null
}

export interface PostRow {
  id: string
  /** Null when nobody tells it. */
  name: PostName | null
  views: number
  unique_views: number | null
  /** Views over the days of the chart, summed up where there are many; null where they are not at hand. */
  spark: number[] | null
}

export interface Referrer {
  /** Null: readers who came from nowhere that they told; or, where `internal` is there, from the site's own hosts. */
  host: string | null
  views: number
  /** Readers who went on from one of the site's own pages: no place that they came from. */
  internal?: true
}

/** How far counting is behind; null where Analytics cannot tell. */
export interface Counting {
  queued: number | null
  dead: number | null
  lag_seconds: number | null
  last_committed_at: string | null
  minutes: { minute: string; views: number }[]
}

/** Where titles and authors come from: nowhere, a posts service, or one that does not answer. */
export type Names = 'none' | 'known' | 'away'

interface Numbers {
  trend: Trend
  /** Whose days are counted, and what all times are shown in. */
  zone: StatsZone
  counting: Counting
  names: Names
  /** Most first; the site's own pages, if any, are one row, which is the last. */
  referrers: Referrer[]
}

export interface Overview extends Numbers {
  posts: PostRow[]
  /** How many there are to page through. */
  totalPosts: number
}

export interface Post extends Numbers {
  name: PostName | null
  /** Since the first view. */
  total: {
    views: number
    first_viewed_at: string | null
    last_viewed_at: string | null
  }
}

/** Why the numbers are not those of now. */
export interface Unavailable {
  /** ISO 8601. */
  since: string
  /** `away`: Analytics does not answer; `refused`: it does not take the key; `panel`: the panel itself does not answer. */
  reason: 'away' | 'refused' | 'panel'
}

/** What there is to know: the numbers of now; or the last there were, and since when; or not even those. */
export interface Known<Data> {
  data: Data | null
  /** When they were read, ISO 8601; null without data. */
  asOf: string | null
  unavailable: Unavailable | null
}

/** What pages know beside their data. */
interface Panel {
  /** The path that every address of the panel begins with, and a slash ends: `/`, or `/stats/`. */
  root: string
  /** The zone that Analytics counts days in, as it told last; for times of pages without data. */
  zone: StatsZone
}

interface Asked {
  question: Question
}

export type OverviewAnswer = Asked & Panel & Known<Overview> & { page: 'overview' }
export type PostAnswer = Asked & Panel & Known<Post> & { page: 'post'; id: string }
export type Answer = OverviewAnswer | PostAnswer

export const ROWS_PER_PAGE = 20
