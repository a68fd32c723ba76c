/**
 * Everything a store answers, and the same counted the plain way: from a list of views, each once, with nothing
 * shared with the code under test.
 */

import type { View } from '@postviews/client/src/index.ts'
import type { CountingSettings } from '../packages/analytics/src/store/counting-settings.ts'
import { type Day, daysFrom } from '../packages/analytics/src/store/days.ts'
import type { ChosenFigures, Who } from '../packages/analytics/src/store/figures.ts'
import type { Store, Totals } from '../packages/analytics/src/store/store.ts'
import { listOf } from './store-contract-database.ts'
import { referrersIn } from './support/referrers.ts'
import { GOOGLEBOT } from './support/views.ts'

export interface Question {
  posts: readonly string[]
  from: Day
  to: Day
}

/** Answers of every read, of posts as lists in the order asked. */
export interface Everything {
  postTotals: unknown[]
  postDays: unknown[]
  postReferrers: unknown[]
  siteTotals: unknown
  siteDays: unknown[]
  siteReferrers: unknown[]
  topOfAllTime: unknown
  topOfPeriod: unknown
  minutes: unknown[]
  /** Totals, days and lists of people's views, of bots', and of all. */
  chosen: unknown[]
}

const CHOICES = ['people', 'bots', 'all'] as const
const PAGE = 7
const ALL = 1_000

export async function everythingIn(store: Store, { posts, from, to }: Question): Promise<Everything> {
  const days = await store.postDays(posts, from, to)
  return {
    postTotals: await store.postTotals(posts),
    postDays: posts.map(post => days.get(post)),
    postReferrers: await Promise.all(
      posts.map(async post => (await referrersIn(store, post, from, to, ALL)).referrers),
    ),
    siteTotals: await store.siteTotals(),
    siteDays: await store.siteDays(from, to),
    siteReferrers: (await referrersIn(store, null, from, to, ALL)).referrers,
    topOfAllTime: await pagesOf(store, null),
    topOfPeriod: await pagesOf(store, { from, to }),
    minutes: await store.minutes(0),
    chosen: await Promise.all(
      CHOICES.map(async who => {
        const days = await store.postDays(posts, from, to, who)
        return {
          postTotals: await store.postTotals(posts, who),
          postDays: posts.map(post => days.get(post)),
          siteTotals: await store.siteTotals(who),
          siteDays: await store.siteDays(from, to, who),
          topOfAllTime: await listOf(store, { period: null, who, limit: ALL }),
          topOfPeriod: await listOf(store, { period: { from, to }, who, limit: ALL }),
        }
      }),
    ),
  }
}

async function pagesOf(store: Store, period: { from: Day; to: Day } | null) {
  const { total, posts } = await store.topPosts({ period, limit: PAGE })
  for (let page = posts; page.length > 0; ) {
    page = (await store.topPosts({ period, limit: PAGE, offset: posts.length })).posts
    posts.push(...page)
  }
  return { total, posts }
}

