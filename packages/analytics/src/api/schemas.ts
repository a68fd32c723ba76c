/**
 * Every request and answer of the internal API: the only source of validation, serialization, static types and
 * `openapi.json`.
 *
 * `as_of` stands first in each answer, because `revalidate.ts` looks for it there. A parameter's description begins
 * with what is allowed, because a refusal quotes it.
 */

import {
  DIMENSION_NAMES,
  DIMENSIONS,
  FIGURE_NAMES,
  FIGURES,
  type FigureName,
} from '@postviews/client/src/figures.ts'
import { type Static, type TProperties, Type } from 'typebox'
import { PROBLEM_TYPE } from './problem.ts'

export const DEFAULT_DAYS = 30
export const MAX_DAYS = 800
export const MAX_POSTS = 200
/** Posts times days in one answer: some 2 MB. */
export const MAX_POST_DAYS = 20_000
export const DEFAULT_LIMIT = 10
export const STATUS_MINUTES = 60

// What a parameter may be.

export const POST_RULE = 'a UUID, 1 to 36 characters of A-Z a-z 0-9 _ -, or a positive integer'

function day(rest: string) {
  return Type.Optional(
    Type.String({
      format: 'date',
      pattern: '^(19[7-9]|20\\d)\\d-',
      description: `a day from 1970-01-01 to 2099-12-31, in STATS_TIMEZONE. ${rest}`,
      examples: ['2026-11-21'],
    }),
  )
}

function integer(minimum: number, maximum: number, rest: string, byDefault?: number) {
  const description = `a whole number from ${minimum} to ${maximum}. ${rest}`
  // The schema only documents the default. The route applies it, because it depends on `from`.
  const told = byDefault === undefined ? {} : { default: byDefault }
  return Type.Optional(Type.Integer({ minimum, maximum, description, ...told }))
}

const period = {
  days: integer(
    1,
    MAX_DAYS,
    'How many days, ending today, which is included; not together with `from` and `to`.',
    DEFAULT_DAYS,
  ),
  from: day('The first day.'),
  to: day(
    `The last day; today by default. A period has at most ${MAX_DAYS} days. Days in the future have no views.`,
  ),
}
function limit(maximum: number) {
  return integer(1, maximum, 'The most entries to return.', DEFAULT_LIMIT)
}

const offset = integer(0, 10_000_000, 'How many entries to skip.', 0)

const who = Type.Optional(
  Type.Enum(['people', 'bots', 'all'], {
    type: 'string',
    description:
      'one of people, bots, all. Whose views are answered. By default all that are counted as views: under BOTS=exclude, those of people.',
  }),
)

/** An object without other members: a misspelt parameter is refused, not ignored. */
function parameters<T extends TProperties>(properties: T) {
  return Type.Object(properties, { additionalProperties: false })
}

