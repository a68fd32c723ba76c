/** A database that is copied to ClickHouse, and from there to another number of shards: the same rows, keys and numbers. */

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { DIMENSION_NAMES, type DimensionName } from '@postviews/client/src/figures.ts'
import type { View } from '@postviews/client/src/index.ts'
import type { CountingSettings } from '../../packages/analytics/src/store/counting-settings.ts'
import { addDays } from '../../packages/analytics/src/store/days.ts'
import type { Store } from '../../packages/analytics/src/store/store.ts'
import { assertVerified } from '../store-contract-database.ts'
import { questionOf, randomOf, randomViews } from '../store-contract-random.ts'
import { everythingIn, type Question } from '../store-contract-recount.ts'
import { OLD, oldTables, RECENT, TODAY } from '../support/article-tables.ts'
import { clickhouseUrl, ownCluster } from '../support/clickhouse.ts'
import { commandLine } from '../support/command.ts'
import { MYSQL, SQLITE } from '../support/engines.ts'
import { referrersIn } from '../support/referrers.ts'
import { opened } from '../support/two-shards.ts'
import { POST, received, record, unix, view } from '../support/views.ts'

const DAY_SECONDS = 86_400
const SETTINGS: CountingSettings = {
  timeZone: 'Europe/Berlin',
  windowHours: 12,
  uniqueBy: 'ip',
  bots: 'exclude',
}

const clusters = new Map([1, 2, 3].map(shards => [shards, ownCluster(shards)]))

async function clickhouse(t: TestContext, shards: number): Promise<{ url: string; store: Store }> {
  const cluster = await clusters.get(shards)!()
  const url = clickhouseUrl(cluster, await cluster.database())
  const store = await opened(t, url, SETTINGS)
  await store.migrate()
  await store.checkSettings()
  return { url, store }
}

async function opens(t: TestContext, url: string): Promise<Store> {
  const store = await opened(t, url, SETTINGS)
  await store.migrate(undefined, { ownHosts: ['a.example'], goesBack: true })
  await store.checkSettings()
  return store
}

/** Days that are closed, pruned, pruned in part and open, views that came late, and some whose reader was forgotten. */
async function fillSource(store: Store): Promise<{ views: View[]; question: Question; now: number }> {
  const views = randomViews(randomOf(5), 300)
  const question = questionOf(views)
  const now = unix(`${question.to}T12:00:00Z`)
  const isLate = (_: View, index: number) => index % 6 === 0
  await store.recordViews(received(views.filter((view, index) => !isLate(view, index))))
  const retention = { now, rawRetentionDays: 1, maxAgeSeconds: 2 * DAY_SECONDS }
  assert.ok((await store.prune(retention)).rows > 50)
  await record(store, views.filter(isLate), { receivedAt: now })
  await store.forget({ userId: '3' })
  await store.roll?.()
  return { views, question, now }
}

async function assertSame(source: Store, target: Store, question: Question): Promise<void> {
  const everything = async (store: Store) => {
    const { minutes: _, postReferrers: __, siteReferrers: ___, ...rest } = await everythingIn(store, question)
    return rest
  }
  assert.deepEqual(await everything(target), await everything(source))
  for (const post of [...question.posts, null]) await assertSameHosts(source, target, post, question)
  for (const post of [question.posts[0]!, null]) {
    for (const name of DIMENSION_NAMES) await assertSameValues(source, target, name, post, question)
  }
  await assertVerified(source)
  await assertVerified(target)
}

/** A settled day of an SQL database adds hosts that are new to it to its remainder: those that have rows are listed after. */
async function assertSameHosts(
  source: Store,
  target: Store,
  post: string | null,
  { from, to }: Question,
): Promise<void> {
  const [was, is] = await Promise.all(
    [source, target].map(store => referrersIn(store, post, from, to, 1_000)),
  )
  const sum = ({ referrers, other }: Awaited<ReturnType<typeof referrersIn>>) =>
    referrers.reduce((all, { views }) => all + views, other.views)
  assert.equal(sum(is!), sum(was!), `hosts of ${post}`)
  if (source.engine === 'clickhouse') assert.deepEqual(is, was)
  const viewsOf = new Map(is!.referrers.map(({ host, views }) => [host, views]))
  for (const { host, views } of was!.referrers) assert.ok(viewsOf.get(host)! >= views, `${post} from ${host}`)
  assert.ok(is!.other.views <= was!.other.views, `others of ${post}`)
}

