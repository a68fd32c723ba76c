/** The simulated readers: always the same for a seed, within bounds, believable, and publishers like any other. */

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { DIMENSION_NAMES } from '@postviews/client/src/figures.ts'
import { createStats, type SiteViews, type ViewEvent } from '@postviews/client/src/index.ts'
import { loadPosts } from '../examples/blog/src/posts.ts'
import { openCountries } from '../packages/analytics/src/derive/countries.ts'
import { familiesOf } from '../packages/analytics/src/derive/families.ts'
import { isBot, machineOf, PURPOSES } from '../packages/analytics/src/derive/machines.ts'
import { CHANNELS } from '../packages/analytics/src/derive/sources.ts'
import { BROWSERS } from '../tools/life/agents.ts'
import { readSample, type Sample } from '../tools/life/life.ts'
import { ASKED, UNASKED } from '../tools/life/machines.ts'
import { ZONES } from '../tools/life/places.ts'
import { publishAll, publishLive } from '../tools/life/publish.ts'
import { Random } from '../tools/life/random.ts'
import { addressIn } from '../tools/life/readers.ts'
import { historyRequests, historyViews, liveViews, type TimedView, viewOf } from '../tools/life/visits.ts'
import { testRabbitmq } from '../tools/stack/for-tests.ts'
import { SQLITE } from './support/engines.ts'
import { testTracker } from './support/published.ts'
import { API_KEY, startService } from './support/service.ts'
import { until } from './support/until.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const DAYS = 90
const VIEWS = 20_000
const UNTIL_MS = Date.parse('2026-11-21T15:30:00Z')
const POSTS = loadPosts('2026-11-21')
const SEEDS = ['1', '1795305828928', 'another']
const NOT_STOPPED = new AbortController().signal

const histories = new Map(
  SEEDS.map(seed => [seed, historyViews({ ...life(seed), untilMs: UNTIL_MS, days: DAYS, views: VIEWS })]),
)

function history(seed: string): readonly TimedView[] {
  return histories.get(seed)!
}

function shortHistory(seed: string): TimedView[] {
  return historyViews({ ...life(seed), untilMs: UNTIL_MS, days: DAYS, views: 2_000 })
}

function life(seed: string) {
  return { posts: POSTS, seed, blogUrl: 'http://127.0.0.1:3300' }
}

/** What readers do from a time on, for so long. */
function live(seed: string, fromMs: number, lengthMs: number): TimedView[] {
  const views: TimedView[] = []
  for (const view of liveViews({ ...life(seed), fromMs })) {
    if (view.atMs >= fromMs + lengthMs) break
    views.push(view)
  }
  return views
}

function share<T>(all: readonly T[], condition: (one: T) => boolean): number {
  return all.filter(condition).length / all.length
}

function assertBetween(least: number, value: number, most: number, what: string): void {
  assert.ok(value >= least && value <= most, `${what}: ${value}, not between ${least} and ${most}`)
}

/** How many there are of each, most first. */
function tally(values: Iterable<string>): [string, number][] {
  const counts = new Map<string, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return [...counts].sort((a, b) => b[1] - a[1])
}

test('is the same for the same seed, ids included, and another for another', () => {
  assert.deepEqual(shortHistory('1'), shortHistory('1'))
  assert.deepEqual(live('1', UNTIL_MS, HOUR_MS), live('1', UNTIL_MS, HOUR_MS))
  const ids = SEEDS.flatMap(seed => shortHistory(seed).map(({ event }) => event.event_id))
  assert.equal(new Set(ids).size, ids.length)
})

test('history has the size and the time that were asked for, and no post is read before it is out', () => {
  const out = new Map(POSTS.map(({ id, publishedAt }) => [id, publishedAt.getTime()]))
  for (const seed of SEEDS) {
    const views = history(seed)
    assertBetween(VIEWS * 0.95, views.length, VIEWS * 1.05, 'views')
    let lastMs = UNTIL_MS - DAYS * DAY_MS
    for (const { atMs, event } of views) {
      assert.ok(atMs >= lastMs && atMs < UNTIL_MS)
      assert.equal(event.timestamp, new Date(Math.floor(atMs)).toISOString())
      assert.ok(atMs >= out.get(String(event.post_uuid))!)
      lastMs = atMs
    }
    const days = new Set(views.map(({ event }) => String(event.timestamp).slice(0, 10)))
    assert.equal(days.size, DAYS + 1)
  }
})

