/** Reads the internal API. Field names are those of its JSON; times are ISO 8601 in UTC, days `YYYY-MM-DD`. */

import { ByteCache, entryBytes, ownCopy } from './byte-cache.ts'
import type { DimensionName, Figures } from './figures.ts'
import { canonicalPost } from './view.ts'
import type { ClockOffset } from './zone-time.ts'

export interface Totals<Views = number> extends Figures<Views> {
  /** Null without views, and where people or bots alone are chosen and both are counted. */
  first_viewed_at: string | null
  last_viewed_at: string | null
  /** Present if only `views` is known for older days: all other figures sum the days from this one on. */
  details_since?: string
}

export interface DayViews<Views = number> extends Figures<Views> {
  date: string
}

/** Every view recorded by this time is in the answer. */
export interface AsOf {
  as_of: string
}

export interface Period {
  from: string
  to: string
}

export interface Days<Views = number> extends Period {
  /** An IANA name: the zone whose days are counted. */
  timezone: string
  /** Oldest first, days without views included. */
  days: DayViews<Views>[]
}

export interface Referrer {
  /** Null: direct or unknown. */
  host: string | null
  views: number
  /** Only for the site's own hosts: readers who went from page to page. */
  internal?: true
}

export interface SiteViews<Views = number> extends AsOf, Totals<Views> {}
export interface SiteDays<Views = number> extends AsOf, Days<Views> {}
export interface SiteReferrers<Views = number> extends AsOf, Period {
  /** Most views first. */
  referrers: Referrer[]
  /** The views of the hosts that are not listed, including those that `offset` skips. */
  other: { views: Views }
}

export interface SiteBreakdown extends AsOf, Period {
  dimension: DimensionName
  /** An IANA name: the zone whose days are counted. */
  timezone: string
  /** The day from which on all values are known; null: they all are. */
  details_since: string | null
  /** The views of the period; of `bot` and `purpose`, those of bots. Null: people and bots cannot be told apart. */
  views: number | null
  /** How many values there are to page through. */
  total: number
  /** Most views first, hours by hour. `value` null: the views have none, or nobody told. */
  values: { value: string | null; views: number; bots: number | null; internal?: true }[]
  /** What is not listed. `values` null: some were not kept. */
  other: { values: number | null; views: number | null; bots: number | null }
  /** Views whose value is not known. */
  unknown: { views: number | null }
}

interface Counted {
  /** Null: nobody knows them. */
  views: number | null
  bots: number | null
}

export interface SiteValueDays extends AsOf, Period {
  dimension: DimensionName
  /** Null: the views that have no value. */
  value: string | null
  timezone: string
  /** Oldest first, days without views included. */
  days: ({ date: string } & Counted)[]
}

export interface SiteHours extends AsOf, Period {
  timezone: string
  /** Oldest first, 23 to 25 a day; `start` in UTC. Hours that have not begun are null. */
  hours: ({ start: string; hour: number } & Counted)[]
}

export interface PostViews<Views = number> extends SiteViews<Views> {
  post_uuid: string
}
export interface PostDays<Views = number> extends SiteDays<Views> {
  post_uuid: string
}
export interface PostReferrers<Views = number> extends SiteReferrers<Views> {
  post_uuid: string
}

export interface PostBreakdown extends SiteBreakdown {
  post_uuid: string
}
export interface PostValueDays extends SiteValueDays {
  post_uuid: string
}
export interface PostHours extends SiteHours {
  post_uuid: string
}

/** In the order of the request. With `days`, each post has its own, and the answer has time zone and period. */
export interface PostsViews<Views = number> extends AsOf, Partial<Period> {
  posts: (Totals<Views> & { post_uuid: string; days?: DayViews<Views>[] })[]
  timezone?: string
}

export interface TopPost<Views = number> {
  post_uuid: string
  views: Views
  unique_views: number | null
  /** Only with `sort: 'change'`: the views of as many days before the period. */
  previous_views?: number | null
  /** Only with `sort: 'change'`: `views` minus `previous_views`; null: one of them is not known. */
  change?: number | null
}

export interface TopPosts<Views = number> extends AsOf {
  /** `all`, `today`, `7d`, `30d`, or `FROM/TO`. */
  period: string
  /** Null for `all`. */
  from: string | null
  to: string | null
  /** How many posts there are to page through. */
  total: number
  /** In the order asked for; by default most views first. */
  posts: TopPost<Views>[]
}

export interface TrendingPost {
  post_uuid: string
  /** How far the last 24 hours are above what was expected, in standard deviations of chance: from 3 on it is hardly chance. */
  score: number
  last_24h: number
  /** Null: the post is new, so nobody knows what is usual for it. */
  usual_24h: number | null
  site_last_24h: number
  /** Null: the site is new. */
  site_usual_24h: number | null
}

