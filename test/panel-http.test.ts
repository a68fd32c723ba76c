/** What the panel's server answers, over the real API on a real store, at a time that stands still. */

import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { createStats, type ViewEvent } from '@postviews/client/src/index.ts'
import { buildPanel } from '../packages/admin/src/app.ts'
import { createLog } from '../packages/admin/src/log.ts'
import type { Overview, OverviewAnswer, Sums } from '../packages/admin/src/pages/model.ts'
import { createPosts } from '../packages/admin/src/posts.ts'
import { startApi } from './support/api.ts'
import { KEY, PASSWORD, startPanel } from './support/panel-server.ts'
import { until } from './support/until.ts'

function view(post: string, day: string, fields: Partial<ViewEvent> = {}): ViewEvent {
  return { post_uuid: post, ip: '192.0.2.1', timestamp: `${day}T10:00:00Z`, ...fields }
}

function rows({ posts }: Overview) {
  return posts.map(({ id, views, unique_views }) => [id, views, unique_views])
}

test('tells the numbers of the period beside those of the period before', async t => {
  const { count, post, overview } = await startPanel(t)
  await count([
    view('a', '2026-11-21', { user_id: 1 }),
    view('a', '2026-11-20', { user_agent: 'curl/8.0' }),
    view('a', '2026-11-20'),
    view('b', '2026-11-13'),
    view('a', '2026-11-13'),
    // Beside today, which is not over, stands no day.
    view('a', '2026-11-14'),
    view('a', '2026-11-07'),
  ])
  const { trend } = await overview('?period=7d')
  assert.deepEqual(trend.period, { from: '2026-11-15', to: '2026-11-21' })
  const valuesOf = (sums: Sums) => Object.entries(sums).map(([name, { value }]) => [name, value])
  assert.deepEqual(valuesOf(trend.sums), [
    ['views', 2],
    ['unique_views', 2],
    ['logged_in', 1],
    ['anonymous', 1],
    ['bots', 0],
  ])
  assert.deepEqual(trend.rest.sum, { value: 1, since: null })
  const all = (await overview('?period=7d&who=all')).trend
  assert.deepEqual(valuesOf(all.sums), [
    ['views', 3],
    ['unique_views', 2],
    ['logged_in', 1],
    ['anonymous', 2],
    ['bots', 1],
  ])
  assert.equal(all.before?.over?.views.value, 2)
  assert.equal((await overview('?period=7d&who=bots')).trend.sums.views.value, 1)
  assert.equal(trend.before?.sums.views.value, 2)
  assert.equal(trend.before?.over?.views.value, 1)
  assert.equal(trend.daysBefore, null)
  const ofPost = await post('a', '?period=7d&compare=1')
  assert.equal(ofPost.trend.before?.sums.views.value, 1)
  assert.equal(ofPost.trend.daysBefore?.length, 7)
  assert.equal(ofPost.total.views, 5)
  assert.equal((await post('a', '?who=all')).total.views, 6)
  assert.equal(ofPost.total.first_viewed_at, '2026-11-07T10:00:00Z')
})

// The clocks of Winnipeg are not set back any more, and Node's rules, as a browser's, may not know of it.
test('shows times by the clocks that Analytics counts by, whatever rules it has itself', async t => {
  const { count, get, post, overview } = await startPanel(t, { timeZone: 'America/Winnipeg' })
  const at = (timestamp: string): ViewEvent => ({ post_uuid: 'a', ip: '192.0.2.1', timestamp })
  await count([at('2026-01-15T05:30:00Z'), at('2026-11-15T05:30:00Z'), at('2026-11-21T12:30:00Z')])
  const { total, trend, zone } = await post('a')
  assert.equal(total.views, 3)
  assert.deepEqual(
    trend.days.filter(({ views }) => views !== 0).map(({ date }) => date),
    ['2026-11-15', '2026-11-21'],
  )
  // What the browser draws with.
  assert.equal(zone.timezone, 'America/Winnipeg')
  assert.deepEqual(zone.offsets.slice(0, 2), [
    { from: '2025-11-02T07:00:00Z', seconds: -21_600 },
    { from: '2026-03-08T08:00:00Z', seconds: -18_000 },
  ])
  assert.equal((await overview()).zone.offsets[0]?.seconds, -18_000)

  const page = (await get('/posts/a')).body
  assert.match(page, /As of <time[^>]*>07:34:56 America\/Winnipeg</)
  assert.match(page, /first <time[^>]*>14 Jan 2026, 23:30:00 America\/Winnipeg</)
  assert.match(page, /last\s*<time[^>]*>\s*21 Nov 2026, 07:30:00 America\/Winnipeg</)
})

test('asks for the sparklines of a page of posts in one call', async t => {
  const { count, overview, asked } = await startPanel(t)
  await count(Array.from({ length: 25 }, (_, n) => view(`p${n}`, '2026-11-19')))
  const { posts, totalPosts } = await overview()
  assert.equal(posts.length, 20)
  assert.equal(totalPosts, 25)
  assert.equal(posts[0]?.spark.points.at(-3), 1)
  assert.equal(asked.filter(({ path }) => path.includes('uuids=')).length, 1)
  assert.equal((await overview('?page=2')).posts.length, 5)
})

