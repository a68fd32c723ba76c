/**
 * How each figure is counted: the one place where that is said. The names, and what they mean, are in
 * `packages/client/src/figures.ts`. Each engine tells views and unique views by itself. All other figures are sums of what a
 * row says, or the views minus such a sum.
 */

import type { FigureName, Figures } from '@postviews/client/src/figures.ts'
import type { KeptRow } from './row.ts'

/** Figures that are a subtraction: the views whose details are known, minus another figure. */
const RESTS = [['anonymous', 'logged_in']] as const

/** A figure that is a sum over rows, and has a column of its name in every table of figures. */
export type SummedName = Exclude<FigureName, 'views' | 'unique_views' | (typeof RESTS)[number][0]>

export interface Summed {
  /** What a row adds. */
  of(row: KeptRow): number
  /** The same as SQL that all engines know, from the columns of raw rows. */
  sql: string
  /** Whether bots still add to it where `BOTS=exclude` leaves them out of everything else. */
  isOfExcluded: boolean
}

export const SUMMED: Record<SummedName, Summed> = {
  logged_in: { of: row => Number(row.loggedIn), sql: 'logged_in', isOfExcluded: false },
  bots: { of: row => Number(row.bot), sql: 'bot', isOfExcluded: true },
}

export const SUMMED_NAMES = Object.keys(SUMMED) as SummedName[]

/** Columns that are null for a day whose adopted count does not match its rows: nobody knows the details of that day. */
export type DetailName = 'unique_views' | SummedName
export const DETAILS: readonly DetailName[] = ['unique_views', ...SUMMED_NAMES]

/** An object with a value for each. */
export function eachDetail<T>(toValue: (name: DetailName) => T): Record<DetailName, T> {
  return Object.fromEntries(DETAILS.map(name => [name, toValue(name)])) as Record<DetailName, T>
}

/**
 * What is told of figures as they are kept.
 *
 * @param detailedViews those of the views whose details are known; null when none are
 */
export function toFigures(
  views: number,
  detailedViews: number | null,
  detailOf: (name: DetailName) => number | null,
): Figures {
  const figures: Partial<Record<FigureName, number | null>> = { views }
  for (const name of DETAILS) figures[name] = detailOf(name)
  for (const [name, without] of RESTS) {
    const others = detailOf(without)
    figures[name] = others === null || detailedViews === null ? null : detailedViews - others
  }
  return figures as Figures
}

export const NO_VIEWS = toFigures(0, 0, () => 0)