const PostParameter = parameters({ uuid: Type.String({ description: `${POST_RULE}. The post.` }) })
const WhoQuery = parameters({ who })
const DaysQuery = parameters({ ...period, who })
const ReferrersQuery = parameters({ ...period, limit: limit(1_000), offset, who })
const DimensionParameter = {
  dimension: Type.String({
    description: `one of ${DIMENSION_NAMES.join(', ')}. ${DIMENSION_NAMES.map(name => `\`${name}\`: ${DIMENSIONS[name].meaning}`).join(' ')}`,
  }),
}
const PostBreakdownParameters = parameters({ ...PostParameter.properties, ...DimensionParameter })
const SiteBreakdownParameters = parameters(DimensionParameter)
const BreakdownQuery = ReferrersQuery
const ValueQuery = parameters({
  ...period,
  value: Type.Optional(
    Type.String({
      maxLength: 300,
      description:
        'a value of at most 300 characters. Whose days are answered; without it, those of views that have no value.',
    }),
  ),
  who,
})
export const MAX_HOURLY_DAYS = 14
const HoursQuery = parameters({
  days: integer(1, MAX_HOURLY_DAYS, 'How many days, ending today, which is included.', 1),
  from: period.from,
  to: day(`The last day; today by default. A period has at most ${MAX_HOURLY_DAYS} days here.`),
  who,
})
const PostsQuery = parameters({
  uuids: Type.String({ description: `1 to ${MAX_POSTS} posts, separated by commas, each ${POST_RULE}.` }),
  days: integer(
    1,
    MAX_DAYS,
    `Adds the days of each post: this many, ending today, which is included. Posts times days are at most ${String(MAX_POST_DAYS).replace(/...$/, ',$&')}.`,
  ),
  who,
})
const TopQuery = parameters({
  period: Type.Optional(
    Type.Enum(['all', 'today', '7d', '30d'], {
      type: 'string',
      default: 'all',
      description:
        'one of all, today, 7d, 30d. `7d` and `30d` end today, which is included; not together with `from` and `to`.',
    }),
  ),
  from: period.from,
  to: period.to,
  sort: Type.Optional(
    Type.Enum(['views', 'unique_views', 'change'], {
      type: 'string',
      default: 'views',
      description:
        'one of views, unique_views, change. The figure that decides the order. `change` compares the views with those of as many days before the period, and needs one: not `period=all`.',
    }),
  ),
  order: Type.Optional(
    Type.Enum(['desc', 'asc'], {
      type: 'string',
      default: 'desc',
      description:
        'one of desc, asc. The greatest figure first, or the least. Equals are in the order of their ids, and posts of which the figure is not known come last, either way.',
    }),
  ),
  limit: limit(1_000),
  offset,
  who,
})

const TrendingQuery = parameters({
  limit: limit(1_000),
  who: Type.Optional(
    Type.Enum(['people', 'bots', 'all'], {
      type: 'string',
      default: 'people',
      description: 'one of people, bots, all. Whose views are compared.',
    }),
  ),
})

export type WhoQuery = Static<typeof WhoQuery>
export type DaysQuery = Static<typeof DaysQuery>
export type ReferrersQuery = Static<typeof ReferrersQuery>
export type BreakdownQuery = Static<typeof BreakdownQuery>
export type ValueQuery = Static<typeof ValueQuery>
export type HoursQuery = Static<typeof HoursQuery>
export type Who = NonNullable<BreakdownQuery['who']>
export type PostsQuery = Static<typeof PostsQuery>
export type TopQuery = Static<typeof TopQuery>
export type TrendingQuery = Static<typeof TrendingQuery>

// What an answer is made of. `type: [.., 'null']` rather than a union: it is written several times as fast.

function count(description: string) {
  return Type.Integer({ minimum: 0, description })
}

function knownCount(description: string) {
  return Type.Unsafe<number | null>({ type: ['integer', 'null'], minimum: 0, description })
}

function knownTime(description: string) {
  return Type.Unsafe<string | null>({
    type: ['string', 'null'],
    description: `${description} ISO 8601, UTC.`,
  })
}

function time(description: string) {
  return Type.String({ format: 'date-time', description })
}

function date(description: string) {
  return Type.String({ format: 'date', description })
}

function knownDate(description: string) {
  return Type.Unsafe<string | null>({ type: ['string', 'null'], format: 'date', description })
}

function text(description: string) {
  return Type.String({ description })
}

const asOf = {
  as_of: time(
    'In UTC: every view recorded by then is in the answer. On SQLite and MariaDB when the data was read; on ClickHouse, which counts what was recorded every few seconds, somewhat earlier.',
  ),
}
const timezone = text('STATS_TIMEZONE, an IANA name: the time zone whose days are counted.')
const from = date('The first day.')
const to = date('The last day.')
const postUuid = text('The post; a UUID in lower case.')

const views = count(FIGURES.views.meaning)
const uniqueViews = knownCount(FIGURES.unique_views.meaning)
const figures = {
  ...(Object.fromEntries(FIGURE_NAMES.map(name => [name, knownCount(FIGURES[name].meaning)])) as Record<
    FigureName,
    typeof uniqueViews
  >),
  views: knownCount(
    `${FIGURES.views.meaning} Null only if \`who\` is given, and adopted data do not tell people from bots.`,
  ),
}
const ofOthers = 'also if `who` chooses other views than those that are counted'
const totals = {
  ...figures,
  first_viewed_at: knownTime(`The time of the earliest view; null without views, ${ofOthers}.`),
  last_viewed_at: knownTime(`The time of the latest view; null without views, ${ofOthers}.`),
  details_since: Type.Optional(
    date(
      'Present only if older days of adopted data have nothing but `views`: all other numbers are sums from this day on.',
    ),
  ),
}
const DayEntry = Type.Object({ date: date('A day.'), ...figures })
const days = Type.Array(DayEntry, { description: 'Oldest first, days without views included.' })
const internal = Type.Optional(
  Type.Literal(true, {
    description:
      "Present only if the host is one of the site's own (SITE_HOSTS): readers who went from one of its pages to another. Decided by the list recorded now, for earlier days too.",
  }),
)
const referrers = Type.Array(
  Type.Object({
    host: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      description: 'The host of the referer; null for direct or unknown.',
    }),
    views,
    internal,
  }),
  { description: 'Most views first.' },
)
const other = Type.Object(
  { views: knownCount('Views; null only if `who` is given, and adopted data do not tell people from bots.') },
  {
    description:
      'Views that the list leaves out: those from hosts skipped by `offset` or beyond `limit`, and, on days that ended more than a day ago, from hosts beyond the 500 with the most views of a post (5,000 of the site). List and `other` add up to the views of the period whose hosts are known.',
  },
)

