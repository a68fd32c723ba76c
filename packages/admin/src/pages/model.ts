/** What the pages show: plain data, made by the server and sent to the browser as JSON. */

import type { DimensionName, FigureName, Figures } from '@postviews/client/src/figures.ts'
import type { StatsZone } from '@postviews/client/src/zone-time.ts'
import type { CardName, Day, DayRange, Question } from './question.ts'

/** A day's numbers of the chosen views; null where Analytics does not know. */
export interface DayFigures extends Figures<number | null> {
  date: Day
}

/** Null: unknown. */
export interface DayViews {
  date: Day
  views: number | null
}

export interface HourViews {
  /** ISO 8601. */
  start: string
  isToCome?: true
  /** Null: unknown, or still to come. */
  views: number | null
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
 * Compares a period with one before it. Today is not over, so today is left out, and so is the day that
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
  /** Null if all days together are too many to read, or nothing is before them. */
  before: Comparison | null
  /** For the chart and the table, oldest first. A short period is shown with some days before it. */
  days: DayFigures[]
  /** The same number of days before, in the same order; null unless a comparison was asked for. */
  daysBefore: DayFigures[] | null
  /** The period by the hour, instead of the days. Null: it is shown by day. */
  hours: HourViews[] | null
  /** The hour that corresponds to each of `hours` in the period before; null unless a comparison was asked for. */
  hoursBefore: HourViews[] | null
  /** The days of one value, instead of all views. */
  chosen: ChosenDays | null
  /** The views that are not shown; of all views those by machines. */
  rest: {
    who: 'people' | 'bots'
    /** Whether the views that are shown include them. */
    isPart: boolean
    sum: Sum
    before: Pick<Comparison, 'sums' | 'over'> | null
  }
  /** Posts that were published on these days, oldest first. */
  published: Published[]
}

export interface ChosenDays {
  dimension: DimensionName
  value: string | null
  /** The same days as the trend's; those that are too many to read are left out. */
  days: DayViews[]
}

export interface Published {
  date: Day
  id: string
  title: string
}

export interface PostName {
  title: string
  author: string | null
  /** http or https. */
  url: string | null
  /** ISO 8601; null if the posts service does not tell. */
  publishedAt: string | null
}

export interface PostRow {
  id: string
  /** Its place in the whole list; null if that is unknown, or if it has none. */
  rank: number | null
  /** Null if it is not known. */
  name: PostName | null
  /** Null, as every number: unknown. */
  views: number | null
  unique_views: number | null
  /** The views minus those of as many days before; null also if nothing is before the period. */
  change: number | null
  /** Views over the days of the chart. */
  spark: Spark
}

export interface Spark {
  /** Oldest first, summed up where there are many; null: unknown. */
  points: (number | null)[]
  /** The last point is today, or includes it. */
  isUnfinished: boolean
}

/** What a list leaves out, so that its rows add up to the whole. */
export interface OtherPosts {
  posts: number
  views: number | null
  unique_views: number | null
}

/** Views of one value of a dimension, or a row of another kind. */
export interface ValueRow {
  /**
   * `value`: of that value; `none`: of no value, or nobody told; `other`: of the values that the list leaves out;
   * `internal`: from the site's own pages, which are no place that readers came from; `unknown`: not recorded.
   */
  kind: 'value' | 'none' | 'other' | 'internal' | 'unknown'
  /** Of the kind `value`; on a page of the whole list also of `internal`. */
  value: string | null
  views: number | null
  /** Only of the kind `other`: how many values; `isMore`: at least that many. */
  values?: { count: number; isMore: boolean }
}

/** The views of a period by the values of a dimension. */
export interface ValueList {
  dimension: DimensionName
  /** Values first, most views first; the other kinds, where there are any, are one row each, below. Together: `views`. */
  rows: ValueRow[]
  /** Null: unknown. */
  views: number | null
  /** How many values there are to page through. */
  total: number
  /** The days that are listed, if they are not the whole period. */
  since: Day | null
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
  /** By the card that shows them. */
  lists: Partial<Record<CardName, ValueList>>
}

export interface Overview extends Numbers {
  posts: PostRow[]
  /** How many posts the list has on all its pages, or the search has found. */
  totalPosts: number
  /** The search has reached its limit: there may be more. */
  mayBeMore: boolean
  /** Views of the first post in the period: all bars are relative to it, whatever part of the list is shown. */
  mostViews: number
  /** Whether there are days before that each post's views can be compared with. */
  hasChange: boolean
  others: OtherPosts | null
  /** Null: Analytics cannot tell. */
  trending: TrendingRow[] | null
}

/** A post that stands out in the last 24 full hours. */
export interface TrendingRow {
  id: string
  name: PostName | null
  last_24h: number
  /** Null: the post is new. */
  usual_24h: number | null
}

export interface Post extends Numbers {
  name: PostName | null
  /** Since the first view. */
  total: {
    /** Of the chosen views; null: unknown. */
    views: number | null
    first_viewed_at: string | null
    last_viewed_at: string | null
  }
}

/** By the days of the trend. */
export interface AiTrend {
  /** What machines fetched because a person had asked an assistant. */
  answers: DayViews[]
  /** Readers that assistants sent. */
  readers: DayViews[]
}

/** What machines read. */
export interface Machines extends Numbers {
  posts: PostRow[]
  totalPosts: number
  mostViews: number
  hasChange: boolean
  /** Null: the days are still to come. */
  ai: AiTrend | null
}

/** A whole list, page by page. */
export interface WholeList extends Numbers {
  list: ValueList
  /** Of the first row of the whole list. */
  mostViews: number
  /** Null: of the site. */
  name: PostName | null
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
export interface Panel {
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
export type MachinesAnswer = Asked & Panel & Known<Machines> & { page: 'machines' }
/** `id` null: of the site. */
export type ListAnswer = Asked &
  Panel &
  Known<WholeList> & { page: 'list'; id: string | null; dimension: DimensionName }
export type Answer = OverviewAnswer | PostAnswer | MachinesAnswer | ListAnswer

export const ROWS_PER_PAGE = 20
export const VALUES_PER_PAGE = 100
/**
 * The most posts that Analytics lists at once. A search knows the rank of these, and looks for a part of the id
 * among them; if the posts service finds another post, its rank is unknown.
 */
export const RANKED_POSTS = 1_000
