/** Which posts stand out: their last 24 full hours against the days before, by the formula of `docs/contract.md`. */

import type { Calendar } from '../store/calendar.ts'
import { addDays, type Day, latest, type Period } from '../store/days.ts'
import type { Views } from '../store/pack.ts'
import type { BreakdownOfDay, RisingPost, Store, Totals } from '../store/store.ts'
import { boundOf, LEAST_VIEWS, type SiteCompared, scoreOf } from '../store/trending.ts'
import { type Chosen, chosen, ofValue } from './breakdowns.ts'
import type * as schemas from './schemas.ts'

const HOURS = 24
const HOUR_SECONDS = 3_600
/** What is usual is measured on this many days. */
const USUAL_DAYS = 28
/** The hours of at most this many posts are read with one statement. */
const POSTS_AT_ONCE = 100
const CANDIDATES_AT_ONCE = 1_000
/** The hours of at most this many posts are kept, some 800 bytes each. */
const MAX_KEPT = 10_000

export interface TrendingQuestion {
  limit: number
  who: schemas.Who
  /** Unix seconds. */
  now: number
  /** How old the list of posts may be that the answer is made from. */
  maxAgeMs: number
}

export type Trending = Pick<schemas.TrendingPosts, 'posts' | 'details_since'> & {
  /** The age of what the answer is made from. */
  ageMs: number
}

/** Hours of days. */
export interface Hours {
  /** The days that they touch. */
  days: Period
  /** Of each day, from the earliest on. */
  ofDays: Map<Day, number[]>
  seconds: number
}

/** The last 24 hours of days that are over. They take 24 hours, except where clocks changed by less than an hour. */
export function lastHours(calendar: Calendar, now: number): Hours {
  let { day, hour } = calendar.locate(now)
  const ofDays = new Map<Day, number[]>()
  let seconds = 0
  for (let count = 0; count < HOURS; count++) {
    while (hour === 0) {
      day = addDays(day, -1)
      const { start, end } = calendar.bounds(day)
      hour = Math.ceil((end - start) / HOUR_SECONDS)
    }
    hour--
    const { start, end } = calendar.bounds(day)
    seconds += Math.min(HOUR_SECONDS, end - start - hour * HOUR_SECONDS)
    ofDays.set(day, [hour, ...(ofDays.get(day) ?? [])])
  }
  const days = [...ofDays.keys()]
  return { days: { from: days.at(-1)!, to: days[0]! }, ofDays, seconds }
}

/** What was read of a post's day. */
interface ReadDay {
  views: number
  /** By their numbers. */
  hours: Float64Array
}

/**
 * The hours of posts as they were read last. They decide nothing by themselves: they tell which posts need not be read again,
 * because the views that have come since do not suffice, even if all of them came within the last 24 hours.
 */
class KnownHours {
  /** By who is asked for, and post. */
  readonly #days = new Map<string, Map<string, Map<Day, ReadDay>>>()
  #revision: string | null = null

