/** What the internal API answers, read from a real store. */

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import Schema from 'typebox/schema'
import { ownHostsOf } from '../packages/analytics/src/store/own-hosts.ts'
import { NOW, startApi } from './support/api.ts'

const POST = '0f8fad5b-d9cb-469f-a165-70867728950e'
const GOOGLEBOT = 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'
const NO_VIEWS = { views: 0, unique_views: 0, logged_in: 0, anonymous: 0, bots: 0 }

test("answers a post's totals, and the id in lower case", async t => {
  const { get, count } = await startApi(t)
  await count([
    { post_uuid: POST, user_id: 7, ip: '192.0.2.1', timestamp: '2026-11-20T23:59:59Z' },
    { post_uuid: POST.toUpperCase(), ip: '192.0.2.1', timestamp: '2026-11-21T08:00:00Z' },
    { post_uuid: POST, ip: '192.0.2.1', timestamp: '2026-11-21T09:00:00Z' },
    { post_uuid: POST, ip: '192.0.2.2', user_agent: GOOGLEBOT, timestamp: '2026-11-21T10:00:00Z' },
    { post_uuid: 'another', ip: '192.0.2.1', timestamp: '2026-11-21T10:00:00Z' },
  ])
  const answer = await get(`/api/v1/posts/${POST.toUpperCase()}/views`)
  assert.equal(answer.statusCode, 200)
  assert.match(String(answer.headers['content-type']), /^application\/json\b/)
  assert.deepEqual(answer.json(), {
    as_of: '2026-11-21T12:34:56.000Z',
    post_uuid: POST,
    views: 4,
    unique_views: 3,
    logged_in: 1,
    anonymous: 3,
    bots: 1,
    first_viewed_at: '2026-11-20T23:59:59Z',
    last_viewed_at: '2026-11-21T10:00:00Z',
  })
})

test('answers zeros for a post never viewed, whatever it is called', async t => {
  const { get } = await startApi(t)
  for (const post of [POST, '42', 'top', 'views', '-_-']) {
    const answer = await get(`/api/v1/posts/${post}/views`)
    assert.equal(answer.statusCode, 200, post)
    assert.deepEqual(answer.json(), {
      as_of: '2026-11-21T12:34:56.000Z',
      post_uuid: post,
      ...NO_VIEWS,
      first_viewed_at: null,
      last_viewed_at: null,
    })
  }
})

test('answers the last 30 days, today included, oldest first, empty days as zeros', async t => {
  const { get, count } = await startApi(t)
  await count([
    { post_uuid: '42', timestamp: '2026-10-22T12:00:00Z' },
    { post_uuid: '42', timestamp: '2026-10-23T00:00:00Z' },
    { post_uuid: '42', timestamp: '2026-11-21T12:00:00Z' },
    { post_uuid: '43', timestamp: '2026-11-20T12:00:00Z' },
  ])
  const { timezone, from, to, days } = (await get('/api/v1/posts/42/views/daily')).json()
  assert.deepEqual([timezone, from, to, days.length], ['UTC', '2026-10-23', '2026-11-21', 30])
  const one = { views: 1, unique_views: 1, logged_in: 0, anonymous: 1, bots: 0 }
  assert.deepEqual(days[0], { date: '2026-10-23', ...one })
  assert.deepEqual(days[28], { date: '2026-11-20', ...NO_VIEWS })
  assert.deepEqual(days[29], { date: '2026-11-21', ...one })

  const site = (await get('/api/v1/views/daily?days=2')).json()
  assert.deepEqual(site.days, [
    { date: '2026-11-20', ...one },
    { date: '2026-11-21', ...one },
  ])
})

test('counts days in STATS_TIMEZONE', async t => {
  const { get, count } = await startApi(t, { settings: { timeZone: 'Pacific/Auckland' } })
  await count([{ post_uuid: '42', timestamp: '2026-11-21T11:00:00Z' }])
  const { timezone, days } = (await get('/api/v1/posts/42/views/daily?days=1')).json()
  assert.equal(timezone, 'Pacific/Auckland')
  assert.deepEqual(
    days.map((day: { date: string; views: number }) => [day.date, day.views]),
    [['2026-11-22', 1]],
  )
})

