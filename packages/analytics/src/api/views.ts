/** What each route of `/api/v1` answers: the question is read, the store is asked, the days are filled in. */

import type { DimensionName } from '@postviews/client/src/figures.ts'
import { canonicalPost } from '@postviews/client/src/index.ts'
import { rulesOf } from '../store/agreement.ts'
import { AnswerCache } from '../store/answer-cache.ts'
import { NO_VALUE } from '../store/bounds.ts'
import { addDays, type Day, daysBetween, daysFrom, type Period } from '../store/days.ts'
import { NO_VIEWS } from '../store/figures.ts'
import type { DayFigures, Store } from '../store/store.ts'
import { answerOf, daysOfValue, hoursOf, referrersOf } from './breakdowns.ts'
import type { Health } from './health.ts'
import { badParameter, Problem } from './problem.ts'
import * as schemas from './schemas.ts'
import { createTrending } from './trending.ts'
import { assertAwaited, Turns } from './turns.ts'

export interface ViewsOptions {
  store: Store
  health: Pick<Health, 'backlog'>
  /** Unix milliseconds. */
  now: () => number
  /** How old a list of posts may be, if reading it takes a while. */
  listMaxAgeMs: number
  /** Of `createLoopTurns`. */
  loopTurn: () => Promise<void>
}

/** The client of an answer that is written in parts. */
export interface Asker {
  /** Aborted when nobody waits any more. */
  signal: AbortSignal
  /** A post of the answer as JSON. */
  write(post: schemas.PostEntry): string
}

/** How many days of posts are read and written in some 10 ms. */
const PART_POST_DAYS = 2_000
const DEAR_AT_ONCE = 2
const DEAR_WAITING = 100
/** An answer may take 15 s: the rest is enough to make it. */
const DEAR_WAIT_MS = 10_000