  /** @param revision of `RisingPosts` */
  of(who: schemas.Who, revision: string | null): Map<string, Map<Day, ReadDay>> {
    if (revision === null || revision !== this.#revision) this.#days.clear()
    this.#revision = revision
    let known = this.#days.get(who)
    if (known === undefined || known.size > MAX_KEPT) {
      known = new Map()
      this.#days.set(who, known)
    }
    return known
  }
}

/** Finds the posts that stand out in this store. */
export function createTrending(store: Store): (question: TrendingQuestion) => Promise<Trending> {
  const known = new KnownHours()
  return question => trendingPosts(store, known, question)
}

type Scored = schemas.TrendingPost & { exact: number }

async function trendingPosts(
  store: Store,
  knownHours: KnownHours,
  { limit, who, now, maxAgeMs }: TrendingQuestion,
): Promise<Trending> {
  const { calendar } = store
  const hours = lastHours(calendar, now)
  const { days } = hours
  const question: Chosen = { dimension: 'hour', bots: store.settings.bots, who }
  const earliest = addDays(days.from, -USUAL_DAYS)
  const [total, daysRead, daysChosen, siteHours] = await Promise.all([
    store.siteTotals(),
    store.siteDays(earliest, days.to),
    store.siteDays(earliest, days.to, who),
    store.breakdownDays('hour', null, days.from, days.to, () => true, who),
  ])
  const viewsOn = new Map(daysChosen.map(({ date, views }) => [date, views ?? Number.NaN]))
  const siteDays = daysRead.map(({ date, views, bots }) => {
    const all = { views: views ?? Number.NaN, bots }
    return { date, all, views: viewsOn.get(date) ?? 0 }
  })
  const siteRead = siteHours.map(day => ({ date: day.date, read: readDayOf(day, question) }))
  const lastUnknown = latest(
    siteDays.findLast(({ views }) => Number.isNaN(views))?.date ?? null,
    siteRead
      .filter(({ read }) => read === null)
      .reduce<Day | null>((last, { date }) => latest(last, date), null),
  )
  const details_since = lastUnknown === null ? null : addDays(lastUnknown, 1)
  const siteLast = viewsIn(new Map(siteRead.map(({ date, read }) => [date, read])), hours)
  // On what is usual, or on the last 24 hours themselves, nobody knows anything.
  if (siteLast === null || (details_since !== null && details_since >= days.from))
    return { ageMs: 0, posts: [], details_since }

  const since = latest(latest(details_since, firstDayOf(total, siteDays, calendar)), earliest)!
  const before = since < days.from ? { from: since, to: addDays(days.from, -1) } : null
  const shareFrom = (day: Day) =>
    hours.seconds / (calendar.bounds(days.from).start - calendar.bounds(day).start)
  const share = before === null ? 0 : shareFrom(before.from)
  const viewsBefore = siteDays
    .filter(({ date }) => before !== null && date >= before.from && date <= before.to)
    .reduce((sum, { views }) => sum + views, 0)
  const site: SiteCompared = { siteLast, siteUsual: viewsBefore * share, share }

  let best: Scored[] = []
  /** No post with a lower score is answered. */
  const isBelow = (bound: number) => bound <= 0 || (best.length === limit && bound / 100 < best.at(-1)!.exact)

  /** Reads the hours of posts, and scores those that can be among the best. */
  async function look(some: readonly RisingPost[], known: Map<string, Map<Day, ReadDay>>, average: number) {
    const posts = some.map(({ post_uuid }) => post_uuid)
    const read = await store.breakdownDaysOfPosts('hour', posts, days.from, days.to, () => true, who)
    const candidates = new Map<string, { last: number; viewsBefore: number }>()
    for (const { post_uuid, viewsBefore } of some) {
      const ofDays = new Map(read.get(post_uuid)!.map(day => [day.date, readDayOf(day, question)]))
      const last = viewsIn(ofDays, hours)
      if (last === null) continue
      known.set(post_uuid, ofDays as Map<Day, ReadDay>)
      if (last >= LEAST_VIEWS && !isBelow(boundOf(last, viewsBefore, site)))
        candidates.set(post_uuid, { last, viewsBefore })
    }
    for (const { post_uuid, ...total } of await store.postTotals([...candidates.keys()])) {
      const { last, viewsBefore } = candidates.get(post_uuid)!
      const own = before === null ? null : ownDays(viewsBefore, total, { before, calendar })
      const usual = own === null ? null : viewsBefore * shareFrom(own)
      const exact = scoreOf({ ...site, last, usual: usual ?? average, part: viewsBefore * share })
      if (rounded(exact) <= 0) continue
      best.push({
        post_uuid,
        score: rounded(exact),
        last_24h: last,
        usual_24h: usual === null ? null : rounded(usual),
        site_last_24h: site.siteLast,
        site_usual_24h: before === null ? null : rounded(site.siteUsual),
        exact,
      })
    }
    best.sort((a, b) => b.exact - a.exact || (a.post_uuid < b.post_uuid ? -1 : 1))
    best = best.slice(0, limit)
  }

  let ageMs = 0
  for (let offset = 0; ; offset += CANDIDATES_AT_ONCE) {
    const page = { limit: CANDIDATES_AT_ONCE, offset }
    const found = await store.risingPosts({ who, days, before, site, ...page, maxAgeMs })
    ageMs = Math.max(ageMs, found.ageMs)
    const known = knownHours.of(who, found.revision)
    /** A new post has no usual of its own: an average one is expected. */
    const average = found.postsBefore === 0 ? 0 : site.siteUsual / found.postsBefore
    const left = found.posts
      .map(post => ({ ...post, bound: boundNow(post, known.get(post.post_uuid), hours, site) }))
      .sort((a, b) => b.bound - a.bound)
    // Few at first: the best of them may be so far above the others that these need not be read.
    for (let count = Math.min(limit, POSTS_AT_ONCE); left.length > 0 && !isBelow(left[0]!.bound); ) {
      const some = left.splice(0, count).filter(({ bound }) => !isBelow(bound))
      await look(some, known, average)
      count = Math.min(count * 2, POSTS_AT_ONCE)
    }
    if (found.posts.length < CANDIDATES_AT_ONCE || isBelow(found.posts.at(-1)!.bound))
      return { ageMs, details_since, posts: best.map(({ exact: _, ...post }) => post) }
  }
}

/** The score that a post has at most, in hundredths, by its hours as they were read last, and by all that came since. */
function boundNow(
  { views, viewsBefore, bound }: RisingPost,
  known: Map<Day, ReadDay> | undefined,
  hours: Hours,
  site: SiteCompared,
): number {
  if (known === undefined) return bound
  let then = 0
  for (const day of hours.ofDays.keys()) then += known.get(day)?.views ?? 0
  const since = Math.max(0, views - then)
  return Math.min(bound, boundOf(viewsIn(known, hours)! + since, viewsBefore, site))
}

/** The first of a post's own days before; null if it has none: then nobody knows what is usual for it. */
function ownDays(
  viewsBefore: number,
  { first_viewed_at, details_since }: Totals,
  { before, calendar }: { before: Period; calendar: Calendar },
): Day | null {
  // Of adopted views the days are known, but not the times.
  const first =
    first_viewed_at === null || details_since !== undefined ? null : dayIn(calendar, first_viewed_at)
  if (first !== null && first > before.to) return viewsBefore > 0 ? before.from : null
  return latest(first, before.from)
}

/** The first day of which the site has views; null if that is not known. */
function firstDayOf(
  { first_viewed_at }: Totals,
  days: readonly { date: Day; all: Views }[],
  calendar: Calendar,
): Day | null {
  const counted = days.find(({ all }) => all.views > 0 || (all.bots ?? 0) > 0)?.date ?? null
  const first = first_viewed_at === null ? null : dayIn(calendar, first_viewed_at)
  return first === null || (counted !== null && counted < first) ? counted : first
}

function dayIn(calendar: Calendar, time: string): Day {
  return calendar.dayOf(Date.parse(time) / 1_000)
}

/** Null if nobody knows the hours of the day. */
function readDayOf(day: BreakdownOfDay, question: Chosen): ReadDay | null {
  const hours = new Float64Array(HOURS + 1)
  for (const hour of hours.keys()) {
    const { views } = ofValue(day, String(hour), question)
    if (views === null) return null
    hours[hour] = views
  }
  return { views: chosen(day.all, question).views, hours }
}

/** The views of the last hours; null if nobody knows those of one of their days. */
function viewsIn(days: ReadonlyMap<Day, ReadDay | null>, { ofDays }: Hours): number | null {
  let sum = 0
  for (const [day, hours] of ofDays) {
    const read = days.get(day)
    if (read === null) return null
    for (const hour of hours) sum += read?.hours[hour] ?? 0
  }
  return sum
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100
}