test('answers any period of up to 800 days', async t => {
  const { get, count } = await startApi(t)
  await count([{ post_uuid: '42', timestamp: '2024-09-13T12:00:00Z' }])
  for (const [query, from, to, length] of [
    ['days=800', '2024-09-13', '2026-11-21', 800],
    ['from=2024-09-13', '2024-09-13', '2026-11-21', 800],
    ['from=2024-02-28&to=2024-03-01', '2024-02-28', '2024-03-01', 3],
    ['from=2026-11-21&to=2026-11-30', '2026-11-21', '2026-11-30', 10],
    ['from=1970-01-01&to=1970-01-01', '1970-01-01', '1970-01-01', 1],
  ] as const) {
    for (const path of ['/api/v1/posts/42/views/daily', '/api/v1/views/daily']) {
      const answer = (await get(`${path}?${query}`)).json()
      assert.deepEqual([answer.from, answer.to, answer.days.length], [from, to, length], query)
      assert.equal(answer.days[0].views, from === '2024-09-13' ? 1 : 0)
    }
  }
})

test('lists the posts with the most views, a page at a time, for every period', async t => {
  const { get, count } = await startApi(t)
  const views = (post_uuid: string, timestamp: string, times: number) =>
    Array.from({ length: times }, (_, index) => ({ post_uuid, ip: `192.0.2.${index % 2}`, timestamp }))
  await count([
    ...views('old', '2025-01-01T12:00:00Z', 9),
    ...views('month', '2026-10-23T12:00:00Z', 4),
    ...views('week', '2026-11-15T12:00:00Z', 3),
    ...views('b', '2026-11-21T12:00:00Z', 2),
    ...views('a', '2026-11-21T12:00:00Z', 2),
  ])
  const names = async (query: string) => {
    const { posts, ...rest } = (await get(`/api/v1/posts/top?${query}`)).json()
    return { ...rest, posts: posts.map((post: { post_uuid: string }) => post.post_uuid).join() }
  }
  const as_of = '2026-11-21T12:34:56.000Z'
  const to = '2026-11-21'
  assert.deepEqual(await names(''), {
    as_of,
    period: 'all',
    from: null,
    to: null,
    total: 5,
    posts: 'old,month,week,a,b',
  })
  assert.deepEqual(await names('period=30d'), {
    as_of,
    period: '30d',
    from: '2026-10-23',
    to,
    total: 4,
    posts: 'month,week,a,b',
  })
  assert.deepEqual(await names('period=7d'), {
    as_of,
    period: '7d',
    from: '2026-11-15',
    to,
    total: 3,
    posts: 'week,a,b',
  })
  assert.deepEqual(await names('period=today'), {
    as_of,
    period: 'today',
    from: to,
    to,
    total: 2,
    posts: 'a,b',
  })
  assert.deepEqual(await names('from=2026-10-01&to=2026-11-15'), {
    as_of,
    period: '2026-10-01/2026-11-15',
    from: '2026-10-01',
    to: '2026-11-15',
    total: 2,
    posts: 'month,week',
  })
  assert.deepEqual((await names('limit=2&offset=1')).posts, 'month,week')
  assert.deepEqual((await names('limit=2&offset=5')).posts, '')
  assert.deepEqual((await get('/api/v1/posts/top?limit=1')).json().posts, [
    { post_uuid: 'old', views: 9, unique_views: 2 },
  ])
})

test('answers many posts in the order asked, twice when asked twice, with their days when asked for', async t => {
  const { get, count } = await startApi(t)
  await count([
    { post_uuid: POST, timestamp: '2026-11-20T12:00:00Z' },
    { post_uuid: 'b', user_id: 1, timestamp: '2026-11-21T12:00:00Z' },
  ])
  const plain = (await get(`/api/v1/posts/views?uuids=b,never,${POST.toUpperCase()},b`)).json()
  assert.deepEqual(
    plain.posts.map((post: { post_uuid: string; views: number }) => [post.post_uuid, post.views]),
    [
      ['b', 1],
      ['never', 0],
      [POST, 1],
      ['b', 1],
    ],
  )
  assert.deepEqual(Object.keys(plain), ['as_of', 'posts'])
  assert.deepEqual(Object.keys(plain.posts[0]), [
    'post_uuid',
    'views',
    'unique_views',
    'logged_in',
    'anonymous',
    'bots',
    'first_viewed_at',
    'last_viewed_at',
  ])

  const { posts, ...rest } = (await get(`/api/v1/posts/views?uuids=b,never,${POST}&days=2`)).json()
  assert.deepEqual(rest, {
    as_of: '2026-11-21T12:34:56.000Z',
    timezone: 'UTC',
    from: '2026-11-20',
    to: '2026-11-21',
  })
  const one = { views: 1, unique_views: 1, bots: 0 }
  assert.deepEqual(
    posts.map((post: { days: unknown }) => post.days),
    [
      [
        { date: '2026-11-20', ...NO_VIEWS },
        { date: '2026-11-21', ...one, logged_in: 1, anonymous: 0 },
      ],
      [
        { date: '2026-11-20', ...NO_VIEWS },
        { date: '2026-11-21', ...NO_VIEWS },
      ],
      [
        { date: '2026-11-20', ...one, logged_in: 0, anonymous: 1 },
        { date: '2026-11-21', ...NO_VIEWS },
      ],
    ],
  )

  const ids = Array.from(
    { length: 200 },
    (_, index) => `${String(index).padStart(8, '0')}-d9cb-469f-a165-70867728950e`,
  )
  const many = (await get(`/api/v1/posts/views?uuids=${ids.join('%2C')}`)).json()
  assert.deepEqual(
    many.posts.map((post: { post_uuid: string }) => post.post_uuid),
    ids,
  )
})

