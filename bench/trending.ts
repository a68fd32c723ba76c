/**
 * `npx node bench/trending.ts [posts]`: how long `/posts/trending` takes on SQLite with very many posts that do as usual, each by
 * chance a little more or less. That is the worst case: no post stands out so much that the others need not be looked at.
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import type { View } from '@postviews/client/src/index.ts'
import { buildApi } from '../packages/analytics/src/api/app.ts'
import { createLog } from '../packages/analytics/src/log.ts'
import { createMetrics } from '../packages/analytics/src/metrics.ts'
import { addDays, daysFrom } from '../packages/analytics/src/store/days.ts'
import { openStore } from '../packages/analytics/src/store/open.ts'
import { Random } from '../tools/life/random.ts'
import { postUuids } from './events.ts'
import { latenciesOf, residentBytes } from './measure.ts'
import { milliseconds } from './tables.ts'

const POSTS = Number(process.argv[2] ?? 250_000)
/** Of all posts in a day; the n-th post has an n-th of what the first one has. */
const FIRST_POST_VIEWS = POSTS / 10
const DAYS = 30
const KEY = 'a key for this measurement'
const ANSWERS = 200
const MAX_TRIES = 10
/** Half of the day's hours are over. */
const NOW = Date.parse(`${new Date().toISOString().slice(0, 10)}T12:30:00Z`)
const TODAY = new Date(NOW).toISOString().slice(0, 10)
/** So many of a post's latest rows may not be packed yet. */
const MOST_UNPACKED = 128

const random = new Random('trending')

/** A number of views whose mean this is, as chance has it. */
function byChance(mean: number): number {
  if (mean > 30) {
    const normal = Math.sqrt(-2 * Math.log(1 - random.fraction())) * Math.cos(2 * Math.PI * random.fraction())
    return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal))
  }
  let [count, product] = [0, random.fraction()]
  for (const end = Math.exp(-mean); product > end; product *= random.fraction()) count++
  return count
}

/** Every tenth view is a bot's. */
const botsIn = (views: number) => Math.floor(views / 10)

type Hours = Record<string, [views: number, bots: number]>

function fill(database: DatabaseSync): void {
  const insert = {
    day: database.prepare(
      'INSERT INTO post_view_aggregates (date, post_uuid, view_count, unique_views, logged_in, bots) VALUES (?, ?, ?, ?, 0, ?)',
    ),
    site: database.prepare(
      'INSERT INTO site_view_aggregates (date, view_count, unique_views, logged_in, bots, first_viewed_at) VALUES (?, ?, ?, 0, ?, ?)',
    ),
    total: database.prepare(
      'INSERT INTO post_view_totals (post_uuid, views, detailed_views, unique_views, logged_in, bots, first_viewed_at, last_viewed_at) VALUES (?, ?, ?, ?, 0, ?, ?, ?)',
    ),
    pack: database.prepare('INSERT INTO post_view_breakdowns (date, post_uuid, counts) VALUES (?, ?, ?)'),
    text: database.prepare('INSERT INTO post_view_texts (number, text) VALUES (?, ?)'),
    row: database.prepare(
      'INSERT INTO post_view_rows (id, post_uuid_number, viewed_at, day, slice, logged_in, bot, hour_of_day) VALUES (?, ?, ?, ?, 0, 0, ?, ?)',
    ),
    unpacked: database.prepare('INSERT INTO post_view_unpacked_rows (post_uuid_number, id) VALUES (?, ?)'),
  }
  const posts = postUuids(POSTS)
  const firstViewed = NOW / 1_000 - 400 * 86_400
  const left = posts.map(() => random.below(MOST_UNPACKED))
  let rows = 0
  database.exec('BEGIN')
  for (const [n, post] of posts.entries()) insert.text.run(n + 1, post)
  // The latest first: those rows are the last to be packed.
  for (const date of daysFrom(addDays(TODAY, 1 - DAYS), TODAY).toReversed()) {
    const isPacked = date >= addDays(TODAY, -1)
    const [site, hoursOver]: [Hours, number] = [{}, date === TODAY ? 12.5 : 24]
    let [siteViews, siteBots] = [0, 0]
    for (const [n, post] of posts.entries()) {
      const views = byChance((FIRST_POST_VIEWS / (n + 1)) * (hoursOver / 24))
      if (views === 0) continue
      siteViews += views
      siteBots += botsIn(views)
      insert.day.run(date, post, views, views, botsIn(views))
      if (!isPacked) continue
      const hours: Hours = {}
      for (let view = 0; view < views; view++) {
        const hour = Math.floor(random.fraction() * hoursOver)
        const bot = view % 10 === 9 ? 1 : 0
        add(site, hour, bot)
        if (left[n]! > 0) {
          left[n]!--
          insert.row.run(++rows, n + 1, Date.parse(date) / 1_000 + hour * 3_600, date, bot, hour)
          insert.unpacked.run(n + 1, rows)
        } else add(hours, hour, bot)
      }
      insert.pack.run(date, post, packOf(hours, views))
    }
    insert.site.run(date, siteViews, siteViews, siteBots, firstViewed)
    if (isPacked) insert.pack.run(date, '', packOf(site, siteViews))
  }
  for (const [n, post] of posts.entries()) {
    const views = Math.max(1, Math.round((FIRST_POST_VIEWS / (n + 1)) * DAYS))
    insert.total.run(post, views, views, views, botsIn(views), firstViewed, NOW / 1_000)
  }
  database.exec('COMMIT')
}