const bots = knownCount('Those of them that were by bots; null where adopted data lack it.')
const Breakdown = {
  dimension: text('The dimension.'),
  timezone,
  from,
  to,
  details_since: knownDate(
    'The day after the last one on which some views have no value of this dimension, because they were counted before it was kept. Null: all values are known.',
  ),
  views: knownCount(
    'The views of the period. For `bot` and `purpose`, those of bots. Null if bots are to be told from people and adopted data do not tell them.',
  ),
  total: count('How many values there are to page through.'),
  values: Type.Array(
    Type.Object({
      value: Type.Unsafe<string | null>({
        type: ['string', 'null'],
        description: 'Null: the views have none, or nobody told.',
      }),
      views,
      bots,
      internal,
    }),
    { description: 'Most views first, then by value; hours by hour.' },
  ),
  other: Type.Object(
    {
      values: knownCount('How many values; null if some were not kept, because a day keeps only so many.'),
      views: knownCount('Views; null if bots are to be told from people and adopted data do not tell them.'),
      bots,
    },
    { description: 'What `limit` and `offset` leave out, and values that were not kept.' },
  ),
  unknown: Type.Object(
    { views: knownCount('Views; null if `views` is.') },
    {
      description:
        'Views of the period whose value is not known. `values`, `other` and `unknown` add up to `views`.',
    },
  ),
}
const counted = {
  views: knownCount('Views; null if nobody knows them.'),
  bots: knownCount('Those of them that were by bots; null if nobody knows them.'),
}
const valueDays = {
  dimension: text('The dimension.'),
  value: Type.Unsafe<string | null>({
    type: ['string', 'null'],
    description: 'The value; null: views that have none.',
  }),
  timezone,
  from,
  to,
  days: Type.Array(Type.Object({ date: date('The day.'), ...counted }), {
    description: 'Oldest first, days without views included.',
  }),
}
const PostValueDays = Type.Object({ ...asOf, post_uuid: postUuid, ...valueDays })
const SiteValueDays = Type.Object({ ...asOf, ...valueDays })
const hours = {
  timezone,
  from,
  to,
  hours: Type.Array(
    Type.Object({
      start: time('The start of the hour, in UTC.'),
      hour: Type.Integer({ minimum: 0, maximum: 24, description: 'Elapsed hours since the day began.' }),
      ...counted,
    }),
    { description: 'Oldest first, 23 to 25 a day. An hour that has not begun is null.' },
  ),
}
const PostHours = Type.Object({ ...asOf, post_uuid: postUuid, ...hours })
const SiteHours = Type.Object({ ...asOf, ...hours })
const PostBreakdown = Type.Object({ ...asOf, post_uuid: postUuid, ...Breakdown })
const SiteBreakdown = Type.Object({ ...asOf, ...Breakdown })