test('tells the hosts that readers came from', async t => {
  const { get, count } = await startApi(t)
  const from = (referer: string | null, timestamp = '2026-11-21T12:00:00Z', post_uuid = '42') => ({
    post_uuid,
    referer,
    timestamp,
  })
  await count([
    from('https://News.example/a?b=c'),
    from('https://news.example/other'),
    from('https://search.example/'),
    from(null),
    from(null),
    from(null),
    from('https://news.example/', '2026-10-22T12:00:00Z'),
    from('https://elsewhere.example/', '2026-11-21T12:00:00Z', '43'),
  ])
  assert.deepEqual((await get('/api/v1/posts/42/referrers')).json(), {
    as_of: '2026-11-21T12:34:56.000Z',
    post_uuid: '42',
    from: '2026-10-23',
    to: '2026-11-21',
    referrers: [
      { host: null, views: 3 },
      { host: 'news.example', views: 2 },
      { host: 'search.example', views: 1 },
    ],
    other: { views: 0 },
  })
  assert.deepEqual((await get('/api/v1/referrers?days=31&limit=2')).json(), {
    as_of: '2026-11-21T12:34:56.000Z',
    from: '2026-10-22',
    to: '2026-11-21',
    referrers: [
      { host: null, views: 3 },
      { host: 'news.example', views: 3 },
    ],
    other: { views: 2 },
  })
  const { referrers, other } = (await get('/api/v1/posts/42/referrers?limit=1&offset=1')).json()
  assert.deepEqual(referrers, [{ host: 'news.example', views: 2 }])
  assert.deepEqual(other, { views: 4 }, 'also those that were passed over')
})

test("marks the site's own hosts among referrers, by the list that is recorded, and nothing else", async t => {
  const { get, count, store } = await startApi(t)
  const at = { post_uuid: '42', timestamp: '2026-11-21T12:00:00Z' }
  await count([
    { ...at, referer: 'https://www.blog.example/a' },
    { ...at, referer: 'https://blog.example/b' },
    { ...at, referer: 'https://news.example/' },
    at,
  ])
  const paths = ['/api/v1/posts/42/referrers', '/api/v1/referrers']
  const own = { host: 'blog.example', views: 2 }
  const others = [
    { host: null, views: 1 },
    { host: 'news.example', views: 1 },
  ]
  const etags = new Set<unknown>()
  for (const [list, row] of [
    ['none', own],
    ['blog.example', { ...own, internal: true }],
    ['other.example', own],
  ] as const) {
    await store.migrate(undefined, { ownHosts: ownHostsOf(list), goesBack: false })
    for (const path of paths) {
      const answer = await get(path)
      assert.deepEqual(answer.json().referrers, [row, ...others], `${list} ${path}`)
      etags.add(answer.headers['etag'])
    }
  }
  assert.equal(etags.size, 4, 'an answer that was kept does not hold when the list is another')
})