test('live readers begin lively and become quiet, never more than five views a second', () => {
  for (const seed of SEEDS) {
    const views = live(seed, UNTIL_MS, DAY_MS)
    for (const [index, { atMs, event }] of views.entries()) {
      if (index > 0) assert.ok(atMs - views[index - 1]!.atMs >= 200)
      assert.equal(event.timestamp, new Date(Math.floor(atMs)).toISOString())
    }
    const within = (ms: number) => views.filter(({ atMs }) => atMs < UNTIL_MS + ms).length
    assertBetween(30, within(60_000), 150, 'views in the first minute')
    assertBetween(80, within(10 * 60_000), 500, 'views in the first ten minutes')
    assertBetween(1_500, views.length, 10_000, 'views in a day')
  }
})

test('is believable: who reads what, when, and where they come from', () => {
  for (const seed of SEEDS) {
    const views = history(seed)
    const events = views.map(({ event }) => event)
    const people = events.filter(isByPerson)
    assertBetween(0.18, 1 - people.length / events.length, 0.25, 'bots')
    assertBetween(0.22, share(events, isSignedIn), 0.38, 'signed in')
    assert.ok(!events.some(event => !isByPerson(event) && isSignedIn(event)))

    // A few posts are hot, the rest are read all the same.
    const byPost = tally(events.map(({ post_uuid }) => String(post_uuid)))
    assert.equal(byPost.length, POSTS.length)
    const topFive = byPost.slice(0, 5).reduce((sum, [, count]) => sum + count, 0)
    assertBetween(0.38, topFive / events.length, 0.8, 'the five that are read most')
    assert.ok(byPost[0]![1] < events.length * 0.45)

    // What is new is read most while it is.
    const aged = (post: string) => POSTS.find(({ id }) => id === post)!.publishedAt.getTime()
    const fresh = POSTS.filter(({ publishedAt }) => {
      const ageMs = UNTIL_MS - publishedAt.getTime()
      return ageMs > 21 * DAY_MS && ageMs < DAYS * DAY_MS
    })
    const inWeek = (week: number) =>
      views.filter(({ atMs, event }) => {
        const ageMs = atMs - aged(String(event.post_uuid))
        return fresh.some(({ id }) => id === event.post_uuid) && Math.floor(ageMs / (7 * DAY_MS)) === week
      }).length
    assert.ok(inWeek(0) > 1.5 * inWeek(2), `${inWeek(0)} in the first week, ${inWeek(2)} in the third`)

    const hourOf = ({ atMs }: TimedView) => new Date(atMs).getUTCHours()
    const evening = share(views, view => hourOf(view) >= 17 && hourOf(view) < 21)
    const night = share(views, view => hourOf(view) >= 1 && hourOf(view) < 5)
    assert.ok(evening > 1.6 * night, `${evening} in the evening, ${night} at night`)

    // Crawlers do not sleep.
    const crawlers = views.filter(({ event }) =>
      ['ai_training', 'search', 'seo'].includes(purposeOf(event) ?? ''),
    )
    assertBetween(
      0.12,
      share(crawlers, view => hourOf(view) >= 1 && hourOf(view) < 5),
      0.21,
      'at night',
    )
    assert.ok(crawlers.every(({ event }) => event.referer === null))

    const referers = tally(people.map(({ referer }) => (referer == null ? '' : new URL(referer).host)))
    assertBetween(
      0.2,
      (referers.find(([host]) => host === '')?.[1] ?? 0) / people.length,
      0.5,
      'from nowhere',
    )
    for (const host of [
      'www.google.com',
      'duckduckgo.com',
      'letters.example',
      'mastodon.social',
      '127.0.0.1:3300',
    ]) {
      assert.ok(
        referers.some(([name]) => name === host),
        host,
      )
    }
  }
})

