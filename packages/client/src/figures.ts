/**
 * The figures: the numbers that the internal API gives for a post, a day or the site, in the order in which
 * they are shown. The service's `store/figures.ts` declares how each of them is counted.
 *
 * The dimensions: the properties of a view by which a day's views are broken down, such as the host that the reader came
 * from. The service's `store/dimensions.ts` declares how the value of each is found.
 */

interface Figure {
  /** The heading of a column of numbers. */
  label: string
  /** What is counted, and when it is null. */
  meaning: string
}

export const FIGURES = {
  views: { label: 'Views', meaning: 'Views.' },
  unique_views: {
    label: 'Unique',
    meaning:
      'Each reader counts once per post per day, or per shorter UNIQUE_WINDOW; summed over posts and windows. Null where adopted data lack it.',
  },
  logged_in: {
    label: 'Logged in',
    meaning: 'Views by readers who were logged in; null where adopted data lack it.',
  },
  anonymous: {
    label: 'Anonymous',
    meaning: 'Views by readers who were not logged in; null where adopted data lack it.',
  },
  bots: {
    label: 'Bots',
    meaning:
      'Views by known bots; also part of the other numbers unless BOTS=exclude. Null where adopted data lack it.',
  },
} as const satisfies Record<string, Figure>

export type FigureName = keyof typeof FIGURES

export const FIGURE_NAMES = Object.keys(FIGURES) as FigureName[]

/** Counts of views. Only `views` is always known: data adopted from an older system may lack the others. */
export interface Figures extends Record<Exclude<FigureName, 'views'>, number | null> {
  views: number
}

interface Dimension {
  /** The heading of a list of its values. */
  label: string
  /** What a value is, and what no value means. */
  meaning: string
}

export const DIMENSIONS = {
  referrer: {
    label: 'Referrer',
    meaning: 'The host that the reader came from, without `www.`. None: direct or unknown.',
  },
} as const satisfies Record<string, Dimension>

export type DimensionName = keyof typeof DIMENSIONS

export const DIMENSION_NAMES = Object.keys(DIMENSIONS) as DimensionName[]
