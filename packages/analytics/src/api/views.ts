/** What each route of `/api/v1` answers: the question is read, the store is asked, the days are filled in. */

import { canonicalPost } from '@postviews/client'
import { rulesOf } from '../store/agreement.ts'
import { addDays, type Day, daysBetween, daysFrom } from '../store/calendar.ts'
import type { DayFigures, Store } from '../store/store.ts'
import type { Health } from './health.ts'
import { HeldAnswers } from './held-answers.ts'
import { badParameter } from './problem.ts'
import * as schemas from './schemas.ts'

export interface ViewsOptions {
  store: Store
  health: Pick<Health, 'backlog'>
  /** Unix milliseconds. */
  now: () => number
}

/** From one day to another, both included. */
interface Period {
  from: Day
  to: Day
}

export function createViews({ store, health, now }: ViewsOptions) {
  // Taken before the store is asked: what is read cannot be older.
  const asOf = () => ({ as_of: new Date(now()).toISOString() })
  const today = () => store.calendar.dayOf(Math.floor(now() / 1_000))
  const timezone = store.calendar.timeZone
  const held = new HeldAnswers()

  return {
    async postTotals(uuid: string): Promise<schemas.PostTotals> {
      const post = toPost('uuid', uuid)
      const read = asOf()
      const [totals] = await store.postTotals([post])
      return { ...read, ...totals! }
    },

    async postDays(uuid: string, query: schemas.DaysQuery): Promise<schemas.PostDays> {
      const post = toPost('uuid', uuid)
      const period = toPeriod(query, today())
      const read = asOf()
      const days = await store.postDays([post], period.from, period.to)
      return { ...read, post_uuid: post, timezone, ...period, days: fill(days.get(post), daysOf(period)) }
    },

    async postReferrers(uuid: string, query: schemas.ReferrersQuery): Promise<schemas.PostReferrers> {
      const post = toPost('uuid', uuid)
      const { from, to } = toPeriod(query, today())
      const read = asOf()
      const hosts = await store.referrers(post, from, to, query.limit ?? schemas.DEFAULT_LIMIT)
      return { ...read, post_uuid: post, from, to, ...hosts }
    },

    async postsTotals({ uuids, days }: schemas.PostsQuery): Promise<schemas.PostsTotals> {
      const asked = toPosts(uuids)
      // A post that is asked for twice is answered twice, and read once.
      const posts = [...new Set(asked)]
      const period = days === undefined ? null : lastDays(days, today())
      const read = asOf()
      const [totals, figures] = await Promise.all([
        store.postTotals(posts),
        period && store.postDays(posts, period.from, period.to),
      ])
      const calendarDays = period && daysOf(period)
      const byPost = new Map(
        totals.map(post => [
          post.post_uuid,
          calendarDays ? { ...post, days: fill(figures?.get(post.post_uuid), calendarDays) } : post,
        ]),
      )
      return { ...read, posts: asked.map(post => byPost.get(post)!), ...(period && { timezone, ...period }) }
    },

    async topPosts(query: schemas.TopQuery): Promise<schemas.TopPosts> {
      const { name, period } = toTopPeriod(query, today())
      const { limit = schemas.DEFAULT_LIMIT, offset = 0 } = query
      const from = period?.from ?? null
      const to = period?.to ?? null
      // On a big site this is the one answer that takes a while.
      return held.get([name, from, to, limit, offset].join(' '), async () => ({
        ...asOf(),
        period: name,
        from,
        to,
        ...(await store.topPosts(period, limit, offset)),
      }))
    },

    async siteTotals(): Promise<schemas.SiteTotals> {
      return { ...asOf(), ...(await store.siteTotals()) }
    },

    async siteDays(query: schemas.DaysQuery): Promise<schemas.SiteDays> {
      const period = toPeriod(query, today())
      const read = asOf()
      const days = await store.siteDays(period.from, period.to)
      return { ...read, timezone, ...period, days: fill(days, daysOf(period)) }
    },

    async siteReferrers(query: schemas.ReferrersQuery): Promise<schemas.SiteReferrers> {
      const { from, to } = toPeriod(query, today())
      const read = asOf()
      return {
        ...read,
        from,
        to,
        ...(await store.referrers(null, from, to, query.limit ?? schemas.DEFAULT_LIMIT)),
      }
    },

    async status(): Promise<schemas.Status> {
      const read = asOf()
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

function toPosts(uuids: string): string[] {
  const texts = uuids.split(',')
  if (texts.length > schemas.MAX_POSTS) {
    throw badParameter('uuids', `must name 1 to ${schemas.MAX_POSTS} posts; these are ${texts.length}`)
  }
  return texts.map((text, index) => toPost(texts.length === 1 ? 'uuids' : `uuids[${index}]`, text))
}

function toPeriod({ days, from, to }: schemas.DaysQuery, today: Day): Period {
  if (days !== undefined && (from !== undefined || to !== undefined)) {
    throw badParameter('days', 'cannot go together with from and to')
  }
  if (from !== undefined) return between(from, to, today)
  if (to !== undefined) throw badParameter('to', 'must have a from beside it')
  return lastDays(days ?? schemas.DEFAULT_DAYS, today)
}

function between(from: Day, to: Day | undefined, today: Day): Period {
  const last = to ?? today
  if (from > last) throw badParameter('from', `must not be after ${to === undefined ? 'today' : 'to'}`)
  if (daysBetween(from, last) >= schemas.MAX_DAYS) {
    throw badParameter(
      'from',
      `must be at most ${schemas.MAX_DAYS} days from ${to === undefined ? 'today' : 'to'}`,
    )
  }
  return { from, to: last }
}

function lastDays(count: number, today: Day): Period {
  return { from: addDays(today, 1 - count), to: today }
}

const TOP_DAYS = { today: 1, '7d': 7, '30d': 30 } as const

function toTopPeriod(
  { period, ...dates }: schemas.TopQuery,
  today: Day,
): { name: string; period: Period | null } {
  if (dates.from === undefined && dates.to === undefined) {
    const name = period ?? 'all'
    return { name, period: name === 'all' ? null : lastDays(TOP_DAYS[name], today) }
  }
  if (period !== undefined) throw badParameter('period', 'cannot go together with from and to')
  const { from, to } = toPeriod(dates, today)
  return { name: `${from}/${to}`, period: { from, to } }
}

function daysOf({ from, to }: Period): Day[] {
  return daysFrom(from, to)
}

/** The figures of every day; a day that the store has nothing of had no views. */
function fill(figures: readonly DayFigures[] = [], days: readonly Day[]): DayFigures[] {
  const known = new Map(figures.map(day => [day.date, day]))
  return days.map(
    date => known.get(date) ?? { date, views: 0, unique_views: 0, logged_in: 0, anonymous: 0, bots: 0 },
  )
}

function isoSeconds(unixSeconds: number): string {
  return new Date(unixSeconds * 1_000).toISOString().replace('.000Z', 'Z')
}