test('its readers come back from the same address with the same browser', () => {
  for (const seed of SEEDS) {
    const events = [...history(seed), ...live(seed, UNTIL_MS, DAY_MS)].map(({ event }) => event)
    const readers = new Map<unknown, string>()
    for (const { user_id, ip, user_agent } of events.filter(isSignedIn)) {
      const reader = `${ip} ${user_agent}`
      assert.equal(readers.get(user_id) ?? reader, reader)
      readers.set(user_id, reader)
    }
    assertBetween(300, readers.size, 1_400, 'signed-in readers')
    const addresses = tally(events.map(({ ip }) => String(ip)))
    assertBetween(0.2, addresses.length / events.length, 0.7, 'addresses for each view')
    // Somebody reloads, somebody comes back the same day: unique views are fewer than views.
    const visits = new Set(
      events.map(({ ip, post_uuid, timestamp }) => `${ip} ${post_uuid} ${String(timestamp).slice(0, 10)}`),
    )
    assertBetween(0.6, visits.size / events.length, 0.95, 'unique views for each view')
  }
})

test('the addresses of its readers are in the countries that they are said to be in', () => {
  const countries = openCountries()
  const random = new Random('addresses')
  const places = ZONES.flatMap(zone => zone.places)
  assert.ok(places.length >= 30)
  for (const { country, networks } of places) {
    for (const network of networks) {
      const found = Array.from({ length: 1_000 }, () => countries.countryOf(addressIn(network, random)))
      assert.deepEqual(new Set(found), new Set([country]), network)
    }
  }
  for (const [, network] of [...ASKED, ...UNASKED].flatMap(({ machines }) => machines)) {
    const found = Array.from({ length: 100 }, () => countries.countryOf(addressIn(network, random)))
    assert.equal(new Set(found).size, 1, network)
    assert.notEqual(found[0], null, network)
  }
})

test('its machines are known for what they are said to be, and its people for people', () => {
  for (const { purpose, machines } of [...ASKED, ...UNASKED]) {
    for (const [, , agent] of machines) {
      assert.ok(isBot(agent), agent)
      assert.equal(machineOf(agent).purpose, purpose, agent)
    }
  }
  assert.deepEqual(new Set([...ASKED, ...UNASKED].map(({ purpose }) => purpose)), new Set(PURPOSES))
  for (const [, agent] of BROWSERS) {
    assert.ok(!isBot(agent), agent)
    assert.ok(
      Object.values(familiesOf(agent)).every(family => family !== null),
      agent,
    )
  }
})

test('pages that browsers fetch in advance, and what monitors only knock at, are no views', () => {
  const options = { ...life('1'), untilMs: UNTIL_MS, days: DAYS, views: VIEWS }
  const requests = historyRequests(options)
  const shown = requests.filter(request => viewOf(request, request.atMs) !== null)
  const others = requests.filter(request => !shown.includes(request))
  const [inAdvance, knocked] = [
    others.filter(({ request }) => request.headers['sec-purpose'] === 'prefetch;prerender'),
    others.filter(({ request }) => request.method === 'HEAD'),
  ]
  assertBetween(0.04, inAdvance.length / requests.length, 0.12, 'prefetches')
  assert.ok(knocked.length > 50)
  assert.equal(inAdvance.length + knocked.length, others.length)
  assert.deepEqual(
    historyViews(options).map(({ event }) => event.event_id),
    shown.map(({ eventId }) => eventId),
  )
})

