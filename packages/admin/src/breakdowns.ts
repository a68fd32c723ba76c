/**
 * Views by the values of a dimension, as the panel shows them: the values with most views, and below them what is none of
 * them. The site's own pages are no place that readers came from, so they are one row. So are the values that are not listed:
 * all rows add up to the views of the period.
 */

import type { DimensionName } from '@postviews/client/src/figures.ts'
import type { SiteBreakdown } from '@postviews/client/src/index.ts'
import { VALUES_PER_PAGE, type ValueList, type ValueRow } from './pages/model.ts'
import type { DayRange, Who } from './pages/question.ts'
import { inOneCall, type Subject } from './subject.ts'

/** Of hosts, the most that Analytics lists at once, because any number of them may be the site's own. */
const ASKED = { referrer: 1_000 } as Partial<Record<DimensionName, number>>
const MAX_VALUES = 10
/** The values shown, and one more: those without a value. */
const ASKED_VALUES = MAX_VALUES + 1

export interface Listed {
  list: ValueList
  asOf: string
}

/** @throws {StatsError} */
export async function readValues(
  subject: Subject,
  dimension: DimensionName,
  period: DayRange,
  who: Who,
): Promise<Listed> {
  const range = inOneCall(period)
  const told = await subject.breakdown(dimension, {
    ...range,
    who,
    limit: ASKED[dimension] ?? ASKED_VALUES,
  })
  return toListed(told, range, period, shownValues(told))
}

/**
 * A page of the whole list, and the views of its first row.
 *
 * @throws {StatsError}
 */
export async function readPageOfValues(
  subject: Subject,
  dimension: DimensionName,
  period: DayRange,
  { who, page }: { who: Who; page: number },
): Promise<Listed & { mostViews: number }> {
  const range = inOneCall(period)
  const ask = (limit: number, offset: number) =>
    subject.breakdown(dimension, { ...range, who, limit, offset })
  const [told, first] = await Promise.all([
    ask(VALUES_PER_PAGE, (page - 1) * VALUES_PER_PAGE),
    page === 1 ? null : ask(1, 0),
  ])
  const rows = [...rowsOf(told), ...otherRow(told.other), ...rowOf('unknown', told.unknown.views)]
  return {
    ...toListed(told, range, period, rows),
    mostViews: Math.max(0, ...(first ?? told).values.map(({ views }) => views)),
  }
}

function toListed(
  { dimension, views, total, as_of: asOf }: SiteBreakdown,
  range: DayRange,
  period: DayRange,
  rows: ValueRow[],
): Listed {
  const since = range.from === period.from ? null : range.from
  return { list: { dimension, rows, views, total, since }, asOf }
}

/** @param told the first values, most views first */
export function shownValues(
  told: Pick<SiteBreakdown, 'dimension' | 'values' | 'other' | 'unknown'>,
): ValueRow[] {
  const rows = rowsOf(told)
  const values = rows.filter(({ kind }) => kind === 'value')
  const left = values.slice(MAX_VALUES)
  const own = rows.filter(({ kind }) => kind === 'internal')
  return [
    ...values.slice(0, MAX_VALUES),
    ...rows.filter(({ kind }) => kind === 'none'),
    ...otherRow(told.other, left),
    ...rowOf('internal', viewsOf(own)),
    ...rowOf('unknown', told.unknown.views),
  ]
}

export function rowsOf({ dimension, values }: Pick<SiteBreakdown, 'dimension' | 'values'>): ValueRow[] {
  return values.map(({ value, views, internal }) => {
    if (value === null) return { kind: 'none', value, views }
    const isOwn = internal === true || (dimension === 'channel' && value === 'internal')
    return { kind: isOwn ? 'internal' : 'value', value, views }
  })
}

/** @param left values that Analytics lists, and the panel does not */
export function otherRow(
  { values, views }: SiteBreakdown['other'],
  left: readonly ValueRow[] = [],
): ValueRow[] {
  // Some were not kept, so nobody knows how many there are: at least one.
  const isMore = values === null && views !== 0
  const count = left.length + (values ?? (isMore ? 1 : 0))
  return rowOf('other', views === null ? null : views + viewsOf(left), { values: { count, isMore } })
}

/** A row of a kind other than `value`; none if there are no such views. */
export function rowOf(
  kind: ValueRow['kind'],
  views: number | null,
  more: Pick<ValueRow, 'values'> = {},
): ValueRow[] {
  return views === 0 ? [] : [{ kind, value: null, views, ...more }]
}

function viewsOf(rows: readonly ValueRow[]): number {
  return rows.reduce((sum, { views }) => sum + (views ?? 0), 0)
}