export function createViews({ store, health, now, listMaxAgeMs, loopTurn }: ViewsOptions) {
  // Asked before the figures are read, so they cannot be older.
  const asOf = async () => ({ as_of: new Date(await store.asOf(now())).toISOString() })
  const today = () => store.calendar.dayOf(Math.floor(now() / 1_000))
  const timezone = store.calendar.timeZone
  const trending = new AnswerCache()
  const trendingOf = createTrending(store)
  const turns = new Turns({ atOnce: DEAR_AT_ONCE, maxWaiting: DEAR_WAITING, maxWaitMs: DEAR_WAIT_MS })

  /** Reads and writes in parts, so that neither the store nor the event loop is blocked for long. */
  async function postsWithDays(
    posts: readonly string[],
    period: Period,
    who: schemas.Who | undefined,
    { signal, write }: Asker,
  ): Promise<Map<string, string>> {
    const totals = await store.postTotals(posts, who)
    const calendarDays = daysOf(period)
    const written = new Map<string, string>()
    const postsInPart = Math.max(1, Math.floor(PART_POST_DAYS / calendarDays.length))
    for (let first = 0; first < totals.length; first += postsInPart) {
      const part = totals.slice(first, first + postsInPart)
      const ids = part.map(post => post.post_uuid)
      const figures = await store.postDays(ids, period.from, period.to, who)
      await loopTurn()
      assertAwaited(signal)
      for (const post of part) {
        const days = fill(figures.get(post.post_uuid), calendarDays)
        written.set(post.post_uuid, write({ ...post, days }))
      }
    }
    return written
  }

  function dimensionOf(name: string): DimensionName {
    const dimension = store.dimensions.find(known => known === name)
    if (dimension === undefined) throw noDimension(name, store.dimensions)
    return dimension
  }

  async function valueDays(
    post: string | null,
    name: string,
    { value, who, ...dates }: schemas.ValueQuery,
  ): Promise<schemas.SiteValueDays> {
    const dimension = dimensionOf(name)
    const { from, to } = toPeriod(dates, today())
    const read = await asOf()
    const asked = value ?? NO_VALUE
    const found = await store.breakdownDays(dimension, post, from, to, value => value === asked, who)
    const days = daysOfValue(found, daysFrom(from, to), asked, { dimension, bots: store.settings.bots, who })
    return { ...read, dimension, value: value || null, timezone, from, to, days }
  }

  async function hours(
    post: string | null,
    { who, ...dates }: schemas.HoursQuery,
  ): Promise<schemas.SiteHours> {
    const dimension = dimensionOf('hour')
    const { from, to } = toPeriod(dates.from === undefined ? { days: 1, ...dates } : dates, today())
    if (daysBetween(from, to) >= schemas.MAX_HOURLY_DAYS)
      throw badParameter(
        'from',
        `is too long before to: a period has at most ${schemas.MAX_HOURLY_DAYS} days`,
      )
    const read = await asOf()
    const found = await store.breakdownDays(dimension, post, from, to, () => true, who)
    const question = { dimension, bots: store.settings.bots, who }
    const at = { calendar: store.calendar, now: Math.floor(now() / 1_000) }
    return { ...read, timezone, from, to, hours: hoursOf(found, daysFrom(from, to), question, at) }
  }

  async function breakdown(
    post: string | null,
    name: string,
    { limit = schemas.DEFAULT_LIMIT, offset = 0, who, ...dates }: schemas.BreakdownQuery,
  ): Promise<schemas.Breakdown> {
    const dimension = dimensionOf(name)
    const period = toPeriod(dates, today())
    const read = await asOf()
    const [found, ownHosts] = await Promise.all([
      store.breakdown(dimension, post, period.from, period.to, who),
      dimension === 'referrer' ? store.ownHosts() : [],
    ])
    const { bots } = store.settings
    const question = { dimension, bots, who, limit, offset, ownHosts }
    return { ...read, timezone, ...period, ...answerOf(found, question) }
  }

  async function referrers(
    post: string | null,
    query: schemas.ReferrersQuery,
  ): Promise<schemas.SiteReferrers> {
    const { as_of, from, to, ...answer } = await breakdown(post, 'referrer', query)
    return { as_of, from, to, ...referrersOf(answer) }
  }

  return {
    async postTotals(uuid: string, { who }: schemas.WhoQuery): Promise<schemas.PostTotals> {
      const post = toPost('uuid', uuid)
      const read = await asOf()
      const [totals] = await store.postTotals([post], who)
      return { ...read, ...totals! }
    },

    async postDays(uuid: string, { who, ...dates }: schemas.DaysQuery): Promise<schemas.PostDays> {
      const post = toPost('uuid', uuid)
      const period = toPeriod(dates, today())
      const read = await asOf()
      const days = await store.postDays([post], period.from, period.to, who)
      return { ...read, post_uuid: post, timezone, ...period, days: fill(days.get(post), daysOf(period)) }
    },

    async postReferrers(uuid: string, query: schemas.ReferrersQuery): Promise<schemas.PostReferrers> {
      const post = toPost('uuid', uuid)
      const { as_of, ...answer } = await referrers(post, query)
      return { as_of, post_uuid: post, ...answer }
    },

    async postBreakdown(
      { uuid, dimension }: { uuid: string; dimension: string },
      query: schemas.BreakdownQuery,
    ): Promise<schemas.PostBreakdown> {
      const post = toPost('uuid', uuid)
      const { as_of, ...answer } = await breakdown(post, dimension, query)
      return { as_of, post_uuid: post, ...answer }
    },

    siteBreakdown: (dimension: string, query: schemas.BreakdownQuery): Promise<schemas.Breakdown> =>
      breakdown(null, dimension, query),

    async postValueDays(
      { uuid, dimension }: { uuid: string; dimension: string },
      query: schemas.ValueQuery,
    ): Promise<schemas.PostValueDays> {
      const post = toPost('uuid', uuid)
      const { as_of, ...answer } = await valueDays(post, dimension, query)
      return { as_of, post_uuid: post, ...answer }
    },

    siteValueDays: (dimension: string, query: schemas.ValueQuery): Promise<schemas.SiteValueDays> =>
      valueDays(null, dimension, query),

    async postHours(uuid: string, query: schemas.HoursQuery): Promise<schemas.PostHours> {
      const post = toPost('uuid', uuid)
      const { as_of, ...answer } = await hours(post, query)
      return { as_of, post_uuid: post, ...answer }
    },

    siteHours: (query: schemas.HoursQuery): Promise<schemas.SiteHours> => hours(null, query),

    /** As JSON: an answer of this size is not written in one go. */
    async postsTotals({ uuids, days, who }: schemas.PostsQuery, asker: Asker): Promise<string> {
      const asked = toPosts(uuids)
      // A post that is asked for twice is answered twice, and read once.
      const posts = [...new Set(asked)]
      if (days === undefined) {
        const read = await asOf()
        const totals = new Map((await store.postTotals(posts, who)).map(post => [post.post_uuid, post]))
        return joinPosts(
          read,
          asked.map(post => asker.write(totals.get(post)!)),
          {},
        )
      }
      assertPostDays(asked.length, days)
      const period = lastDays(days, today())
      const answer = async () => {
        const read = await asOf()
        const written = await postsWithDays(posts, period, who, asker)
        return joinPosts(
          read,
          asked.map(post => written.get(post)!),
          { timezone, ...period },
        )
      }
      const isDear = posts.length * days > PART_POST_DAYS
      return isDear ? turns.take(asker.signal, answer) : answer()
    },

    async topPosts(query: schemas.TopQuery): Promise<schemas.TopPosts> {
      const {
        limit = schemas.DEFAULT_LIMIT,
        offset = 0,
        sort = 'views',
        order = 'desc',
        who,
        ...dates
      } = query
      const { name, period } = toTopPeriod(dates, today())
      if (sort === 'change' && period === null) throw badParameter('sort', CHANGE_OF_ALL)
      const askedMs = await store.asOf(now())
      const question = { period, who, sort, order, limit, offset, maxAgeMs: listMaxAgeMs }
      const { ageMs, ...page } = await store.topPosts(question)
      return {
        as_of: new Date(askedMs - ageMs).toISOString(),
        period: name,
        from: period?.from ?? null,
        to: period?.to ?? null,
        ...page,
      }
    },

    async trendingPosts({
      limit = schemas.DEFAULT_LIMIT,
      who = 'people',
    }: schemas.TrendingQuery): Promise<schemas.TrendingPosts> {
      // Both ages together are no more than that of a list.
      const keptMs = listMaxAgeMs / 4
      const maxAgeMs = listMaxAgeMs - keptMs
      return trending.get(`${who} ${limit}`, keptMs, async () => {
        const nowMs = now()
        const askedMs = await store.asOf(nowMs)
        const { ageMs, ...answer } = await trendingOf({
          limit,
          who,
          now: Math.floor(nowMs / 1_000),
          maxAgeMs,
        })
        return { as_of: new Date(askedMs - ageMs).toISOString(), ...answer }
      })
    },

    async siteTotals({ who }: schemas.WhoQuery): Promise<schemas.SiteTotals> {
      return { ...(await asOf()), ...(await store.siteTotals(who)) }
    },

    async siteDays({ who, ...dates }: schemas.DaysQuery): Promise<schemas.SiteDays> {
      const period = toPeriod(dates, today())
      const read = await asOf()
      const days = await store.siteDays(period.from, period.to, who)
      return { ...read, timezone, ...period, days: fill(days, daysOf(period)) }
    },

    siteReferrers: (query: schemas.ReferrersQuery): Promise<schemas.SiteReferrers> => referrers(null, query),

    async status(): Promise<schemas.Status> {
      const read = await asOf()
      const thisMinute = Math.floor(now() / 60_000) * 60
      const minutes = Array.from(
        { length: schemas.STATUS_MINUTES },
        (_, index) => thisMinute - (schemas.STATUS_MINUTES - 1 - index) * 60,
      )
      const { source, release, changes } = rulesOf(store.calendar, thisMinute)
      const [backlog, seen] = await Promise.all([health.backlog(), store.minutes(minutes[0]!)])
      const views = new Map(seen.map(minute => [Date.parse(minute.minute) / 1_000, minute.views]))
      return {
        ...read,
        queued: backlog.queued,
        dead: backlog.dead,
        lag_seconds: backlog.lagSeconds,
        last_committed_at: backlog.lastCommittedAt === null ? null : isoSeconds(backlog.lastCommittedAt),
        minutes: minutes.map(minute => ({ minute: isoSeconds(minute), views: views.get(minute) ?? 0 })),
        timezone,
        zone_rules: { source, release },
        offsets: changes.map(({ from, offset }) => ({ from: isoSeconds(from), seconds: offset })),
      }
    },
  }
}