test('publishes through the client; all of history is counted, on its days, once however often it is sent', async t => {
  const broker = await testRabbitmq()
  const database = await SQLITE.create(t)
  const settings = { EVENT_MAX_AGE: '100d', RAW_RETENTION_DAYS: '120', SITE_HOSTS: '127.0.0.1' }
  const service = await startService(t, { amqpUrl: broker.url, databaseUrl: database.url, settings })
  const untilMs = Date.now()
  const views = historyViews({ ...life('1'), untilMs, days: DAYS, views: 6_000 })
  // A start that was cut short, and then the whole.
  for (const part of [views.slice(0, 1_500), views]) {
    const tracker = testTracker(t, { url: broker.url })
    await publishAll(part, tracker, NOT_STOPPED)
    assert.deepEqual([tracker.stats().confirmed, tracker.stats().dropped], [part.length, 0])
    await tracker.close()
  }
  await service.untilReady()
  const stats = createStats({ baseUrl: service.url, key: API_KEY })
  await until('all is counted', async () => (await stats.siteViews()).views >= views.length)
  await until('nothing waits', async () => (await stats.status()).queued === 0)

  const counted = await stats.siteViews()
  assert.equal(counted.views, views.length)
  assert.equal(counted.logged_in, views.filter(({ event }) => isSignedIn(event)).length)
  assert.equal(counted.bots, views.filter(({ event }) => !isByPerson(event)).length)
  const { days } = await stats.siteDays({ days: DAYS + 2 })
  const byDay = new Map(tally(views.map(({ event }) => String(event.timestamp).slice(0, 10))))
  assert.deepEqual(
    days.map(({ date, views: count }) => [date, count]),
    days.map(({ date }) => [date, byDay.get(date) ?? 0]),
  )
  assert.equal((await stats.status()).dead, 0)

  for (const dimension of DIMENSION_NAMES) {
    const answer = await stats.siteBreakdown(dimension, { days: DAYS + 2, limit: 1_000 })
    const values = answer.values.map(({ value }) => value).filter(value => value !== null)
    assert.ok(values.length >= LEAST_VALUES[dimension], `${dimension}: ${values.join(', ')}`)
    assert.deepEqual(answer.unknown, { views: 0 }, dimension)
    if (dimension === 'channel') assert.deepEqual(new Set(values), new Set(CHANNELS))
    if (dimension === 'purpose') assert.deepEqual(new Set(values), new Set(PURPOSES))
  }
})

test('stops publishing when it is told to', async t => {
  const broker = await testRabbitmq()
  const tracker = testTracker(t, { url: broker.url })
  const stopping = new AbortController()
  const running = publishLive(liveViews({ ...life('1'), fromMs: Date.now() }), tracker, stopping.signal)
  await until('somebody reads', () => tracker.stats().accepted > 0)
  stopping.abort()
  await running
  const { accepted } = tracker.stats()
  await publishAll(shortHistory('1'), tracker, stopping.signal)
  await publishLive(liveViews({ ...life('1'), fromMs: Date.now() }), tracker, stopping.signal)
  assert.equal(tracker.stats().accepted, accepted)
})

test('makes nothing up for the time that the machine slept', async () => {
  const published: ViewEvent[] = []
  const slept = live('1', Date.now() - 2 * DAY_MS, DAY_MS)
  const now: TimedView = { atMs: Date.now(), event: { post_uuid: 'now' } }
  await publishLive([...slept, now], { trackView: event => published.push(event) }, NOT_STOPPED)
  assert.equal(published.length, 1)
  assert.deepEqual(published[0], now.event)
})

test('only a store without any view gets a history, until it is whole', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-life-'))
  t.after(() => rm(folder, { recursive: true }))
  let files = 0
  const file = () => join(folder, `sample-${++files}.json`)
  const stats = (views: number) => ({ siteViews: async () => ({ views }) as SiteViews })
  const kind = ({ history }: Sample) => history

  const first = file()
  const begun = await readSample(first, stats(0), true)
  assert.equal(begun.history, 'unfinished')
  // Cut short, before or after some of it was counted: the same again.
  assert.deepEqual(await readSample(first, stats(0), true), begun)
  assert.deepEqual(await readSample(first, stats(5), true), begun)
  assert.equal(kind(await readSample(file(), stats(5), true)), 'none')
  const quiet = file()
  assert.equal(kind(await readSample(quiet, stats(0), false)), 'none')
  // Nobody has read anything meanwhile, so it is as fresh as ever.
  assert.equal(kind(await readSample(quiet, stats(0), true)), 'unfinished')
})

/** Of 6,000 views. */
const LEAST_VALUES = {
  hour: 24,
  referrer: 25,
  source: 25,
  channel: 10,
  campaign: 5,
  country: 30,
  device: 6,
  browser: 10,
  os: 8,
  bot: 30,
  purpose: 9,
} as const

function isSignedIn({ user_id }: ViewEvent): boolean {
  return user_id !== null
}

function isByPerson({ user_agent }: ViewEvent): boolean {
  return !isBot(user_agent ?? '')
}

function purposeOf(event: ViewEvent): string | null {
  return isByPerson(event) ? null : machineOf(event.user_agent ?? '').purpose
}
