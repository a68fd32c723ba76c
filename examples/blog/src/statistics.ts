/** What authors are told of their own posts. Numbers are those of people. */

import type { HoursQuery, PostsViews, Stats } from '@postviews/client/src/index.ts'
import { dayOf, type StatsZone } from '@postviews/client/src/index.ts'
import type { Post } from './posts.ts'

export type AskedStats = Pick<
  Stats,
  'postsViews' | 'postHours' | 'postBreakdown' | 'status' | 'trendingPosts' | 'topPosts'
>

/** Of people alone a number may be unknown. */
export type Counts = PostsViews<number | null>
type PostCounts = Counts['posts'][number]
export type Day = NonNullable<PostCounts['days']>[number]

/** The limits of the API for one call: posts, and posts times days. */
const POSTS_OF_CALL = 200
const POST_DAYS_OF_CALL = 20_000
/** The most days that the API tells of. */
const MAX_DAYS = 800

export const PERIODS = [7, 30, 90, 365] as const
export const DEFAULT_DAYS = 30

/**
 * The numbers of all these posts, for most authors in one call.
 *
 * @throws {StatsError} when they are unknown, which is not the same as 0
 */
export async function countsOf(stats: AskedStats, posts: readonly Post[], days: number): Promise<Counts> {
  const ids = posts.map(({ id }) => id)
  const atOnce = Math.min(POSTS_OF_CALL, Math.floor(POST_DAYS_OF_CALL / days))
  const [first, ...more] = await Promise.all(
    Array.from({ length: Math.ceil(ids.length / atOnce) }, (_, call) =>
      stats.postsViews(ids.slice(call * atOnce, (call + 1) * atOnce), { days, who: 'people' }),
    ),
  )
  return { ...first!, posts: [first!, ...more].flatMap(({ posts }) => posts) }
}

/** A sum that may be unknown, or known from a day on. */
export interface Known {
  value: number | null
  /** The first day that it is of, if the days before are unknown. */
  since: string | null
}

export function sumOf(days: readonly Day[], name: 'views' | 'unique_views'): Known {
  const unknownUntil = days.findLastIndex(day => day[name] === null)
  const known = days.slice(unknownUntil + 1)
  if (known.length === 0 && days.length > 0) return { value: null, since: null }
  return {
    value: known.reduce((sum, day) => sum + (day[name] ?? 0), 0),
    since: unknownUntil === -1 ? null : known[0]!.date,
  }
}

/** The first hours of a post, and how it does beside the author's others at the same age. */
export interface PostStatistics {
  counts: PostCounts
  asOf: string
  timezone: string
  /** The first 48 hours, those to come left out; null: they were not kept. */
  hours: { start: string; views: number }[] | null
  /** Where readers came from, most first; null: from nowhere, or nobody told. `others`: all that are not listed. */
  sources: { value: string | null; views: number }[]
  others: number | null
  /** The views of people up to this age; null if the author has no other post that is known at this age. */
  comparison: Comparison | null
}

export interface Comparison {
  /** Whole days, at least one. */
  ageDays: number
  views: number
  /** Of the author's other posts, at the same age. */
  median: number
  posts: number
}

const FIRST_HOURS = 48
const HOUR_MS = 3_600_000
const SOURCES = 8

/**
 * @param own the author's posts, this one included
 * @throws {StatsError} when they are unknown
 */
export async function statisticsOf(
  stats: AskedStats,
  post: Post,
  own: readonly Post[],
  zone: StatsZone,
): Promise<PostStatistics> {
  const published = dayOf(post.publishedAt, zone.offsets)
  const days = Math.min(
    MAX_DAYS,
    Math.max(1, Math.floor(POST_DAYS_OF_CALL / Math.min(own.length, POSTS_OF_CALL))),
  )
  const [counts, hours, sources] = await Promise.all([
    countsOf(stats, own, days),
    stats.postHours(post.id, {
      from: published,
      to: addDays(published, 2),
      who: 'people',
    } satisfies HoursQuery),
    stats.postBreakdown(post.id, 'source', { days: MAX_DAYS, who: 'people', limit: SOURCES }),
  ])
  const today = counts.to ?? published
  const isTold = (hour: { start: string }) => {
    const sinceMs = Date.parse(hour.start) - post.publishedAt.getTime()
    return sinceMs > -HOUR_MS && sinceMs < FIRST_HOURS * HOUR_MS && hour.start <= counts.as_of
  }
  const first = hours.hours.filter(isTold)
  return {
    counts: counts.posts.find(({ post_uuid: id }) => id === post.id)!,
    asOf: counts.as_of,
    timezone: hours.timezone,
    hours: first.some(({ views }) => views === null)
      ? null
      : first.map(({ start, views }) => ({ start, views: views! })),
    sources: sources.values,
    others:
      sources.other.views === null || sources.unknown.views === null
        ? null
        : sources.other.views + sources.unknown.views,
    comparison: comparisonOf(post, own, counts, {
      today,
      dayOfPost: ({ publishedAt }) => dayOf(publishedAt, zone.offsets),
    }),
  }
}

/** Whole days alone are compared: today is not over. */
export function comparisonOf(
  post: Post,
  own: readonly Post[],
  counts: Counts,
  { today, dayOfPost }: { today: string; dayOfPost(post: Post): string },
): Comparison | null {
  const byId = new Map(counts.posts.map(found => [found.post_uuid, found.days ?? []]))
  const ageDays = daysBetween(dayOfPost(post), today)
  const viewsAtAge = (of: Post): number | null => {
    const from = dayOfPost(of)
    const days = byId.get(of.id)?.filter(({ date }) => date >= from && date < addDays(from, ageDays)) ?? []
    // It is younger, or its first days are longer ago than the API tells.
    if (days.length < ageDays || daysBetween(from, today) < ageDays) return null
    return sumOf(days, 'views').since === null ? sumOf(days, 'views').value : null
  }
  if (ageDays < 1) return null
  const views = viewsAtAge(post)
  const others = own
    .filter(({ id }) => id !== post.id)
    .map(viewsAtAge)
    .filter(count => count !== null)
    .toSorted((a, b) => a - b)
  if (views === null || others.length === 0) return null
  const middle = others.length / 2
  const median = (others[Math.ceil(middle) - 1]! + others[Math.floor(middle)]!) / 2
  return { ageDays, views, median, posts: others.length }
}

const DAY_MS = 86_400_000

function addDays(day: string, count: number): string {
  return new Date(Date.parse(day) + count * DAY_MS).toISOString().slice(0, 10)
}

function daysBetween(from: string, to: string): number {
  return (Date.parse(to) - Date.parse(from)) / DAY_MS
}