export interface TrendingPosts extends AsOf {
  /**
   * The day from which on all is known that is compared; null: it all is. If it is one of the days of the last 24 hours, nobody
   * knows which posts stand out, and `posts` is empty.
   */
  details_since: string | null
  /** The greatest score first. */
  posts: TrendingPost[]
}

export interface Status extends AsOf {
  /** Messages in the queues, without those that a consumer has not acknowledged yet; null: the broker cannot be asked. */
  queued: number | null
  /** Dead letters. */
  dead: number | null
  /** 0 when nothing waits, neither in the queues nor with a consumer; else the age of the latest counted view. */
  lag_seconds: number | null
  last_committed_at: string | null
  /** The last 60 minutes, oldest first; `minute` is the first second of each. */
  minutes: { minute: string; views: number }[]
  /** An IANA name: the time zone whose days are counted. */
  timezone: string
  /** The time zone rules for these days: who packed them, and the release of IANA's database. */
  zone_rules: { source: string; release: string }
  /** The zone's offsets by these rules, from 1970 to two years ahead, oldest first: to show times in the zone of the days. */
  offsets: ClockOffset[]
}

/** The last `days` days, today included (default 30); or from one day to another (default today). */
export type PeriodQuery = { days?: number } | { from: string; to?: string }

export type TopQuery = ({ period?: 'all' | 'today' | '7d' | '30d' } | { from: string; to?: string }) & {
  /** `views` by default. `change`: against as many days before the period, which cannot be `all`. */
  sort?: 'views' | 'unique_views' | 'change'
  /** `desc` by default: the greatest first. */
  order?: 'desc' | 'asc'
  /** 1 to 1,000; default 10. */
  limit?: number
  offset?: number
}

export interface TrendingQuery {
  /** 1 to 1,000; default 10. */
  limit?: number
  /** Whose views are compared; `people` by default. */
  who?: Who
}

export type ReferrersQuery = PeriodQuery & {
  /** 1 to 1,000; default 10. */
  limit?: number
  offset?: number
}

/** Whose views; by default all that are counted as views. */
export type Who = 'people' | 'bots' | 'all'

interface WhoQuery {
  who?: Who
}

/** With `who`, views may be unknown. */
interface Chosen {
  who: Who
}
type Unknown = number | null

export type BreakdownQuery = ReferrersQuery & WhoQuery

export type ValueQuery = PeriodQuery &
  WhoQuery & {
    /** Without it, the days of views that have no value. */
    value?: string
  }

/** At most 14 days; by default today. */
export type HoursQuery = PeriodQuery & WhoQuery

/** Every method rejects with a `StatsError` when the number is unknown; none makes one up. */
export interface Stats {
  postViews(post: string | number, query: Chosen): Promise<PostViews<Unknown>>
  postViews(post: string | number): Promise<PostViews>
  postDays(post: string | number, query: PeriodQuery & Chosen): Promise<PostDays<Unknown>>
  postDays(post: string | number, period?: PeriodQuery): Promise<PostDays>
  postReferrers(post: string | number, query: ReferrersQuery & Chosen): Promise<PostReferrers<Unknown>>
  postReferrers(post: string | number, query?: ReferrersQuery): Promise<PostReferrers>
  /** The views of each country, browser or other value: see `DIMENSIONS`. */
  postBreakdown(
    post: string | number,
    dimension: DimensionName,
    query?: BreakdownQuery,
  ): Promise<PostBreakdown>
  postValueDays(post: string | number, dimension: DimensionName, query?: ValueQuery): Promise<PostValueDays>
  postHours(post: string | number, query?: HoursQuery): Promise<PostHours>
  /** Up to 200 posts in one call; with `days`, that many last days of each: posts times days at most 20,000. */
  postsViews(
    posts: readonly (string | number)[],
    query: { days?: number } & Chosen,
  ): Promise<PostsViews<Unknown>>
  postsViews(posts: readonly (string | number)[], query?: { days?: number }): Promise<PostsViews>
  topPosts(query: TopQuery & Chosen): Promise<TopPosts<Unknown>>
  topPosts(query?: TopQuery): Promise<TopPosts>
  /** Posts whose last 24 full hours stand out against their own 28 days before, and against the site. */
  trendingPosts(query?: TrendingQuery): Promise<TrendingPosts>
  siteViews(query: Chosen): Promise<SiteViews<Unknown>>
  siteViews(): Promise<SiteViews>
  siteDays(query: PeriodQuery & Chosen): Promise<SiteDays<Unknown>>
  siteDays(period?: PeriodQuery): Promise<SiteDays>
  siteReferrers(query: ReferrersQuery & Chosen): Promise<SiteReferrers<Unknown>>
  siteReferrers(query?: ReferrersQuery): Promise<SiteReferrers>
  siteBreakdown(dimension: DimensionName, query?: BreakdownQuery): Promise<SiteBreakdown>
  /** The days of one value of a dimension. */
  siteValueDays(dimension: DimensionName, query?: ValueQuery): Promise<SiteValueDays>
  siteHours(query?: HoursQuery): Promise<SiteHours>
  status(): Promise<Status>
  /** The API's own description, OpenAPI 3.1. */
  openapi(): Promise<Record<string, unknown>>
}