test('lists the posts of a period that lies further back than one call reaches', async t => {
  const { count, overview } = await startPanel(t)
  await count([view('old', '2024-01-10'), view('old', '2024-01-12'), view('new', '2026-11-20')])
  const listed = await overview('?from=2024-01-01&to=2024-01-31')
  assert.deepEqual(rows(listed), [['old', 2, 2]])
  assert.deepEqual(listed.posts[0]?.spark.points.slice(9, 12), [1, 0, 1])
  assert.deepEqual(rows(await overview('?from=2024-01-11&to=2024-01-31&q=old')), [['old', 1, 1]])
})

test('finds as many posts as the posts service may, over the longest period', async t => {
  const ids = Array.from({ length: 50 }, (_, n) => `p${n}`)
  const search = async () => ({ ids, from: 'known' as const })
  const names = async () => ({ names: new Map(), from: 'known' as const })
  const { count, overview, asked } = await startPanel(t, { posts: { names, search } })
  await count([...ids, 'word'].map(id => view(id, '2026-11-19')))
  const { posts } = await overview('?from=2024-09-13&to=2026-11-21&q=word')
  assert.deepEqual(
    posts.map(({ id, views, spark }) => [id, views, spark !== null]).sort(),
    [...ids, 'word'].map(id => [id, 1, true]).sort(),
  )
  // Each answer is read within some milliseconds.
  assert.equal(asked.filter(({ path }) => path.includes('days=800')).length, 11)
})

test('finds a post by its id, and none that nobody read', async t => {
  const { count, overview, get } = await startPanel(t)
  await count([view('0190163D-8694-739B-AEA5-000000000001', '2026-11-20'), view('b', '2026-11-20')])
  const id = '0190163d-8694-739b-aea5-000000000001'
  assert.deepEqual(rows(await overview(`?q=${id.toUpperCase()}`)), [[id, 1, 1]])
  assert.deepEqual(rows(await overview('?q=bb')), [])
  const { body } = await get(`/?q=${encodeURIComponent('</script><script>alert(1)</script>')}`)
  assert.match(body, /has “&lt;\/script>&lt;script>alert\(1\)&lt;\/script>” in its id/)
  assert.ok(!body.includes('<script>alert'))
})

test('finds posts by a part of their id: what was viewed, whether a posts service knows it or not', async t => {
  const names = async () => ({ names: new Map(), from: 'known' as const })
  const search = async () => ({ ids: ['told'], from: 'known' as const })
  for (const posts of [undefined, { names, search }]) {
    const { count, overview } = await startPanel(t, posts && { posts })
    const uuid = '0190163d-8694-739b-aea5-000000000001'
    await count([
      ...[uuid, 'told', 'News-2026-11', 'news-2025'].map(id => view(id, '2026-11-20')),
      view('news-2025', '2026-11-19'),
      view('old-news', '2025-11-01'),
    ])
    const found = async (query: string) =>
      rows(await overview(query)).filter(([id]) => posts === undefined || id !== 'told')
    assert.deepEqual(await found('?q=NEWS'), [
      ['news-2025', 2, 2],
      ['News-2026-11', 1, 1],
    ])
    assert.deepEqual(await found('?q=8694-739B'), [[uuid, 1, 1]])
    // What was not viewed in the period is found by its whole id.
    assert.deepEqual(await found('?q=old-news'), [['old-news', 0, 0]])
    assert.deepEqual(await found('?q=old-new'), [])
    assert.deepEqual(await found('?q=old-new&from=2025-11-01&to=2025-11-30'), [['old-news', 1, 1]])
  }
})

test('shows unknown, never 0, where adopted data do not tell, and from which day on they do', async t => {
  const { count, databasePath, post, get } = await startPanel(t)
  await count([
    view('a', '2026-11-10'),
    view('a', '2026-11-18', { user_id: 1 }),
    view('a', '2026-11-19'),
    view('b', '2026-11-10'),
  ])
  using database = new DatabaseSync(databasePath, { timeout: 5_000 })
  for (const table of ['post_view_aggregates', 'site_view_aggregates']) {
    database.exec(
      `UPDATE ${table} SET unique_views = NULL, logged_in = NULL, bots = NULL WHERE date = '2026-11-10'`,
    )
  }
  const { trend } = await post('a', '?period=30d')
  // Nobody knows how many of the views of that day were by people.
  assert.deepEqual(trend.sums.views, { value: 2, since: '2026-11-11' })
  assert.deepEqual((await post('a', '?period=30d&who=all')).trend.sums.views, { value: 3, since: null })
  assert.deepEqual(trend.sums.unique_views, { value: 2, since: '2026-11-11' })
  assert.equal(trend.days.find(({ date }) => date === '2026-11-10')?.unique_views, null)

  const page = (await get('/posts/b?from=2026-11-10&to=2026-11-10&who=all')).body
  assert.match(page, /<dt>Views<\/dt><dd class="value">1<\/dd>/)
  assert.match(page, /<dt>Unique views<\/dt><dd class="value"><span title="Unknown">/)
  assert.match(page, /Logged-in views are unknown for these days/)
  assert.match(
    (await get('/posts/a?who=all')).body,
    /2 <small>since 11 Nov 2026; earlier is unknown<\/small>/,
  )
  const csv = (await get('/posts/a/days.csv?who=all')).body
  assert.match(csv, /\r\n2026-11-10,1,,,,,yes\r\n/)
  assert.match(csv, /\r\n2026-11-18,1,1,1,0,0,yes\r\n/)
})