const PostTotals = Type.Object({ ...asOf, post_uuid: postUuid, ...totals })
const PostDays = Type.Object({ ...asOf, post_uuid: postUuid, timezone, from, to, days })
const PostReferrers = Type.Object({ ...asOf, post_uuid: postUuid, from, to, referrers, other })
export const PostEntry = Type.Object({ post_uuid: postUuid, ...totals, days: Type.Optional(days) })
const PostsTotals = Type.Object({
  ...asOf,
  posts: Type.Array(PostEntry, { description: 'In the order asked.' }),
  timezone: Type.Optional(timezone),
  from: Type.Optional(from),
  to: Type.Optional(to),
})
const TopPosts = Type.Object({
  ...asOf,
  period: text('`all`, `today`, `7d`, `30d`, or `FROM/TO`.'),
  from: knownDate('The first day; null for `all`.'),
  to: knownDate('The last day; null for `all`.'),
  total: count('How many posts there are to page through.'),
  posts: Type.Array(
    Type.Object({
      post_uuid: postUuid,
      views: figures.views,
      unique_views: uniqueViews,
      previous_views: Type.Optional(
        knownCount(
          'Views in as many days before the period; null if nobody knows them. Only with `sort=change`.',
        ),
      ),
      change: Type.Optional(
        Type.Unsafe<number | null>({
          type: ['integer', 'null'],
          description:
            '`views` minus `previous_views`; null if one of them is. Only with `sort=change`, which also lists posts that have views only in the days before.',
        }),
      ),
    }),
    { description: 'In the order of `sort` and `order`, then by id.' },
  ),
})
function knownNumber(description: string) {
  return Type.Unsafe<number | null>({ type: ['number', 'null'], minimum: 0, description })
}

const TrendingPost = Type.Object({
  post_uuid: postUuid,
  score: Type.Number({
    description:
      'How far `last_24h` is above what was expected, in standard deviations of chance: from 3 on it is hardly chance.',
  }),
  last_24h: count('Views in the last 24 full hours.'),
  usual_24h: knownNumber(
    'Views in as many hours, on average, over those of the 28 days before on which the post existed; null for a post that is new.',
  ),
  site_last_24h: count('Views of the whole site in the last 24 full hours.'),
  site_usual_24h: knownNumber(
    'Views of the whole site in as many hours, on average over the 28 days before; null for a site that is new.',
  ),
})
const TrendingPosts = Type.Object({
  ...asOf,
  details_since: knownDate(
    'The day after the last one of which the views that are compared, or their hours, are not known; null: all are. Days before it are not compared. If it is one of the days of the last 24 hours, nobody knows which posts stand out, and `posts` is empty.',
  ),
  posts: Type.Array(TrendingPost, { description: 'The greatest score first, then by id; none below 0.01.' }),
})
const SiteTotals = Type.Object({ ...asOf, ...totals })
const SiteDays = Type.Object({ ...asOf, timezone, from, to, days })
const SiteReferrers = Type.Object({ ...asOf, from, to, referrers, other })
const Status = Type.Object({
  ...asOf,
  queued: knownCount(
    'Messages in the queues, of up to 1,000 events each, without those being processed; null if the broker does not answer.',
  ),
  dead: knownCount('Dead letters; null if the broker does not answer.'),
  lag_seconds: knownCount(
    'How far behind the numbers are: 0 if the queues are empty and this process has had nothing uncommitted for more than 10 s, else the age of the latest counted view; null if unknown. A process that only serves the API does not know what consumers are processing.',
  ),
  last_committed_at: knownTime('When views were last committed; null before the first.'),
  minutes: Type.Array(Type.Object({ minute: time('The start of the minute, in UTC.'), views }), {
    description: `Views per minute, by their own time: the last ${STATUS_MINUTES} minutes, the current one included, oldest first.`,
  }),
  timezone,
  zone_rules: Type.Object(
    {
      source: text('The package that the data come from.'),
      release: text("The release of IANA's time zone database, such as 2026f."),
    },
    { description: 'The time zone rules by which days are counted.' },
  ),
  offsets: Type.Array(
    Type.Object({
      from: time('The start of this offset, in UTC.'),
      seconds: Type.Integer({ description: 'Seconds that local time is ahead of UTC; negative if behind.' }),
    }),
    {
      description:
        'The offsets of the time zone by these rules, from 1970 to two years ahead, oldest first: with them a client shows times by the same rules by which days are counted, whatever its own are.',
    },
  ),
})