export interface StatsOptions {
  /** Where Analytics listens, such as `http://127.0.0.1:3100`. */
  baseUrl: string
  /** One of its `INTERNAL_API_KEY`s. */
  key: string
  /** For a whole answer. 5,000. */
  timeoutMs?: number
  fetch?: typeof globalThis.fetch
}

/** The number is not known. */
export class StatsError extends Error {
  override name = 'StatsError'
}

/** Analytics or the network is down or too slow, or Analytics cannot answer now. The same request may work later. */
export class StatsUnavailable extends StatsError {
  override name = 'StatsUnavailable'
}

/** Analytics rejects this key: no request will work until somebody changes it. */
export class StatsRefused extends StatsError {
  override name = 'StatsRefused'
}

/** The request is wrong, and repeating it is useless; the message says what is allowed. */
export class StatsBadRequest extends StatsError {
  override name = 'StatsBadRequest'
  /** The wrong parameter, if it is a parameter. */
  readonly parameter: string | undefined

  constructor(message: string, parameter?: string, options?: ErrorOptions) {
    super(message, options)
    this.parameter = parameter
  }
}

/**
 * A client of the internal API. It caches the latest answers, some MiB at most, and revalidates them on each request.
 *
 * @throws {TypeError} when `baseUrl` or `key` is invalid; the message never holds the key
 */
export function createStats(options: StatsOptions): Stats {
  const api = new Api(options)
  return {
    postViews: async (post: string | number, query?: WhoQuery) =>
      api.get<never>(`posts/${postId(post)}/views`, query),
    postDays: async (post: string | number, query?: PeriodQuery & WhoQuery) =>
      api.get<never>(`posts/${postId(post)}/views/daily`, query),
    postReferrers: async (post: string | number, query?: ReferrersQuery & WhoQuery) =>
      api.get<never>(`posts/${postId(post)}/referrers`, query),
    postBreakdown: async (post, dimension, query) =>
      api.get(`posts/${postId(post)}/breakdowns/${encodeURIComponent(dimension)}`, query),
    postValueDays: async (post, dimension, query) =>
      api.get(`posts/${postId(post)}/breakdowns/${encodeURIComponent(dimension)}/daily`, query),
    postHours: async (post, query) => api.get(`posts/${postId(post)}/views/hourly`, query),
    postsViews: async (posts: readonly (string | number)[], query?: { days?: number } & WhoQuery) =>
      api.get<never>('posts/views', { uuids: posts.map(postId).join(','), ...query }),
    topPosts: async (query?: TopQuery & WhoQuery) => api.get<never>('posts/top', query),
    trendingPosts: async query => api.get('posts/trending', query),
    siteViews: async (query?: WhoQuery) => api.get<never>('views', query),
    siteDays: async (query?: PeriodQuery & WhoQuery) => api.get<never>('views/daily', query),
    siteReferrers: async (query?: ReferrersQuery & WhoQuery) => api.get<never>('referrers', query),
    siteBreakdown: async (dimension, query) => api.get(`breakdowns/${encodeURIComponent(dimension)}`, query),
    siteValueDays: async (dimension, query) =>
      api.get(`breakdowns/${encodeURIComponent(dimension)}/daily`, query),
    siteHours: async query => api.get('views/hourly', query),
    status: async () => api.get('status'),
    openapi: async () => api.get('openapi.json'),
  }
}

// Checked here, because a URL resolves `..`: the answer would be that of another request.
function postId(post: string | number): string {
  const id = canonicalPost(String(post))
  if (id === undefined) {
    throw new StatsBadRequest(
      'a post is a UUID, 1 to 36 characters of A-Z a-z 0-9 _ -, or a positive integer',
    )
  }
  return id
}

