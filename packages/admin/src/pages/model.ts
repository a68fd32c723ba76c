/** What the pages show: plain data, made by the server and sent to the browser as JSON. */

import type { FigureName, Figures } from '@postviews/client/src/figures.ts'
import type { StatsZone } from '@postviews/client/src/zone-time.ts'
import type { Day, DayRange, Question } from './question.ts'

/** A day's numbers; null where Analytics does not know. */
export interface DayFigures extends Figures {
  date: Day
}

/** A sum over the days of a period. */
export interface Sum {
  /** Null: unknown. */
  value: number | null
  /** Earlier days of the period are unknown: the value is that of the days from this one on. */
  since: Day | null
}

export type Sums = Record<FigureName, Sum>

/**
 * Compares a period with the one before it. Today is not over, so today is left out, and so is the day that
 * corresponds to it in the period before.
 */
export interface Comparison {
  /** The days before; `sums` are their sums. */
  period: DayRange
  sums: Sums
  /** Sums of those days of the period itself that are over; null if none is, because the period is today alone. */
  over: Sums | null
  isWithoutToday: boolean
  /** The first day with a view, if the days before begin earlier: the views before it are unknown. */
  countedSince: Day | null
}

/** A period's numbers beside those of the period before. */
export interface Trend {
  /** IANA name of the zone whose days are counted. */
  timezone: string
  today: Day
  /** May be still to come as a whole: then its sums are unknown, and it has no days. */
  period: DayRange
  sums: Sums
  /** Null if that is more days than Analytics gives at once. */
  before: Comparison | null
  /** For the chart and the table, oldest first. A short period is shown with some days before it. */
  days: DayFigures[]
  /** The same number of days before, in the same order; null unless a comparison was asked for. */
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
  /** Its rank among all posts that were viewed in the period; null if that is unknown, or if it has none. */
  rank: number | null
  /** Null if it is not known. */
  name: PostName | null
  views: number
  unique_views: number | null
  /** Views over the days of the chart. */
  spark: Spark
}

export interface Spark {
  /** Oldest first, summed up where there are many. */
  points: number[]
  /** The last point is today, or includes it. */
  isUnfinished: boolean
}

/** What a list leaves out, so that its rows add up to the whole. */
export interface OtherPosts {
  posts: number
  views: number
  unique_views: number | null
}

/** Views of readers who came from one host, or a row of another kind. */
export interface ReferrerRow {
  /**
   * `host`: from that host; `direct`: direct or unknown; `other`: from hosts that the list leaves out;
   * `internal`: from the site's own pages, which are no place that readers came from; `unknown`: not recorded.
   */
  kind: 'host' | 'direct' | 'other' | 'internal' | 'unknown'
  /** Only of the kind `host`. */
  host: string | null
  views: number
  /** Only of the kind `other`: how many hosts; `isMore`: at least that many. */
  hosts?: { count: number; isMore: boolean }
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
  /** The zone whose days are counted, and in which all times are shown. */
  zone: StatsZone
  counting: Counting
  names: Names
  /** Hosts first, most views first; the other kinds, where there are any, are one row each, below. */
  referrers: ReferrerRow[]
}

export interface Overview extends Numbers {
  posts: PostRow[]
  /** How many posts the list has on all its pages, or the search has found. */
  totalPosts: number
  /** The search has reached its limit: there may be more. */
  mayBeMore: boolean
  /** Views of the first post in the period: all bars are relative to it, whatever part of the list is shown. */
  mostViews: number
  others: OtherPosts | null
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

/** Why the numbers are not current. */
export interface Unavailable {
  /** ISO 8601. */
  since: string
  /** `away`: Analytics does not answer; `refused`: it does not take the key; `panel`: the panel itself does not answer. */
  reason: 'away' | 'refused' | 'panel'
}

/** The current numbers; or the last known ones, and since when; or nothing at all. */
export interface Known<Data> {
  data: Data | null
  /** When they were read, ISO 8601; null without data. */
  asOf: string | null
  unavailable: Unavailable | null
}

/** What pages have besides their data. */
interface Panel {
  /** The path that every address of the panel begins with, with a slash at its end: `/`, or `/stats/`. */
  root: string
  /** The zone that Analytics counts days in, as it reported last; for times on pages without data. */
  zone: StatsZone
}

interface Asked {
  question: Question
}

export type OverviewAnswer = Asked & Panel & Known<Overview> & { page: 'overview' }
export type PostAnswer = Asked & Panel & Known<Post> & { page: 'post'; id: string }
export type Answer = OverviewAnswer | PostAnswer

export const ROWS_PER_PAGE = 20
/**
 * The most posts that Analytics lists at once. A search knows the rank of these, and looks for a part of the id
 * among them; if the posts service finds another post, its rank is unknown.
 */
export const RANKED_POSTS = 1_000
