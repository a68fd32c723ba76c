/**
 * Declares how each figure is counted, for all engines. The names of the figures, and what they mean, are in
 * `packages/client/src/figures.ts`. Views and unique views are not declared here: each engine counts them with code of its own.
 * Every other figure is a sum over rows, or the views minus such a sum.
 */

import type { FigureName, Figures } from '@postviews/client/src/figures.ts'
import type { CountableRow } from './kept.ts'

/** Figures that are the views minus another figure: [figure, the one that is subtracted]. Only days that know both are used. */
const RESTS = [['anonymous', 'logged_in']] as const

/** A figure that is a sum over rows. Every table of figures has a column of this name. */
export type SummedName = Exclude<FigureName, 'views' | 'unique_views' | (typeof RESTS)[number][0]>

export interface Summed {
  /** How much one row adds to the figure. */
  of(row: CountableRow): number
  /** The same in SQL, over the columns of `post_views`. Every engine must understand it. */
  sql: string
  /** Whether views by bots add to this figure even under `BOTS=exclude`, which leaves them out of all others. */
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

/** An object with a value for each detail. */
export function eachDetail<T>(toValue: (name: DetailName) => T): Record<DetailName, T> {
  return Object.fromEntries(DETAILS.map(name => [name, toValue(name)])) as Record<DetailName, T>
}

/**
 * Converts stored figures to those that the API answers.
 *
 * @param detailedViews the views whose details are known; null if there are none
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
