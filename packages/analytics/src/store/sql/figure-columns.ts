/** Figures as the columns of SQL tables. They follow from `../figures.ts`. */

import type { Count, PostCount } from '../counts.ts'
import { DETAILS, type DetailName } from '../figures.ts'

const TIMES = ['first_viewed_at', 'last_viewed_at'] as const

/** The columns of `post_view_aggregates` and `site_view_aggregates`. */
export const DAY_COLUMNS = ['view_count', ...DETAILS, ...TIMES] as const
/** The columns of `post_view_totals`. */
export const TOTAL_COLUMNS = ['views', 'detailed_views', ...DETAILS, ...TIMES] as const

/** Whether adopted rows may leave a column unknown. */
export function isDetail(column: string): boolean {
  return DETAILS.some(name => name === column)
}

/** Whether a column is a time and not a number. */
export function isTime(column: string): boolean {
  return column.endsWith('_at')
}

/**
 * As SQL: the sum of a detail over the days whose details are known. A figure that was added after one of these days is unknown
 * for that day, and so is its sum.
 */
export function sumOfKnown(name: DetailName): string {
  return `CASE WHEN COUNT(${name}) = COUNT(unique_views) THEN SUM(${name}) END AS ${name}`
}

/** As SQL: the views of a day whose details are known. */
export const KNOWN_VIEWS = 'CASE WHEN unique_views IS NOT NULL THEN view_count END'

type Value = number | null

/** In the order of `DAY_COLUMNS`; times as Unix seconds. */
export function dayValues(count: Count): Value[] {
  return [count.views, ...DETAILS.map(name => count[name]), count.first, count.last]
}

/** In the order of `TOTAL_COLUMNS`. If none of the days is known, all details are null. */
export function totalValues(count: PostCount): Value[] {
  const { views, detailedViews, first, last } = count
  const details = DETAILS.map(name => (detailedViews === null ? null : count[name]))
  return [views, detailedViews, ...details, first, last]
}