test("answers the whole site's totals as the sum of its days", async t => {
  const { get, count } = await startApi(t)
  await count([
    { post_uuid: '42', user_id: 7, ip: '192.0.2.1', timestamp: '2026-11-20T12:00:00Z' },
    { post_uuid: '43', ip: '192.0.2.1', timestamp: '2026-11-21T12:00:00Z' },
    { post_uuid: '43', ip: '192.0.2.1', user_agent: GOOGLEBOT, timestamp: '2026-11-21T12:00:01Z' },
  ])
  const { as_of: _, first_viewed_at, last_viewed_at, ...totals } = (await get('/api/v1/views')).json()
  assert.deepEqual([first_viewed_at, last_viewed_at], ['2026-11-20T12:00:00Z', '2026-11-21T12:00:01Z'])
  assert.deepEqual(totals, { views: 3, unique_views: 2, logged_in: 1, anonymous: 2, bots: 1 })
  const { days } = (await get('/api/v1/views/daily')).json()
  for (const [name, total] of Object.entries(totals)) {
    assert.equal(
      days.reduce((sum: number, day: Record<string, number>) => sum + day[name]!, 0),
      total,
      name,
    )
  }
})

test('answers null for what adopted data do not tell, and since when all is known', async t => {
  const { get, count, databasePath } = await startApi(t)
  await count([
    { post_uuid: '42', timestamp: '2026-11-20T12:00:00Z' },
    { post_uuid: '42', timestamp: '2026-11-21T12:00:00Z' },
  ])
  // As adoption leaves a day of which only the views are known.
  const database = new DatabaseSync(databasePath)
  database.exec(`
    UPDATE post_view_aggregates SET unique_views = NULL, logged_in = NULL, bots = NULL WHERE date = '2026-11-20';
    UPDATE site_view_aggregates SET unique_views = NULL, logged_in = NULL, bots = NULL WHERE date = '2026-11-20';
    UPDATE post_view_totals SET detailed_views = 1, unique_views = 1, unknown_until = '2026-11-20';
  `)
  database.close()
  const unknown = { views: 1, unique_views: null, logged_in: null, anonymous: null, bots: null }
  const sums = { views: 2, unique_views: 1, logged_in: 0, anonymous: 1, bots: 0, details_since: '2026-11-21' }
  for (const [totals, daily] of [
    ['posts/42/views', 'posts/42/views/daily?from=2026-11-20&to=2026-11-20'],
    ['views', 'views/daily?from=2026-11-20&to=2026-11-20'],
  ]) {
    assert.partialDeepStrictEqual((await get(`/api/v1/${totals}`)).json(), sums)
    assert.deepEqual((await get(`/api/v1/${daily}`)).json().days, [{ date: '2026-11-20', ...unknown }])
  }
  const { posts } = (await get('/api/v1/posts/top?period=today')).json()
  assert.deepEqual(posts, [{ post_uuid: '42', views: 1, unique_views: 1 }])
  const older = (await get('/api/v1/posts/top?from=2026-11-20&to=2026-11-20')).json()
  assert.deepEqual(older.posts, [{ post_uuid: '42', views: 1, unique_views: null }])
})

test('describes itself, as docs/openapi.json says, and answers as described', async t => {
  const { get, count } = await startApi(t, {
    broker: { depths: async () => ({ queues: { a: 1 }, dead: 2 }) },
  })
  const described = (await get('/api/v1/openapi.json')).json()
  assert.deepEqual(
    described,
    JSON.parse(await readFile(new URL('../docs/openapi.json', import.meta.url), 'utf8')),
    'the API has changed: node packages/analytics/src/api/openapi.ts > docs/openapi.json && npm run fix',
  )

  await count([{ post_uuid: '42', referer: 'https://news.example/', timestamp: NOW }])
  for (const [route, url] of [
    ['/api/v1/posts/{uuid}/views', '/api/v1/posts/42/views'],
    ['/api/v1/posts/{uuid}/views/daily', '/api/v1/posts/42/views/daily'],
    ['/api/v1/posts/{uuid}/referrers', '/api/v1/posts/42/referrers'],
    ['/api/v1/posts/top', '/api/v1/posts/top'],
    ['/api/v1/posts/views', '/api/v1/posts/views?uuids=42,43&days=3'],
    ['/api/v1/views', '/api/v1/views'],
    ['/api/v1/views/daily', '/api/v1/views/daily'],
    ['/api/v1/referrers', '/api/v1/referrers'],
    ['/api/v1/status', '/api/v1/status'],
    ['/livez', '/livez'],
    ['/readyz', '/readyz'],
  ] as const) {
    const answer = await get(url)
    const { schema } = described.paths[route].get.responses[answer.statusCode].content['application/json']
    const [right, errors] = Schema.Errors(schema, answer.json())
    assert.ok(right, `${url}: ${JSON.stringify(errors)}`)
  }
})
