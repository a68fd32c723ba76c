/** Each thing that a store counts, damaged behind its back. */

import type { Damage, Derived, Figure, Figures } from './support/damage.ts'

export const DAY = '2026-03-28'
export const POST = 'post-1'
const AGGREGATE: Figures = { of: 'aggregate', post: POST, day: DAY }
const TOTAL: Figures = { of: 'total', post: POST }
const SITE: Figures = { of: 'site_aggregate', day: DAY }
const REFERRER: Figures = { of: 'referrer', post: POST, day: DAY, host: 'a.example' }
const SITE_REFERRER: Figures = { of: 'site_referrer', day: DAY, host: 'a.example' }
export const NOBODY = '00112233445566778899aabbccddeeff'

type Named = [sentence: string, damage: Damage, named: RegExp]

const COUNTED: Figure[] = ['views', 'unique_views', 'logged_in', 'bots']
/** As `verify` calls the figure of a day. */
const fieldOf = (figure: Figure) => (figure === 'views' ? 'view_count' : figure)

const OTHER_ROWS: [field: string, says: Partial<Derived>][] = [
  ['day', { day: '2026-03-27' }],
  ['slice', { slice: 7 }],
  ['logged_in', { loggedIn: false }],
  ['visitor', { visitor: NOBODY }],
]

/** What is damaged, how, and how verify names it: `kind name field`. */
export const DAMAGES: Named[] = [
  ...COUNTED.map(
    (figure): Named => [
      `an aggregate with other ${fieldOf(figure)}`,
      { kind: 'too high', figure, ...AGGREGATE },
      new RegExp(`^aggregate post ${POST} on ${DAY} ${fieldOf(figure)}$`, 'm'),
    ],
  ),
  [
    'an aggregate with another first view',
    { kind: 'emptied', figure: 'first_viewed_at', ...AGGREGATE },
    /^aggregate post post-1 on 2026-03-28 first_viewed_at$/m,
  ],
  [
    'an aggregate that is missing',
    { kind: 'missing', ...AGGREGATE },
    /^aggregate post post-1 on 2026-03-28 exists$/m,
  ],
  [
    'an aggregate of no views',
    { kind: 'superfluous', views: 3, of: 'aggregate', post: 'ghost', day: DAY },
    /^aggregate post ghost on 2026-03-28 exists$/m,
  ],
  ...[...COUNTED, 'detailed_views' as const].map(
    (figure): Named => [
      `a total with other ${figure}`,
      { kind: 'too high', figure, ...TOTAL },
      new RegExp(`^total post ${POST} ${figure}$`, 'm'),
    ],
  ),
  ['a total that is missing', { kind: 'missing', ...TOTAL }, /^total post post-1 exists$/m],
  [
    'a total of no days',
    { kind: 'superfluous', views: 3, of: 'total', post: 'ghost' },
    /^total post ghost exists$/m,
  ],
  ...OTHER_ROWS.map(
    ([field, says]): Named => [
      `a raw row with other ${field}`,
      { kind: 'rows tampered', post: 'tampered', says },
      new RegExp(`^row row [\\w-]+ ${field}$`, 'm'),
    ],
  ),
  [
    'a visitor who is missing',
    { kind: 'readers missing', post: 'tampered' },
    /^visitor visitor [0-9a-f]{32} of post tampered on 2026-03-28, window 0 exists$/m,
  ],
  [
    'a visitor who never was',
    { kind: 'reader superfluous', post: POST, day: DAY, visitor: NOBODY },
    new RegExp(`^visitor visitor ${NOBODY} of post ${POST} on ${DAY}, window 0 exists$`, 'm'),
  ],
  [
    'a referrer with other views',
    { kind: 'too high', figure: 'views', ...REFERRER },
    /^referrer post post-1 on 2026-03-28 from a\.example view_count$/m,
  ],
  [
    'a referrer that is missing',
    { kind: 'missing', ...REFERRER },
    /^referrer post post-1 on 2026-03-28 from a\.example exists$/m,
  ],
  [
    'a referrer of no views',
    { kind: 'superfluous', views: 3, of: 'referrer', post: 'ghost', day: DAY, host: '' },
    /^referrer post ghost on 2026-03-28 from nowhere exists$/m,
  ],
  ...COUNTED.map(
    (figure): Named => [
      `a day of the site with other ${fieldOf(figure)}`,
      { kind: 'too high', figure, ...SITE },
      new RegExp(`^site_aggregate site on ${DAY} ${fieldOf(figure)}$`, 'm'),
    ],
  ),
  [
    'a day of the site that is missing',
    { kind: 'missing', ...SITE },
    /^site_aggregate site on 2026-03-28 exists$/m,
  ],
  [
    'a day of the site that never was',
    { kind: 'superfluous', views: 3, of: 'site_aggregate', day: '2020-01-01' },
    /^site_aggregate site on 2020-01-01 exists$/m,
  ],
  [
    'a referrer of the site with other views',
    { kind: 'too high', figure: 'views', ...SITE_REFERRER },
    /^site_referrer site on 2026-03-28 from a\.example view_count$/m,
  ],
  [
    'a referrer of the site that is missing',
    { kind: 'missing', ...SITE_REFERRER },
    /^site_referrer site on 2026-03-28 from a\.example exists$/m,
  ],
  [
    'a referrer with other bots',
    { kind: 'too high', figure: 'bots', ...REFERRER },
    /^referrer post post-1 on 2026-03-28 from a\.example bots$/m,
  ],
]
