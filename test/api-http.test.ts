/** How the internal API answers: whom, with which headers, and what it says when it refuses or cannot. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KEY, NOW, startApi } from './support/api.ts'

test('says which parameter is wrong, and what is allowed', async t => {
  const { get } = await startApi(t)
  const day = 'must be a day from 1970-01-01 to 2099-12-31, in STATS_TIMEZONE'
  const post = 'must be a UUID, 1 to 36 characters of A-Z a-z 0-9 _ -, or a positive integer'
  for (const [url, parameter, detail] of [
    ['posts/42/views/daily?days=0', 'days', 'days must be a whole number from 1 to 800'],
    ['posts/42/views/daily?days=-3', 'days', 'days must be a whole number from 1 to 800'],
    ['posts/42/views/daily?days=801', 'days', 'days must be a whole number from 1 to 800'],
    ['posts/42/views/daily?days=1.5', 'days', 'days must be a whole number from 1 to 800'],
    ['posts/42/views/daily?days=', 'days', 'days must be a whole number from 1 to 800'],
    ['posts/42/views/daily?days=7&days=8', 'days', 'days must be a whole number from 1 to 800'],
    ['posts/42/views/daily?days=7&from=2026-11-01', 'days', 'days cannot be combined with from and to'],
    ['posts/42/views/daily?from=2026-02-29', 'from', `from ${day}`],
    ['posts/42/views/daily?from=0000-01-01', 'from', `from ${day}`],
    ['posts/42/views/daily?from=2100-01-01&to=2100-01-02', 'from', `from ${day}`],
    ['posts/42/views/daily?from=2026-11-01&to=yesterday', 'to', `to ${day}`],
    ['posts/42/views/daily?to=2026-11-01', 'to', 'to needs from'],
    ['posts/42/views/daily?from=2026-11-02&to=2026-11-01', 'from', 'from must not be after to'],
    ['posts/42/views/daily?from=2026-11-22', 'from', 'from must not be after today'],
    [
      'posts/42/views/daily?from=2024-09-12',
      'from',
      'from is too long before today: a period has at most 800 days',
    ],
    [
      'views/daily?from=2001-01-01&to=2026-01-01',
      'from',
      'from is too long before to: a period has at most 800 days',
    ],
    ['status?days=7', 'days', 'days is not a parameter of this route, which takes none'],
    ['posts/42/views?days=7', 'days', 'days is not a parameter of this route, which takes who'],
    ['views/daily?day=7', 'day', 'day is not a parameter of this route, which takes days, from, to, who'],
    ['views?who=robots', 'who', 'who must be one of people, bots, all'],
    [`posts/${'x'.repeat(37)}/views`, 'uuid', `uuid ${post}`],
    [`posts/${'x'.repeat(5_000)}/views`, 'uuid', `uuid ${post}`],
    ['posts/a%20b/views/daily', 'uuid', `uuid ${post}`],
    ['posts/a%00b/referrers', 'uuid', `uuid ${post}`],
    ["posts/1'--/views", 'uuid', `uuid ${post}`],
    ['posts/top?limit=0', 'limit', 'limit must be a whole number from 1 to 1000'],
    ['posts/top?limit=1001', 'limit', 'limit must be a whole number from 1 to 1000'],
    ['posts/top?offset=-1', 'offset', 'offset must be a whole number from 0 to 10000000'],
    ['posts/top?period=year', 'period', 'period must be one of all, today, 7d, 30d'],
    ['posts/top?sort=age', 'sort', 'sort must be one of views, unique_views, change'],
    ['posts/top?order=up', 'order', 'order must be one of desc, asc'],
    ['posts/top?period=7d&from=2026-11-01', 'period', 'period cannot be combined with from and to'],
    ['referrers?limit=ten', 'limit', 'limit must be a whole number from 1 to 1000'],
    ['referrers?offset=-1', 'offset', 'offset must be a whole number from 0 to 10000000'],
    ['posts/views', 'uuids', `uuids must be 1 to 200 posts, separated by commas, each ${post.slice(8)}`],
    ['posts/views?uuids=', 'uuids', `uuids ${post}`],
    ['posts/views?uuids=1,,2', 'uuids[1]', `uuids[1] ${post}`],
    ['posts/views?uuids=1,2,a%20b', 'uuids[2]', `uuids[2] ${post}`],
    [
      `posts/views?uuids=${Array.from({ length: 201 }, (_, index) => index).join()}`,
      'uuids',
      'uuids must name 1 to 200 posts, not 201',
    ],
  ] as const) {
    const answer = await get(`/api/v1/${url}`)
    assert.equal(answer.statusCode, 400, url)
    assert.equal(answer.headers['content-type'], 'application/problem+json', url)
    assert.deepEqual(
      answer.json(),
      { type: 'about:blank', title: 'Bad Request', status: 400, detail, parameter },
      url,
    )
  }
})

test('a kept answer holds until a number changes, whenever it was read', async t => {
  let seconds = 0
  const { get, count } = await startApi(t, { now: () => Date.parse(NOW) + 1_000 * seconds++ })
  const url = '/api/v1/posts/42/views'
  const first = await get(url)
  const etag = String(first.headers.etag)
  assert.match(etag, /^W\/"[\w-]{22}"$/)
  assert.equal(first.headers['cache-control'], 'private, no-cache')

  for (const ifNoneMatch of [etag, etag.slice(2), `"other", ${etag}`, `W/"a,b",${etag.slice(2)}`, '*']) {
    const kept = await get(url, { 'If-None-Match': ifNoneMatch })
    assert.equal(kept.statusCode, 304, ifNoneMatch)
    assert.equal(kept.body, '')
    assert.equal(kept.headers.etag, etag)
    const asOf = String(kept.headers['x-as-of'])
    assert.ok(asOf > first.json().as_of, asOf)
    assert.equal(asOf, new Date(asOf).toISOString())
    assert.equal(kept.headers['cache-control'], 'private, no-cache')
    assert.equal(kept.headers['content-type'], undefined)
  }
  for (const ifNoneMatch of ['"other"', etag.slice(2, -1), '', 'W/*']) {
    assert.equal((await get(url, { 'If-None-Match': ifNoneMatch })).statusCode, 200, ifNoneMatch)
  }

  await count([{ post_uuid: '42', timestamp: '2026-11-21T12:00:00Z' }])
  const changed = await get(url, { 'If-None-Match': etag })
  assert.equal(changed.statusCode, 200)
  assert.notEqual(changed.headers.etag, etag)
})

test('HEAD says what GET would, without the body', async t => {
  const { app, get } = await startApi(t)
  const headers = { 'X-Internal-Api-Key': KEY }
  for (const url of ['/api/v1/posts/42/views', '/api/v1/status', '/api/v1/openapi.json', '/readyz']) {
    const whole = await get(url)
    const head = await app.inject({ method: 'HEAD', url, headers })
    assert.equal(head.statusCode, 200, url)
    assert.equal(head.body, '')
    assert.equal(head.headers['content-length'], String(Buffer.byteLength(whole.body)), url)
    assert.equal(head.headers.etag, whole.headers.etag)
    if (whole.headers.etag === undefined) continue
    const kept = await app.inject({
      method: 'HEAD',
      url,
      headers: { ...headers, 'If-None-Match': String(whole.headers.etag) },
    })
    assert.deepEqual([kept.statusCode, kept.body, kept.headers.etag], [304, '', whole.headers.etag])
    assert.equal(kept.headers['content-length'], head.headers['content-length'])
  }
})

test('lets in whoever has one of the keys, and nobody else', async t => {
  const { app } = await startApi(t, { apiKeys: ['the new key', 'the old key'] })
  const ask = (url: string, headers: Record<string, string>) => app.inject({ url, headers })
  for (const key of ['the new key', 'the old key']) {
    assert.equal((await ask('/api/v1/views', { 'x-internal-api-key': key })).statusCode, 200, key)
  }
  for (const headers of [
    {},
    { 'X-Internal-Api-Key': '' },
    { 'X-Internal-Api-Key': 'the' },
    { 'X-Internal-Api-Key': 'the new key ' },
    { 'X-Internal-Api-Key': 'THE NEW KEY' },
    { 'X-Internal-Api-Key': 'the new key, the old key' },
    { 'X-Internal-Api-Key': 'x'.repeat(10_000) },
    { Authorization: 'Bearer the new key' },
  ] as Record<string, string>[]) {
    for (const url of [
      '/api/v1/views',
      '/api/v1/openapi.json',
      '/api/v1/nothing',
      '/api/v1/views?days=wrong',
      '/api/v1',
    ]) {
      const refused = await ask(url, headers)
      assert.equal(refused.statusCode, 401, `${url} ${JSON.stringify(headers).slice(0, 80)}`)
      assert.equal(refused.headers['content-type'], 'application/problem+json')
      assert.equal(refused.headers['www-authenticate'], 'ApiKey header="X-Internal-Api-Key"')
      assert.doesNotMatch(refused.body, /the (new|old) key/)
    }
  }
})

test('without any key there is no API, only health', async t => {
  const { app } = await startApi(t, { apiKeys: [] })
  for (const key of ['', 'undefined', KEY]) {
    const answer = await app.inject({ url: '/api/v1/views', headers: { 'X-Internal-Api-Key': key } })
    assert.equal(answer.statusCode, 404)
  }
  assert.equal((await app.inject('/livez')).statusCode, 200)
})

test('says as a problem what is not there, and that it only reads', async t => {
  const { app, get } = await startApi(t)
  for (const url of [
    '/',
    '/nothing',
    '/api/v1/nothing',
    '/api/v1/posts/42',
    '/api/v1/posts/a/b/views',
    '/api/v2/views',
  ]) {
    const missing = await get(url)
    assert.equal(missing.statusCode, 404, url)
    assert.equal(missing.headers['content-type'], 'application/problem+json')
    assert.deepEqual(missing.json(), {
      type: 'about:blank',
      title: 'Not Found',
      status: 404,
      detail: 'there is no such route',
    })
  }
  const bent = await get('/api/v1/posts/%E0%A4%A/views')
  assert.equal(bent.statusCode, 400)
  assert.equal(bent.headers['content-type'], 'application/problem+json')

  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const) {
    for (const url of ['/api/v1/posts/42/views', '/livez', '/nothing']) {
      const refused = await app.inject({
        method,
        url,
        headers: { 'X-Internal-Api-Key': KEY, 'Content-Type': 'text/weird' },
        payload: '{"broken',
      })
      assert.equal(refused.statusCode, 405, `${method} ${url}`)
      assert.equal(refused.headers.allow, 'GET, HEAD')
      assert.equal(refused.headers['content-type'], 'application/problem+json')
    }
  }
})

test('says that the store is away, never a number', async t => {
  const { get, closeStore, databasePath } = await startApi(t)
  await closeStore()
  for (const path of [
    'posts/42/views',
    'posts/42/views/daily',
    'posts/42/referrers',
    'posts/top',
    'posts/views?uuids=1',
    'views',
    'views/daily',
    'referrers',
    'status',
  ]) {
    const answer = await get(`/api/v1/${path}`)
    assert.equal(answer.statusCode, 503, path)
    assert.equal(answer.headers['content-type'], 'application/problem+json')
    assert.equal(answer.headers['retry-after'], '5')
    assert.equal(answer.headers['cache-control'], 'no-store')
    assert.equal(answer.headers.etag, undefined)
    assert.equal(answer.json().detail, 'the store does not answer; nothing is lost, try again later')
    assert.ok(!answer.body.includes(databasePath) && !/select|sqlite/i.test(answer.body), answer.body)
  }
})