function toPost(parameter: string, text: string): string {
  const post = canonicalPost(text)
  if (post !== undefined) return post
  throw badParameter(parameter, `must be ${schemas.POST_RULE}`)
}

function noDimension(name: string, known: readonly string[]): Problem {
  const list = known.length === 0 ? 'this store keeps none' : `there are ${known.join(', ')}`
  return new Problem(404, `there is no dimension ${JSON.stringify(name)}: ${list}`, {
    parameter: 'dimension',
  })
}

function toPosts(uuids: string): string[] {
  const texts = uuids.split(',')
  if (texts.length > schemas.MAX_POSTS) {
    throw badParameter('uuids', `must name 1 to ${schemas.MAX_POSTS} posts, not ${texts.length}`)
  }
  return texts.map((text, index) => toPost(texts.length === 1 ? 'uuids' : `uuids[${index}]`, text))
}

function assertPostDays(posts: number, days: number): void {
  if (posts * days <= schemas.MAX_POST_DAYS) return
  const most = Math.floor(schemas.MAX_POST_DAYS / posts)
  throw badParameter(
    'days',
    `must be at most ${most} for ${posts} posts: posts times days are at most ${schemas.MAX_POST_DAYS}`,
  )
}

/** The parts of an answer as JSON: `head`, `posts` that are JSON already, `tail`. */
function joinPosts(head: { as_of: string }, posts: readonly string[], tail: object): string {
  const before = JSON.stringify(head).slice(0, -1)
  const after = JSON.stringify(tail).slice(1)
  return `${before},"posts":[${posts.join()}]${after === '}' ? '' : ','}${after}`
}

