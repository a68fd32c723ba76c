/**
 * Declares how each figure is counted, for all engines. The names of the figures, and what they mean, are in
 * `packages/client/src/figures.ts`. Views and unique views are not declared here: each engine counts them with code of its own.
 * Every other figure is a sum over rows, or the views minus such a sum.
 */

import type { FigureName } from '@postviews/client/src/figures.ts'
import type { CountingSettings } from './counting-settings.ts'
import type { CountableRow } from './kept.ts'

/** Figures that are the views minus another figure: [figure, the one that is subtracted]. Only days that know both are used. */
const RESTS = [['anonymous', 'logged_in']] as const

/** A figure that is a sum over rows, other than `bots`. */
type SumName = Exclude<FigureName, 'views' | 'unique_views' | 'bots' | (typeof RESTS)[number][0]>

/** A column that is a sum over rows. Every table of figures has it. Those of bots alone tell the figures of people. */
export type SummedName = SumName | 'bots' | `bot_${SumName}`

export interface Summed {
  /** How much one row adds to the figure. */
  of(row: CountableRow): number
  /** The same in SQL, over the columns of `post_views`. Every engine must understand it. */
  sql: string
  /** Whether views by bots add to this figure even under `BOTS=exclude`, which leaves them out of all others. */
  isOfExcluded: boolean
}

const SUMS: Record<SumName, Pick<Summed, 'of' | 'sql'>> = {
  logged_in: { of: row => Number(row.loggedIn), sql: 'logged_in' },
}

const SUM_NAMES = Object.keys(SUMS) as SumName[]

export const SUMMED = Object.fromEntries([
  ...SUM_NAMES.map(name => [name, { ...SUMS[name], isOfExcluded: false }]),
  ['bots', { of: (row: CountableRow) => Number(row.bot), sql: 'bot', isOfExcluded: true }],
  ...SUM_NAMES.map(name => [`bot_${name}`, ofBots(SUMS[name])]),
]) as Record<SummedName, Summed>

function ofBots({ of, sql }: Pick<Summed, 'of' | 'sql'>): Summed {
  return { of: row => (row.bot ? of(row) : 0), sql: `bot * (${sql})`, isOfExcluded: true }
}

export const SUMMED_NAMES = Object.keys(SUMMED) as SummedName[]

/**
 * Numbers of readers, each once in a window: those of the views that count, those who were bots, and those who were seen both as a
 * bot and as a person, by one address. The readers among people, and among all views, follow from these.
 */
export const UNIQUE_NAMES = ['unique_views', 'bot_unique_views', 'shared_unique_views'] as const
export type UniqueName = (typeof UNIQUE_NAMES)[number]

/** Columns that are null for a day whose adopted count does not match its rows: nobody knows the details of that day. */
export type DetailName = UniqueName | SummedName
export const DETAILS: readonly DetailName[] = [...UNIQUE_NAMES, ...SUMMED_NAMES]

/** An object with a value for each detail. */
export function eachDetail<T>(toValue: (name: DetailName) => T): Record<DetailName, T> {
  return Object.fromEntries(DETAILS.map(name => [name, toValue(name)])) as Record<DetailName, T>
}

/** Whether the detail says something of bots alone. On days that were counted before it was, it is null. */
export function isOfBots(name: DetailName): boolean {
  return name === 'shared_unique_views' || name.startsWith('bot_')
}

/** Whose views are chosen; undefined: those that count as views, which are all of them or those of people (`BOTS`). */
export type Who = 'people' | 'bots' | 'all' | undefined

/** Whether the chosen views are those that count as views. */
export function isOfCounted(who: Who, { bots }: Pick<CountingSettings, 'bots'>): boolean {
  return who === undefined || who === (bots === 'exclude' ? 'people' : 'all')
}

/** What is stored of a post, a day or the site. */
export interface Stored {
  views: number
  /** The views whose details are known; null if there are none. */
  detailedViews: number | null
  detailOf(name: DetailName): number | null
}

