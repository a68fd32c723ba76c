/** Each thing that a store counts, damaged behind its back. */

export const DAY = '2026-03-28'
export const POST = 'post-1'
export const ON_DAY = `post_uuid = '${POST}' AND date = '${DAY}'`
export const SITE = `date = '${DAY}'`
const FROM_A = `host = 'a.example'`

/** What is damaged, the statement that does it, and how verify names it: `kind name field`. */
export const DAMAGES: [sentence: string, sql: string, named: RegExp][] = [
  ...['view_count', 'unique_views', 'logged_in', 'bots'].map((column): [string, string, RegExp] => [
    `an aggregate with other ${column}`,
    `UPDATE post_view_aggregates SET ${column} = ${column} + 1 WHERE ${ON_DAY}`,
    new RegExp(`^aggregate post ${POST} on ${DAY} ${column}$`, 'm'),
  ]),
  [
    'an aggregate with another first view',
    `UPDATE post_view_aggregates SET first_viewed_at = NULL WHERE ${ON_DAY}`,
    /^aggregate post post-1 on 2026-03-28 first_viewed_at$/m,
  ],
  [
    'an aggregate that is missing',
    `DELETE FROM post_view_aggregates WHERE ${ON_DAY}`,
    /^aggregate post post-1 on 2026-03-28 exists$/m,
  ],
  [
    'an aggregate of no views',
    `INSERT INTO post_view_aggregates (post_uuid, date, view_count, unique_views, logged_in, bots)
     VALUES ('ghost', '${DAY}', 3, 2, 1, 0)`,
    /^aggregate post ghost on 2026-03-28 exists$/m,
  ],
  ...['views', 'unique_views', 'logged_in', 'bots', 'detailed_views'].map(
    (column): [string, string, RegExp] => [
      `a total with other ${column}`,
      `UPDATE post_view_totals SET ${column} = ${column} + 1 WHERE post_uuid = '${POST}'`,
      new RegExp(`^total post ${POST} ${column}$`, 'm'),
    ],
  ),
  [
    'a total that is missing',
    `DELETE FROM post_view_totals WHERE post_uuid = '${POST}'`,
    /^total post post-1 exists$/m,
  ],
  [
    'a total of no days',
    `INSERT INTO post_view_totals (post_uuid, views) VALUES ('ghost', 3)`,
    /^total post ghost exists$/m,
  ],
  ...[
    `day = '2026-03-27'`,
    'slice = 7',
    'logged_in = 0',
    `visitor = x'00112233445566778899aabbccddeeff'`,
  ].map((change): [string, string, RegExp] => [
    `a raw row with other ${change.split(' ')[0]}`,
    `UPDATE post_views SET ${change}, viewed_at = viewed_at WHERE post_uuid = 'tampered'`,
    new RegExp(`^row row [\\w-]+ ${change.split(' ')[0]}$`, 'm'),
  ]),
  [
    'a visitor who is missing',
    `DELETE FROM post_view_visitors WHERE post_uuid = 'tampered'`,
    /^visitor visitor [0-9a-f]{32} of post tampered on 2026-03-28, window 0 exists$/m,
  ],
  [
    'a visitor who never was',
    `INSERT INTO post_view_visitors (day, post_uuid, slice, visitor)
     VALUES ('${DAY}', '${POST}', 0, x'00112233445566778899aabbccddeeff')`,
    /^visitor visitor 00112233445566778899aabbccddeeff of post post-1 on 2026-03-28, window 0 exists$/m,
  ],
  [
    'a referrer with other views',
    `UPDATE post_view_referrers SET view_count = view_count + 1 WHERE ${ON_DAY} AND ${FROM_A}`,
    /^referrer post post-1 on 2026-03-28 from a\.example view_count$/m,
  ],
  [
    'a referrer that is missing',
    `DELETE FROM post_view_referrers WHERE ${ON_DAY} AND ${FROM_A}`,
    /^referrer post post-1 on 2026-03-28 from a\.example exists$/m,
  ],
  [
    'a referrer of no views',
    `INSERT INTO post_view_referrers (post_uuid, date, host, view_count) VALUES ('ghost', '${DAY}', '', 3)`,
    /^referrer post ghost on 2026-03-28 from nowhere exists$/m,
  ],
  ...['view_count', 'unique_views', 'logged_in', 'bots'].map((column): [string, string, RegExp] => [
    `a day of the site with other ${column}`,
    `UPDATE site_view_aggregates SET ${column} = ${column} + 1 WHERE ${SITE}`,
    new RegExp(`^site_aggregate site on ${DAY} ${column}$`, 'm'),
  ]),
  [
    'a day of the site that is missing',
    `DELETE FROM site_view_aggregates WHERE ${SITE}`,
    /^site_aggregate site on 2026-03-28 exists$/m,
  ],
  [
    'a day of the site that never was',
    `INSERT INTO site_view_aggregates (date, view_count) VALUES ('2020-01-01', 3)`,
    /^site_aggregate site on 2020-01-01 exists$/m,
  ],
  [
    'a referrer of the site with other views',
    `UPDATE site_view_referrers SET view_count = view_count + 1 WHERE ${SITE} AND ${FROM_A}`,
    /^site_referrer site on 2026-03-28 from a\.example view_count$/m,
  ],
  [
    'a referrer of the site that is missing',
    `DELETE FROM site_view_referrers WHERE ${SITE} AND ${FROM_A}`,
    /^site_referrer site on 2026-03-28 from a\.example exists$/m,
  ],
]