export type PostTotals = Static<typeof PostTotals>
export type PostDays = Static<typeof PostDays>
export type PostReferrers = Static<typeof PostReferrers>
export type PostsTotals = Static<typeof PostsTotals>
export type PostEntry = Static<typeof PostEntry>
export type TopPosts = Static<typeof TopPosts>
export type TrendingPost = Static<typeof TrendingPost>
export type TrendingPosts = Static<typeof TrendingPosts>
export type SiteTotals = Static<typeof SiteTotals>
export type SiteDays = Static<typeof SiteDays>
export type SiteReferrers = Static<typeof SiteReferrers>
export type Status = Static<typeof Status>
export type PostBreakdown = Static<typeof PostBreakdown>
export type Breakdown = Static<typeof SiteBreakdown>
export type PostValueDays = Static<typeof PostValueDays>
export type SiteValueDays = Static<typeof SiteValueDays>
export type ValueDay = SiteValueDays['days'][number]
export type PostHours = Static<typeof PostHours>
export type SiteHours = Static<typeof SiteHours>
export type Hour = SiteHours['hours'][number]

const ProblemBody = Type.Object(
  {
    type: text('Always about:blank: the status says what kind of problem it is.'),
    title: text('The name of the status.'),
    status: Type.Integer({ description: 'The HTTP status.' }),
    detail: text('What is wrong, and what is allowed.'),
    parameter: Type.Optional(text('Which parameter is wrong.')),
  },
  { $id: 'Problem', title: 'Problem', description: 'RFC 9457.' },
)

/** Schemas that others refer to by name; they become components of `openapi.json`. */
export const SHARED_SCHEMAS = [ProblemBody]

function problem(description: string) {
  return { description, content: { [PROBLEM_TYPE]: { schema: { $ref: 'Problem#' } } } }
}

function described<T extends object>(description: string, schema: T) {
  return { description, content: { 'application/json': { schema } } }
}

const refused = { 401: problem('The key is missing or wrong.') }
const unavailable = {
  503: problem(
    'The store does not answer, or too many large requests came at once; try again after `Retry-After` seconds.',
  ),
}
const notModified = {
  304: {
    type: 'null',
    description: 'The answer named by `If-None-Match` was still current at `X-As-Of`.',
  } as const,
}

const NO_DIMENSION = problem('There is no such dimension; `detail` lists those that there are.')

function answers<T extends object>(description: string, answer: T) {
  return {
    200: described(description, answer),
    ...notModified,
    400: problem('A parameter is wrong; `parameter` and `detail` say which, and what is allowed.'),
    ...refused,
    ...unavailable,
  }
}

// The routes: what each takes and answers.

export const getPostTotals = {
  operationId: 'getPostTotals',
  summary: "A post's totals; zeros for a post never viewed",
  tags: ['posts'],
  params: PostParameter,
  querystring: WhoQuery,
  response: answers('Totals of the post.', PostTotals),
} as const

export const getPostDays = {
  operationId: 'getPostDays',
  summary: "A post's views, day by day",
  tags: ['posts'],
  params: PostParameter,
  querystring: DaysQuery,
  response: answers('Days of the post.', PostDays),
} as const

export const getPostReferrers = {
  operationId: 'getPostReferrers',
  summary: 'Where the readers of a post came from',
  tags: ['posts'],
  params: PostParameter,
  querystring: ReferrersQuery,
  response: answers('Referring hosts.', PostReferrers),
} as const

export const getPostBreakdown = {
  operationId: 'getPostBreakdown',
  summary: 'The views of a post by the values of a dimension',
  tags: ['posts'],
  params: PostBreakdownParameters,
  querystring: BreakdownQuery,
  response: { ...answers('The values.', PostBreakdown), 404: NO_DIMENSION },
} as const

export const getSiteBreakdown = {
  operationId: 'getSiteBreakdown',
  summary: 'The views of the whole site by the values of a dimension',
  tags: ['site'],
  params: SiteBreakdownParameters,
  querystring: BreakdownQuery,
  response: { ...answers('The values.', SiteBreakdown), 404: NO_DIMENSION },
} as const

export const getPostValueDays = {
  operationId: 'getPostValueDays',
  summary: 'The views of one value of a dimension, day by day: of a post',
  tags: ['posts'],
  params: PostBreakdownParameters,
  querystring: ValueQuery,
  response: { ...answers('The days.', PostValueDays), 404: NO_DIMENSION },
} as const