const DEFAULT_TIMEOUT_MS = 5_000
const KEY_HEADER = 'X-Internal-Api-Key'
/** Several times the largest: 20,000 days of posts with long numbers. */
const MAX_ANSWER_BYTES = 16 * 1_048_576
const MAX_KEPT_BYTES = 8 * 1_048_576

class Api {
  readonly #base: URL
  readonly #key: string
  readonly #timeoutMs: number
  readonly #fetch: typeof globalThis.fetch
  readonly #kept = new ByteCache<KeptAnswer>(MAX_KEPT_BYTES)

  constructor({ baseUrl, key, timeoutMs = DEFAULT_TIMEOUT_MS, fetch = globalThis.fetch }: StatsOptions) {
    const base = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined
    if (
      base === undefined ||
      !/^https?:$/.test(base.protocol) ||
      base.username !== '' ||
      base.password !== ''
    ) {
      throw new TypeError('baseUrl must be an http or https URL without user and password')
    }
    // fetch would quote a key that no header can carry in its error.
    if (!/^[\x21-\x7e]+$/.test(key)) throw new TypeError('key must be one or more printable ASCII characters')
    base.pathname = `${base.pathname.replace(/\/+$/, '')}/api/v1/`
    base.search = ''
    base.hash = ''
    this.#base = base
    this.#key = key
    this.#timeoutMs = timeoutMs
    this.#fetch = fetch
  }

  /** @throws {StatsError} */
  async get<Answer>(path: string, query: object = {}): Promise<Answer> {
    const url = new URL(path, this.#base)
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value))
    }
    const kept = this.#kept.get(url.href)
    const { response, text } = await this.#ask(url, kept?.etag)
    if (response.status === 304 && kept !== undefined) {
      const asOf = response.headers.get('X-As-Of')
      return { ...JSON.parse(kept.text), ...(asOf === null ? {} : { as_of: asOf }) }
    }
    if (response.status !== 200) throw toError(response, text)
    const answer = parse(text)
    if (answer === undefined)
      throw new StatsUnavailable('what answers is not Analytics: it sends no JSON object')
    const etag = response.headers.get('ETag')
    if (etag !== null) {
      this.#kept.set(url.href, { etag: ownCopy(etag), text }, entryBytes(url.href, etag, text))
    }
    // The API's schemas guarantee this type, and its tests check the schemas.
    return answer as Answer
  }

  async #ask(url: URL, etag: string | undefined): Promise<{ response: Response; text: string }> {
    const headers: Record<string, string> = { Accept: 'application/json', [KEY_HEADER]: this.#key }
    if (etag !== undefined) headers['If-None-Match'] = etag
    try {
      const signal = AbortSignal.timeout(this.#timeoutMs)
      // Following a redirect would send the key elsewhere.
      const response = await this.#fetch(url, { headers, signal, redirect: 'manual' })
      return { response, text: await readText(response) }
    } catch (cause) {
      if (cause instanceof StatsError) throw cause
      const isLate = cause instanceof Error && cause.name === 'TimeoutError'
      const why = isLate ? `did not answer within ${this.#timeoutMs} ms` : 'cannot be reached'
      throw new StatsUnavailable(`Analytics at ${url.origin} ${why}`, { cause })
    }
  }
}

/**
 * Counts the decompressed bytes, because a small compressed body can grow to any size.
 *
 * @throws {StatsUnavailable} when it is larger than any answer
 */
async function readText({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body ?? []) {
    bytes += chunk.length
    if (bytes > MAX_ANSWER_BYTES) {
      throw new StatsUnavailable(`what answers is not Analytics: it sends over ${MAX_ANSWER_BYTES} bytes`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const content: unknown = JSON.parse(text)
    const isObject = typeof content === 'object' && content !== null && !Array.isArray(content)
    return isObject ? (content as Record<string, unknown>) : undefined
  } catch {
    // An answer that is not JSON gets the same error as one that is not an object.
    return undefined
  }
}

// The same request may work later.
const TEMPORARY = [408, 425, 429]

function toError({ status, headers }: Response, text: string): StatsError {
  const { detail, parameter } = parse(text) ?? {}
  const isRedirect = status >= 300 && status < 400 && headers.has('Location')
  const message =
    typeof detail === 'string'
      ? `${status}: ${detail}`
      : `Analytics answered ${status}${isRedirect ? ', a redirect, which is not followed' : ''}`
  if (status === 401 || status === 403) return new StatsRefused(message)
  if (status >= 400 && status < 500 && !TEMPORARY.includes(status)) {
    return new StatsBadRequest(message, typeof parameter === 'string' ? parameter : undefined)
  }
  return new StatsUnavailable(message)
}

interface KeptAnswer {
  etag: string
  /** As text, because callers may change the objects they are given. */
  text: string
}