function toPeriod({ days, from, to }: Omit<schemas.DaysQuery, 'who'>, today: Day): Period {
  if (days !== undefined && (from !== undefined || to !== undefined)) {
    throw badParameter('days', 'cannot be combined with from and to')
  }
  if (from !== undefined) return between(from, to, today)
  if (to !== undefined) throw badParameter('to', 'needs from')
  return lastDays(days ?? schemas.DEFAULT_DAYS, today)
}

function between(from: Day, to: Day | undefined, today: Day): Period {
  const last = to ?? today
  if (from > last) throw badParameter('from', `must not be after ${to === undefined ? 'today' : 'to'}`)
  if (daysBetween(from, last) >= schemas.MAX_DAYS) {
    throw badParameter(
      'from',
      `is too long before ${to === undefined ? 'today' : 'to'}: a period has at most ${schemas.MAX_DAYS} days`,
    )
  }
  return { from, to: last }
}

function lastDays(count: number, today: Day): Period {
  return { from: addDays(today, 1 - count), to: today }
}

const CHANGE_OF_ALL =
  'cannot be change for period=all, which has no days before it: ask for period=today, 7d or 30d, or for from and to'

const TOP_DAYS = { today: 1, '7d': 7, '30d': 30 } as const

function toTopPeriod(
  { period, ...dates }: Pick<schemas.TopQuery, 'period' | 'from' | 'to'>,
  today: Day,
): { name: string; period: Period | null } {
  if (dates.from === undefined && dates.to === undefined) {
    const name = period ?? 'all'
    return { name, period: name === 'all' ? null : lastDays(TOP_DAYS[name], today) }
  }
  if (period !== undefined) throw badParameter('period', 'cannot be combined with from and to')
  const { from, to } = toPeriod(dates, today)
  return { name: `${from}/${to}`, period: { from, to } }
}

function daysOf({ from, to }: Period): Day[] {
  return daysFrom(from, to)
}

/** The figures of every day; a day that the store has nothing of had no views. */
function fill(figures: readonly DayFigures[] = [], days: readonly Day[]): DayFigures[] {
  const known = new Map(figures.map(day => [day.date, day]))
  return days.map(date => known.get(date) ?? { date, ...NO_VIEWS })
}

function isoSeconds(unixSeconds: number): string {
  return new Date(unixSeconds * 1_000).toISOString().replace('.000Z', 'Z')
}