export function recount(
  views: readonly View[],
  settings: CountingSettings,
  { posts, from, to }: Question,
): Everything {
  const placed = views.map(view => ({ ...view, ...placeOf(view, settings) }))
  const isCounted = (view: View) => settings.bots === 'count' || view.userAgent !== GOOGLEBOT
  const counted = placed.filter(isCounted)
  const of = (post: string) => placed.filter(view => view.postUuid === post)
  const inPeriod = (list: typeof placed) => list.filter(view => view.day >= from && view.day <= to)

  function figures(list: typeof placed, who?: Who): ChosenFigures {
    const taken = list.filter(who === undefined ? isCounted : isChosen(who))
    const readers = taken.map(view => [view.postUuid, view.day, view.window, readerOf(view, settings)])
    return {
      views: taken.length,
      unique_views: new Set(readers.map(reader => JSON.stringify(reader))).size,
      logged_in: taken.filter(view => view.loggedIn).length,
      anonymous: taken.filter(view => !view.loggedIn).length,
      bots: who === 'people' ? 0 : list.filter(view => view.userAgent === GOOGLEBOT).length,
    }
  }

  function totals(list: typeof placed, who?: Who): Totals {
    // The times of other views than those that are counted are not kept.
    const isKept = who === undefined || who === (settings.bots === 'exclude' ? 'people' : 'all')
    const times = (isKept ? list : []).filter(isCounted).map(view => view.viewedAt)
    const time = (seconds: number) =>
      times.length === 0 ? null : new Date(seconds * 1_000).toISOString().replace('.000Z', 'Z')
    return {
      ...figures(list, who),
      first_viewed_at: time(Math.min(...times)),
      last_viewed_at: time(Math.max(...times)),
    }
  }

  function days(list: typeof placed, who?: Who) {
    return daysFrom(from, to)
      .map(date => ({ date, views: list.filter(view => view.day === date) }))
      .filter(day => day.views.length > 0)
      .map(day => ({ date: day.date, ...figures(day.views, who) }))
  }

  function referrers(list: typeof placed) {
    const hosts = new Map<string | null, number>()
    for (const view of inPeriod(list).filter(isCounted)) {
      const host = view.referer === null ? null : new URL(view.referer).hostname
      hosts.set(host, (hosts.get(host) ?? 0) + 1)
    }
    return [...hosts]
      .map(([host, views]) => ({ host, views }))
      .sort((a, b) => b.views - a.views || ((a.host ?? '') < (b.host ?? '') ? -1 : 1))
  }

  function top(list: typeof placed, who?: Who) {
    const listed = list.filter(who === undefined ? isCounted : isChosen(who))
    const ranked = [...new Set(listed.map(view => view.postUuid))]
      .map(post => ({
        post_uuid: post,
        ...figures(
          list.filter(view => view.postUuid === post),
          who,
        ),
      }))
      .map(({ post_uuid, views, unique_views }) => ({ post_uuid, views: views!, unique_views }))
      .sort((a, b) => b.views - a.views || (a.post_uuid < b.post_uuid ? -1 : 1))
    return { total: ranked.length, posts: ranked }
  }

  function minutes() {
    const times = counted.map(view => view.viewedAt - (view.viewedAt % 60)).sort((a, b) => a - b)
    return [...new Set(times)].map(time => ({
      minute: new Date(time * 1_000).toISOString().replace('.000Z', 'Z'),
      views: times.filter(other => other === time).length,
    }))
  }

  return {
    postTotals: posts.map(post => ({ post_uuid: post, ...totals(of(post)) })),
    postDays: posts.map(post => days(of(post))),
    postReferrers: posts.map(post => referrers(of(post))),
    siteTotals: totals(placed),
    siteDays: days(placed),
    siteReferrers: referrers(placed),
    topOfAllTime: top(placed),
    topOfPeriod: top(inPeriod(placed)),
    minutes: minutes(),
    chosen: CHOICES.map(who => ({
      postTotals: posts.map(post => ({ post_uuid: post, ...totals(of(post), who) })),
      postDays: posts.map(post => days(of(post), who)),
      siteTotals: totals(placed, who),
      siteDays: days(placed, who),
      topOfAllTime: top(placed, who),
      topOfPeriod: top(inPeriod(placed), who),
    })),
  }
}

function isChosen(who: Who) {
  return ({ userAgent }: View) => who === 'all' || (userAgent === GOOGLEBOT) === (who === 'bots')
}

function readerOf({ ip, userAgent }: View, { uniqueBy }: CountingSettings): unknown {
  if (ip === null) return null
  return uniqueBy === 'ip' ? ip : [ip, userAgent]
}

function placeOf({ viewedAt }: View, { timeZone, windowHours }: CountingSettings) {
  const day = dayIn(timeZone, viewedAt)
  if (windowHours === 24) return { day, window: 0 }
  return { day, window: Math.floor((viewedAt - firstInstantOf(timeZone, viewedAt)) / (windowHours * 3_600)) }
}

const formats = new Map<string, Intl.DateTimeFormat>()

function dayIn(timeZone: string, unixSeconds: number): Day {
  const format = formats.get(timeZone) ?? new Intl.DateTimeFormat('en-CA', { timeZone, dateStyle: 'short' })
  formats.set(timeZone, format)
  return format.format(unixSeconds * 1_000)
}

// Clocks differ, and change, by quarters of an hour.
function firstInstantOf(timeZone: string, unixSeconds: number): number {
  const day = dayIn(timeZone, unixSeconds)
  let start = unixSeconds - (unixSeconds % 900)
  while (dayIn(timeZone, start - 900) === day) start -= 900
  return start
}