test('says how old the numbers are and how far counting is behind, on every page', async t => {
  const { get, overview } = await startPanel(t, { broker: true })
  assert.equal((await overview()).counting.queued, 12)
  for (const url of ['/', '/posts/a', '/?period=today']) {
    const { body } = await get(url)
    assert.match(body, /As of <time datetime="2026-11-21T12:34:56.000Z">12:34:56 UTC<\/time>/)
    assert.match(body, /12 messages queued/)
    assert.match(body, /2 dead letters cannot be counted/)
  }
})

test('says that the queue is unknown where nobody can tell', async t => {
  const { get } = await startPanel(t)
  const { body } = await get('/')
  assert.match(body, /<span class="behind">queue length unknown<\/span>/)
  assert.match(body, /The number of dead letters is unknown/)
})

test('answers a browser that has it already with 304 and when it was read, all the way from the store', async t => {
  const { get, count, asked } = await startPanel(t)
  await count([view('a', '2026-11-20')])
  const first = await get('/data')
  const etag = String(first.headers.etag)
  assert.match(etag, /^W\/"[\w-]{22}"$/)
  await until('it asks Analytics anew', async () => {
    asked.length = 0
    await get('/data')
    return asked.length > 0
  })
  assert.deepEqual(new Set(asked.map(({ status }) => status)), new Set([304]))
  for (const tag of [etag, etag.slice('W/'.length), `"other", ${etag}`]) {
    const again = await get('/data', { 'if-none-match': tag })
    assert.equal(again.statusCode, 304)
    assert.equal(again.body, '')
    assert.equal(again.headers['x-as-of'], '2026-11-21T12:34:56.000Z')
  }

  await count([view('a', '2026-11-20')])
  await until(
    'the new view is there',
    async () => (await get('/data', { 'if-none-match': etag })).statusCode === 200,
  )
})

test('asks Analytics once for many who look at the same', async t => {
  const { get, asked } = await startPanel(t)
  await Promise.all(Array.from({ length: 20 }, () => get('/data')))
  const paths = asked.map(({ path }) => path)
  assert.deepEqual(paths, [...new Set(paths)])
})

test('gives the last numbers, marked as old, while the store is away', async t => {
  const { get, count, overview, closeStore } = await startPanel(t)
  await count([view('a', '2026-11-20')])
  const known = await overview()
  await closeStore()
  const lost = new Date().toISOString()
  await until('it notices', async () => (await get('/data')).json<OverviewAnswer>().unavailable !== null)
  const { data, asOf, unavailable } = (await get('/data')).json<OverviewAnswer>()
  assert.deepEqual(data, known)
  assert.equal(asOf, '2026-11-21T12:34:56.000Z')
  assert.ok(unavailable!.since >= lost)
  assert.equal((await get('/data?period=7d')).json<OverviewAnswer>().data, null)
  const unknown = (await get('/?period=7d')).body
  assert.match(unknown, /Unknown while Analytics is unavailable/)
  assert.doesNotMatch(unknown, /Days are those of/, 'of which zone is not known either')
  const page = (await get('/')).body
  assert.match(page, /class="page is-old"/)
  assert.match(page, /<dt>Views<\/dt><dd class="value">1<\/dd>/)
  assert.equal((await get('/days.csv')).statusCode, 503)
})

test('says that Analytics refuses the key, and not which', async t => {
  const { app } = await startApi(t, { apiKeys: ['another-key'] })
  const panel = buildPanel({
    stats: createStats({
      baseUrl: 'http://analytics.invalid',
      key: KEY,
      fetch: async input => {
        const answer = await app.inject({
          url: new URL(String(input)).pathname,
          headers: { 'x-internal-api-key': KEY },
        })
        return new Response(answer.body, { status: answer.statusCode })
      },
    }),
    posts: createPosts({ url: null, log: createLog('silent') }),
    adminPassword: PASSWORD,
    sessionHours: 1,
    trustedProxies: [],
    hosts: [],
    root: '/',
    log: createLog('silent'),
  })
  t.after(() => panel.close())
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  const payload = new URLSearchParams({ password: PASSWORD }).toString()
  const { cookies } = await panel.inject({ method: 'POST', url: '/sign-in', headers, payload })
  const cookie = `${cookies[0]!.name}=${cookies[0]!.value}`
  const { body } = await panel.inject({ url: '/', headers: { cookie, accept: 'text/html' } })
  assert.match(body, /Analytics has refused this panel’s key/)
  assert.ok(!body.includes(KEY))
})
