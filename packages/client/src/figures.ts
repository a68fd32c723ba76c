/**
 * The figures: the numbers that the internal API tells of a post, a day or the site, in the order in which they are shown. How
 * the service counts each of them is declared in its `store/figures.ts`.
 */

interface Figure {
  /** Above a column of numbers. */
  label: string
  /** What is counted, and when it is null. */
  meaning: string
}

export const FIGURES = {
  views: { label: 'Views', meaning: 'Views.' },
  unique_views: {
    label: 'Unique',
    meaning:
      'Each reader counts once per post per day, or per shorter UNIQUE_WINDOW; summed over posts and windows. Null where adopted data do not say.',
  },
  logged_in: {
    label: 'Logged in',
    meaning: 'Views by readers who were logged in; null where adopted data do not say.',
  },
  anonymous: {
    label: 'Anonymous',
    meaning: 'Views by readers who were not logged in; null where adopted data do not say.',
  },
  bots: {
    label: 'Bots',
    meaning:
      'Views by known bots; also part of the other numbers unless BOTS=exclude. Null where adopted data do not say.',
  },
} as const satisfies Record<string, Figure>

export type FigureName = keyof typeof FIGURES

export const FIGURE_NAMES = Object.keys(FIGURES) as FigureName[]

/** Counts of views. Only `views` is always known: data that were adopted from an older system may not tell the rest. */
export interface Figures extends Record<Exclude<FigureName, 'views'>, number | null> {
  views: number
}