export const getSiteValueDays = {
  operationId: 'getSiteValueDays',
  summary: 'The views of one value of a dimension, day by day: of the whole site',
  tags: ['site'],
  params: SiteBreakdownParameters,
  querystring: ValueQuery,
  response: { ...answers('The days.', SiteValueDays), 404: NO_DIMENSION },
} as const

export const getPostHours = {
  operationId: 'getPostHours',
  summary: "A post's views, hour by hour",
  tags: ['posts'],
  params: PostParameter,
  querystring: HoursQuery,
  response: { ...answers('The hours.', PostHours), 404: NO_DIMENSION },
} as const

export const getSiteHours = {
  operationId: 'getSiteHours',
  summary: "The whole site's views, hour by hour",
  tags: ['site'],
  querystring: HoursQuery,
  response: { ...answers('The hours.', SiteHours), 404: NO_DIMENSION },
} as const

export const getPostsTotals = {
  operationId: 'getPostsTotals',
  summary: 'Totals, and days, of many posts at once: what an author dashboard needs',
  tags: ['posts'],
  querystring: PostsQuery,
  response: answers(
    'Totals of the posts; with `days`, also the days of each, the time zone and the period.',
    PostsTotals,
  ),
} as const

export const getTopPosts = {
  operationId: 'getTopPosts',
  summary: 'Posts in the order of their views, unique views, or change against as many days before',
  tags: ['posts'],
  querystring: TopQuery,
  response: answers('A page of posts.', TopPosts),
} as const

export const getTrendingPosts = {
  operationId: 'getTrendingPosts',
  summary: 'Posts whose last 24 full hours stand out against their own 28 days before, and against the site',
  tags: ['posts'],
  querystring: TrendingQuery,
  response: answers('The posts.', TrendingPosts),
} as const

export const getSiteTotals = {
  operationId: 'getSiteTotals',
  summary: "The whole site's totals",
  tags: ['site'],
  querystring: WhoQuery,
  response: answers('Totals of the site.', SiteTotals),
} as const

export const getSiteDays = {
  operationId: 'getSiteDays',
  summary: "The whole site's views, day by day",
  tags: ['site'],
  querystring: DaysQuery,
  response: answers('Days of the site.', SiteDays),
} as const

export const getSiteReferrers = {
  operationId: 'getSiteReferrers',
  summary: 'Where the readers of the whole site came from',
  tags: ['site'],
  querystring: ReferrersQuery,
  response: answers('Referring hosts.', SiteReferrers),
} as const

export const getStatus = {
  operationId: 'getStatus',
  summary: 'How far behind the numbers are, and the views of the last hour',
  tags: ['service'],
  querystring: parameters({}),
  response: answers('The state of counting.', Status),
} as const

export const getOpenapi = {
  operationId: 'getOpenapi',
  summary: 'This description',
  tags: ['service'],
  response: {
    200: described('OpenAPI 3.1.', Type.Object({}, { additionalProperties: true })),
    ...notModified,
    ...refused,
  },
} as const

export const getLivez = {
  operationId: 'getLivez',
  summary: 'Whether the process runs',
  tags: ['health'],
  security: [],
  response: { 200: described('The process runs.', Type.Object({ status: Type.Literal('alive') })) },
} as const

const WARNINGS = Type.Optional(
  Type.Array(Type.String(), {
    description:
      'Problems that do not stop the counting but need attention: `queue: …`, `dead letters: …`. Absent if there are none.',
  }),
)

export const getReadyz = {
  operationId: 'getReadyz',
  summary: 'Whether the service is ready',
  tags: ['health'],
  security: [],
  response: {
    200: described('The service works.', Type.Object({ status: Type.Literal('ready'), warnings: WARNINGS })),
    503: described(
      'A part that the service needs does not work.',
      Type.Object({
        status: Type.Literal('unavailable'),
        problems: Type.Array(Type.String(), {
          description: 'One for each part that does not work: `store: …`, `broker: …`, `consumer: …`.',
        }),
        warnings: WARNINGS,
      }),
    ),
  },
} as const

export const getMetrics = {
  operationId: 'getMetrics',
  summary: 'Metrics for Prometheus',
  tags: ['health'],
  security: [],
  response: {
    200: { description: 'Text exposition.', content: { 'text/plain': { schema: Type.String() } } },
  },
} as const