function add(hours: Hours, hour: number, bot: number): void {
  hours[hour] ??= [0, 0]
  hours[hour][0]++
  hours[hour][1] += bot
}

/** With as many other values as a post with so many views may have. */
function packOf(hours: Hours, views: number): string {
  const hosts = Math.min(500, Math.ceil(views / 20))
  const named = (name: string, count: number) => [
    name,
    {
      values: Object.fromEntries(
        Array.from({ length: count }, (_, value) => [`${name}-${value}.example`, views]),
      ),
    },
  ]
  const others = ['source', 'channel', 'country', 'device', 'browser', 'os'].map(name => named(name, 6))
  return JSON.stringify({
    hour: { values: hours },
    ...Object.fromEntries([named('referrer', hosts), ...others]),
  })
}

async function measure(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'postviews-bench-'))
  const path = join(folder, 'views.db')
  const store = await openStore(`sqlite:${path}`, {
    timeZone: 'UTC',
    windowHours: 24,
    uniqueBy: 'ip',
    bots: 'count',
  })
  const apiOf = (listMaxAgeMs?: number) =>
    buildApi({
      store,
      apiKeys: [KEY],
      broker: null,
      consumer: null,
      metrics: createMetrics(),
      log: createLog('silent'),
      now: () => NOW,
      ...(listMaxAgeMs === undefined ? {} : { listMaxAgeMs }),
    })
  const [served, anew] = [apiOf(), apiOf(0)]
  try {
    await store.migrate()
    {
      using database = new DatabaseSync(path)
      fill(database)
    }
    const ask = async (app: typeof served, query = '', route = 'trending') => {
      const beganMs = performance.now()
      const answer = await app.inject({
        url: `/api/v1/posts/${route}${query}`,
        headers: { 'X-Internal-Api-Key': KEY },
      })
      if (answer.statusCode !== 200) throw new Error(answer.body)
      return { tookMs: performance.now() - beganMs, posts: answer.json().posts as { score: number }[] }
    }
    const beganMs = performance.now()
    const first = await untilAnswered(() => ask(anew))
    say('first, nothing in memory', [performance.now() - beganMs])
    console.log(`scores: ${first.posts.map(({ score }) => score).join(' ')}`)
    const times = async (app: typeof served, query?: string, pauseMs = 0, route?: string) => {
      const took: number[] = []
      for (let count = 0; count < ANSWERS; count++) {
        took.push((await ask(app, query, route)).tookMs)
        await sleep(pauseMs)
      }
      return took
    }
    say('made anew for each request', await times(anew))
    await untilAnswered(() => ask(anew, '?who=all'))
    say('the same, who=all', await times(anew, '?who=all'))
    say('as served: answers may be reused', await times(served, '', 20))
    let isDone = false
    const counting = (async () => {
      for (let batch = 0; !isDone; batch++) {
        await store.recordViews(
          Array.from({ length: 200 }, (_, index) => ({
            view: viewOf(batch * 200 + index),
            receivedAt: NOW / 1_000,
          })),
        )
        await sleep(1_000)
      }
    })()
    say('as served, while 200 views a second are counted', await times(served, '', 50))
    await untilAnswered(() => ask(served, '?period=30d', 'top'))
    say('/posts/top?period=30d, likewise', await times(served, '?period=30d', 50, 'top'))
    isDone = true
    await counting
    console.log(`memory of the process: ${Math.round(residentBytes(process.pid) / 1_048_576)} MiB`)
  } finally {
    await store.close()
    rmSync(folder, { recursive: true })
  }
}

/** An answer that takes more than 15 s to read is 503 until it has been read. */
async function untilAnswered<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await ask()
    } catch (error) {
      if (tries === MAX_TRIES) throw error
    }
  }
}

function viewOf(number: number): View {
  return {
    eventId: null,
    postUuid: postUuids(1_000)[number % 1_000]!,
    userId: null,
    loggedIn: false,
    ip: '192.0.2.1',
    userAgent: null,
    referer: null,
    url: null,
    viewedAt: NOW / 1_000,
    timeSource: 'event',
    ownTime: NOW / 1_000,
  } as View
}

function say(title: string, tookMs: number[]): void {
  const { p50Ms, p99Ms, maxMs } = latenciesOf(tookMs)
  console.log(
    `${title}: p50 ${milliseconds(p50Ms)}, p99 ${milliseconds(p99Ms)}, at most ${milliseconds(maxMs)}`,
  )
}

await measure()