/** The figures of the chosen views. Null: not known. */
export type ChosenFigures = Record<FigureName, number | null>

/** Converts stored figures to those that the API answers. */
export function toFigures(
  stored: Stored,
  who: Who,
  { bots: setting }: Pick<CountingSettings, 'bots'>,
): ChosenFigures {
  // NaN stands for what is not known: whatever is calculated from it is not known either.
  const of = (name: DetailName) => stored.detailOf(name) ?? Number.NaN
  const detailed = stored.detailedViews ?? Number.NaN
  const bots = of('bots')
  // Of views whose details are not known, nobody can tell which were bots'.
  const allBots = detailed === stored.views || stored.views === 0 ? bots : Number.NaN
  const isOfPeople = setting === 'exclude'
  if (who === 'bots')
    return figures({ views: allBots, detailed: bots, bots, unique: of('bot_unique_views') }, name =>
      of(`bot_${name}`),
    )
  if (who === 'people' && !isOfPeople)
    return figures(
      {
        views: stored.views - allBots,
        detailed: detailed - bots,
        bots: 0,
        unique: of('unique_views') - of('bot_unique_views') + of('shared_unique_views'),
      },
      name => of(name) - of(`bot_${name}`),
    )
  if (who === 'all' && isOfPeople)
    return figures(
      {
        views: stored.views + allBots,
        detailed: detailed + bots,
        bots,
        unique: of('unique_views') + of('bot_unique_views') - of('shared_unique_views'),
      },
      name => of(name) + of(`bot_${name}`),
    )
  const own = { views: stored.views, detailed, bots: who === 'people' ? 0 : bots, unique: of('unique_views') }
  return figures(own, of)
}

/** @param detailed the views whose details are known */
function figures(
  { views, detailed, bots, unique }: { views: number; detailed: number; bots: number; unique: number },
  sumOf: (name: SumName) => number,
): ChosenFigures {
  const of: Partial<ChosenFigures> = { views: known(views), unique_views: known(unique) }
  for (const name of SUM_NAMES) of[name] = known(sumOf(name))
  for (const [name, without] of RESTS) of[name] = known(detailed - sumOf(without))
  of.bots = known(bots)
  return of as ChosenFigures
}

/** The same views as they are stored under another setting. What is not known is NaN. */
function storedUnder(stored: Stored, from: CountingSettings['bots'], to: CountingSettings['bots']): Stored {
  if (from === to) return stored
  const { views, bots: _, ...chosen } = toFigures(stored, to === 'exclude' ? 'people' : 'all', { bots: from })
  const bot = stored.detailOf('bots') ?? Number.NaN
  return {
    views: views ?? Number.NaN,
    detailedViews:
      stored.detailedViews === null ? null : stored.detailedViews + (to === 'exclude' ? -bot : bot),
    detailOf: name => (name in chosen ? chosen[name as keyof typeof chosen] : stored.detailOf(name)),
  }
}

/** The sum of several periods, each stored under a setting of its own, as all of it is stored under `to`. */
export function sumOfPeriods(
  periods: readonly { stored: Stored; bots: CountingSettings['bots'] }[],
  to: CountingSettings['bots'],
): Stored {
  const parts = periods.map(({ stored, bots }) => storedUnder(stored, bots, to))
  // Totals are the sums of what is known.
  const known = parts.filter(({ detailedViews }) => detailedViews !== null)
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
  return {
    views: sum(parts.map(({ views }) => views)),
    detailedViews: known.length === 0 ? null : sum(known.map(({ detailedViews }) => detailedViews!)),
    detailOf: name => (known.length === 0 ? null : sum(known.map(part => part.detailOf(name) ?? Number.NaN))),
  }
}

/** Null for NaN, which stands for what is not known. */
export function known(value: number): number | null {
  return Number.isNaN(value) ? null : value
}

export const NO_VIEWS = toFigures({ views: 0, detailedViews: 0, detailOf: () => 0 }, undefined, {
  bots: 'count',
})