/** The same of every dimension: between two on ClickHouse every value, otherwise what each day's values add up to. */
async function assertSameValues(
  source: Store,
  target: Store,
  name: DimensionName,
  post: string | null,
  { from, to }: Question,
): Promise<void> {
  const reads = [source, target].map(async store => {
    const { values, others, days } = await store.breakdown(name, post, from, to)
    const ofDays = days.filter(({ all }) => all.views !== 0 || all.bots !== 0)
    const sorted = ofDays.toSorted((a, b) => (a.date < b.date ? -1 : 1))
    return source.engine === 'clickhouse' ? { values, others, days: sorted } : { days: sorted }
  })
  const [was, is] = await Promise.all(reads)
  assert.deepEqual(is, was, `${name} of ${post}`)
}

const SOURCES: { name: string; shards: number; source(t: TestContext): Promise<string> }[] = [
  { name: 'SQLite to a lone server', shards: 1, source: async t => (await SQLITE.create(t)).url },
  { name: `${MYSQL.name} to two shards`, shards: 2, source: async t => (await MYSQL.create(t)).url },
  { name: 'two shards to three', shards: 3, source: async t => (await clickhouse(t, 2)).url },
]

describe('copied from', () => {
  for (const { name, shards, source } of SOURCES) {
    test(`${name}, also interrupted and run again, every number is what it was`, async t => {
      const from = await opens(t, await source(t))
      const { views, question, now } = await fillSource(from)
      const { store } = await clickhouse(t, shards)
      for (let steps = 0, isDone = false; !isDone; steps += 4) {
        let left = steps
        const interrupt = () => {
          if (left-- === 0) throw new Error('interrupted')
        }
        isDone = await store.fill!(await from.copySource(), interrupt).then(
          ({ differing }) => {
            assert.equal(differing, 0)
            return true
          },
          (error: Error) => {
            assert.equal(error.message, 'interrupted')
            return false
          },
        )
      }
      await store.checkSettings(['a.example'])
      await assertSame(from, store, question)

      // What came meanwhile goes with the next run.
      const more = randomViews(randomOf(6), 40)
      await record(from, more, { receivedAt: now + 60 })
      await from.roll?.()
      assert.equal((await store.fill!(await from.copySource())).differing, 0)
      await assertSame(from, store, question)

      // Consumers go over: what they are sent again is known, and so is whoever has read before.
      const again = views.filter(view => view.eventId !== null && view.viewedAt > now - DAY_SECONDS)
      const anew = randomViews(randomOf(7), 60)
      for (const each of [from, store]) {
        await record(each, [...again, ...anew], { receivedAt: now + 120 })
        await each.roll?.()
      }
      await assertSame(from, store, question)

      const refused = store.fill!(await from.copySource())
      await assert.rejects(refused, /already has views of its own/)
    })
  }

  for (const { name, shards, source } of SOURCES) {
    test(`${name}, people and bots are told by what BOTS was when rows that are gone were counted`, async t => {
      const url = await source(t)
      const before = await opened(t, url, { ...SETTINGS, bots: 'count' })
      await before.migrate()
      await before.rebuild({ adoptSettings: true })
      const { question, now } = await fillSource(before)
      const { chosen } = await everythingIn(before, question)
      const from = await opened(t, url, SETTINGS)
      await from.rebuild({ adoptSettings: true })
      const { store } = await clickhouse(t, shards)
      assert.equal((await store.fill!(await from.copySource())).differing, 0)
      await store.checkSettings()
      await assertSame(from, store, question)
      const days = (all: unknown[]) => all.map(of => (of as { siteDays: unknown }).siteDays)
      assert.deepEqual(days((await everythingIn(store, question)).chosen), days(chosen))

      const more = randomViews(randomOf(6), 40)
      for (const each of [from, store]) {
        await record(each, more, { receivedAt: now + 60 })
        await each.roll?.()
      }
      await assertSame(from, store, question)
    })
  }

  test("the articles' tables, what is not known of their days stays so on two shards, and on three", async t => {
    const { old, adopt } = await oldTables(t)
    await old.consume({ timestamp: `${OLD} 12:00:00`, referer: 'https://a.example/' })
    await old.consume(
      { timestamp: `${OLD} 23:59:00`, user_id: 7, post_uuid: 'late' },
      `${addDays(OLD, 1)} 00:01:00`,
    )
    await old.keep({ timestamp: `${addDays(OLD, 2)} 12:00:00`, post_uuid: 'kept-only' })
    await old.count('counted-only', `${addDays(OLD, 3)} 12:00:00`, 3)
    await old.count(POST, `${RECENT} 09:00:00`, 2)
    await old.consume({ timestamp: `${RECENT} 09:00:00`, post_uuid: 'known' })
    const from = await adopt(SETTINGS)
    const later = `${addDays(RECENT, 1)}T12:00:00Z`
    const noon = `${RECENT}T12:00:00Z`
    await record(from, [
      view(noon),
      view(noon, { postUuid: 'known', referer: 'https://b.example/' }),
      view(later),
    ])
    const question = { posts: [POST, 'late', 'kept-only', 'counted-only', 'known'], from: OLD, to: TODAY }
    assert.equal((await from.siteTotals()).details_since, addDays(RECENT, 1))

    let source: Store = from
    for (const shards of [2, 3]) {
      const { store } = await clickhouse(t, shards)
      for (let run = 1; run <= 2; run++)
        assert.equal((await store.fill!(await source.copySource())).differing, 0)
      await assertSame(source, store, question)
      source = store
    }
    // Consumers go over: what comes to a day that is not known is counted, and the rest of the day stays unknown.
    const more = [
      view(noon, { ip: '192.0.2.77' }),
      view(later, { postUuid: 'late' }),
      view(later, { ip: '192.0.2.8' }),
    ]
    for (const each of [from, source]) {
      await record(each, more)
      await each.roll?.()
    }
    await assertSame(from, source, question)
    // Long after the adoption: what was adopted counts as received then, whatever the time of this day.
    const now = unix(`${addDays(TODAY, 4)}T12:00:00Z`)
    const retention = { now, rawRetentionDays: 1, maxAgeSeconds: DAY_SECONDS }
    for (const each of [from, source]) assert.ok((await each.prune(retention)).rows > 0)
    await assertSame(from, source, question)
  })

  test('a source that counts otherwise is refused, until the new database counts so as well', async t => {
    const byAddress = { ...SETTINGS, uniqueBy: 'ip' } as const
    const from = await opened(t, (await SQLITE.create(t)).url, byAddress)
    await from.migrate()
    await record(from, [view(`${TODAY}T00:00:01Z`, { ip: '2001:db8::1' })])
    const cluster = await clusters.get(1)!()
    const url = clickhouseUrl(cluster, await cluster.database())
    const unasked = await opened(t, url, { ...SETTINGS, uniqueBy: null })
    await unasked.migrate()
    const refused = unasked.fill!(await from.copySource())
    await assert.rejects(
      refused,
      /UNIQUE_BY is network, but the database records ip\. Set those of the source/,
    )
    const store = await opened(t, url, byAddress)
    await store.rebuild({ adoptSettings: true })
    assert.equal((await store.fill!(await from.copySource())).differing, 0)
    await assertVerified(store)
  })

  test('a database is told by its URL, and a wrong one is not repeated', async t => {
    const { run } = await commandLine(t, { DATABASE_URL: 'clickhouse://127.0.0.1:1/postviews' })
    const { code, stderr } = await run('copy --from mariadb://reader:geheim@127.0.0.1/postviews')
    assert.equal(code, 2)
    assert.match(stderr, /^--from is not one of .*: write mysql:$/m)
    assert.doesNotMatch(stderr, /geheim/)
  })

  test('SQLite, by the command, which tells of what is no ClickHouse', async t => {
    const { url } = await SQLITE.create(t)
    const from = await opens(t, url)
    const { question } = await fillSource(from)
    const target = await clickhouse(t, 1)
    const { run } = await commandLine(t, {
      DATABASE_URL: target.url,
      STATS_TIMEZONE: SETTINGS.timeZone,
      UNIQUE_WINDOW: '12h',
      UNIQUE_BY: 'ip',
      BOTS: 'exclude',
    })
    const copied = await run(`copy --from ${url}`)
    assert.equal(copied.code, 0, copied.stderr)
    assert.match(copied.stdout, /^copied \d+ raw rows: every day of every post matches the source$/m)
    await target.store.checkSettings(['a.example'])
    await assertSame(from, target.store, question)
    const refused = await run(`copy --from ${url}`, { DATABASE_URL: url })
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /must name a ClickHouse database/)
  })
})
