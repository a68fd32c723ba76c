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
 * A period beside the one before it, like with like: today is not over, so neither it nor the day that would stand
 * beside it is among these.
 */
export interface Comparison {
  /** The days before, of which `sums` are. */
  period: DayRange
  sums: Sums
  /** Of the days of the period itself that are over; null where none is, for it is today alone. */
  over: Sums | null
  isWithoutToday: boolean
  /** The first day with a view, where the days before begin earlier: what was viewed then is unknown. */
  countedSince: Day | null
}

/** A period's numbers beside those of the period before. */
export interface Trend {
  /** IANA name: what a day is. */
  timezone: string
  today: Day
  /** May be still to come as a whole: then its sums are unknown and it has no days. */
  period: DayRange
  sums: Sums
  /** Null where it is more days than Analytics tells at once. */
  before: Comparison | null
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
  /** Its place among all posts that were viewed in the period; null where that is not known, or it has none. */
  rank: number | null
  /** Null when nobody tells it. */
  name: PostName | null
  views: number
  unique_views: number | null
  /** Views over the days of the chart. */
  spark: Spark
}

export interface Spark {
  /** Oldest first, summed up where there are many. */
  points: number[]
  /** The last point is, or has in it, today. */
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
   * `host`: from that host; `direct`: from nowhere that they told; `other`: from hosts that the list leaves out;
   * `internal`: from the site's own pages, which is no place that they came from; `unknown`: nobody knows.
   */
  kind: 'host' | 'direct' | 'other' | 'internal' | 'unknown'
  /** Only of the kind `host`. */
  host: string | null
  views: number
  /** Only of the kind `other`: how many hosts; `isMore`: at least so many. */
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
  /** Whose days are counted, and what all times are shown in. */
  zone: StatsZone
  counting: Counting
  names: Names
  /** Hosts first, most views first; the other kinds, where there are any, are one row each, below. */
  referrers: ReferrerRow[]
}

export interface Overview extends Numbers {
  posts: PostRow[]
  /** How many there are to page through, or were found. */
  totalPosts: number
  /** A search found as many as it asks for at most: there may be more. */
  mayBeMore: boolean
  /** Views of the first of all posts in the period: what bars are measured by, whatever part of the list is shown. */
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
/**
 * As many as Analytics lists at once: of these a search knows the rank, and looks for a part of the id; what the posts
 * service finds further down has a rank that is not known.
 */
export const RANKED_POSTS = 1_000
