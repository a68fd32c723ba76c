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

/**
 * Counts of views. Only `views` is always known: data adopted from an older system may lack the others. Of people or of bots alone
 * it may be unknown as well (`Figures<number | null>`).
 */
export interface Figures<Views = number> extends Record<Exclude<FigureName, 'views'>, number | null> {
  views: Views
}

interface Dimension {
  /** The heading of a list of its values. */
  label: string
  /** What a value is, and what no value means. */
  meaning: string
}

export const DIMENSIONS = {
  hour: {
    label: 'Hour',
    meaning: 'Elapsed hours since the day began, `0` to `24`: days on which clocks change have 23 or 25.',
  },
  referrer: {
    label: 'Referrer',
    meaning: 'The host that the reader came from, without `www.`. None: direct or unknown.',
  },
  source: {
    label: 'Source',
    meaning:
      'Where the reader came from, as people call it: `Google`, `Hacker News`, or what a link calls itself. None: direct or internal.',
  },
  channel: {
    label: 'Channel',
    meaning:
      '`direct`, `search`, `social`, `ai`, `news`, `email`, `referral`, `campaign`, `internal` or `other`.',
  },
  campaign: { label: 'Campaign', meaning: 'The `utm_campaign` of the link. None: it has none.' },
  country: {
    label: 'Country',
    meaning: 'ISO 3166 code of the address, approximate. None: unknown.',
  },
  device: {
    label: 'Device',
    meaning: '`phone`, `tablet`, `desktop`, `tv`, `console` or `headset`. None: a machine, or unknown.',
  },
  browser: {
    label: 'Browser',
    meaning: 'The browser, or the app that shows pages. None: a machine, or unknown.',
  },
  os: { label: 'System', meaning: 'The operating system. None: a machine, or unknown.' },
  bot: { label: 'Bot', meaning: 'The name of the machine; `unknown` if no list names it. Of bots alone.' },
  purpose: {
    label: 'Purpose',
    meaning:
      'Why the machine reads: `search`, `ai_training`, `ai_answer`, `preview`, `feed`, `monitor`, `seo`, `tool` or `other`. Of bots alone.',
  },
} as const satisfies Record<string, Dimension>

export type DimensionName = keyof typeof DIMENSIONS

export const DIMENSION_NAMES = Object.keys(DIMENSIONS) as DimensionName[]
