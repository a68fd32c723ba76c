/** What the internal API answers of who read a post, read from a real store. */

import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { ownHostsOf } from '../packages/analytics/src/store/own-hosts.ts'
import { startApi } from './support/api.ts'

const GPTBOT = 'Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)'
const FROM = (referer: string | null, more: object = {}) => ({
  post_uuid: '42',
  timestamp: '2026-11-21T08:00:00Z',
  referer,
  ...more,
})
/** Of Google 3 views, of Reddit 2, one of them by a bot, direct 2 by bots. */
const EVENTS = [
  FROM('https://www.google.com/'),
  FROM('https://www.google.de/'),
  FROM('https://google.pl/'),
  FROM('https://old.reddit.com/'),
  FROM('https://old.reddit.com/', { user_agent: GPTBOT }),
  FROM(null, { user_agent: GPTBOT }),
  FROM(null, { user_agent: 'curl/8.14.1' }),
]
const PERIOD = { timezone: 'UTC', from: '2026-11-21', to: '2026-11-21' }

test('answers the values of a dimension, most views first, and what is not listed', async t => {
  const { get, count } = await startApi(t)
  await count(EVENTS)
  const answer = await get('/api/v1/posts/42/breakdowns/source?days=1&limit=1')
  assert.equal(answer.statusCode, 200)
  assert.deepEqual(answer.json(), {
    as_of: '2026-11-21T12:34:56.000Z',
    post_uuid: '42',
    ...PERIOD,
    dimension: 'source',
    details_since: null,
    views: 7,
    total: 3,
    values: [{ value: 'Google', views: 3, bots: 0 }],
    other: { values: 2, views: 4, bots: 3 },
    unknown: { views: 0 },
  })
  const second = (await get('/api/v1/breakdowns/source?from=2026-11-21&limit=1&offset=1')).json()
  assert.deepEqual(second.values, [{ value: null, views: 2, bots: 2 }])
  assert.deepEqual(second.other, { values: 2, views: 5, bots: 1 })
  assert.equal(second.post_uuid, undefined)
})

test('answers hours by hour, and marks own hosts among the referrers', async t => {
  const { get, count, store } = await startApi(t)
  await store.migrate(undefined, { ownHosts: ownHostsOf('blog.example'), goesBack: false })
  await store.checkSettings()
  const at = (hour: string, referer: string) => FROM(referer, { timestamp: `2026-11-21T${hour}:00:00Z` })
  await count([
    at('10', 'https://blog.example/'),
    at('02', 'https://blog.example/'),
    at('10', 'https://a.example/'),
  ])
  const hours = (await get('/api/v1/breakdowns/hour?days=1')).json()
  assert.deepEqual(
    hours.values.map(({ value, views }: { value: string; views: number }) => [value, views]),
    [
      ['2', 1],
      ['10', 2],
    ],
  )
  const { values } = (await get('/api/v1/breakdowns/referrer?days=1')).json()
  assert.deepEqual(values, [
    { value: 'blog.example', views: 2, bots: 0, internal: true },
    { value: 'a.example', views: 1, bots: 0 },
  ])
})

test('answers the referring hosts of people, of bots and of all', async t => {
  const { get, count } = await startApi(t)
  await count(EVENTS)
  const hostsOf = async (query: string) => {
    const { referrers, other } = (await get(`/api/v1/posts/42/referrers?days=1&limit=2&${query}`)).json()
    return [referrers, other]
  }
  assert.deepEqual(await hostsOf('who=people'), [
    [
      { host: 'google.com', views: 1 },
      { host: 'google.de', views: 1 },
    ],
    { views: 2 },
  ])
  assert.deepEqual(await hostsOf('who=bots'), [
    [
      { host: null, views: 2 },
      { host: 'old.reddit.com', views: 1 },
    ],
    { views: 0 },
  ])
  assert.deepEqual(await hostsOf(''), await hostsOf('who=all'))
})

for (const [who, views, values] of [
  ['all', 7, { Google: [3, 0], null: [2, 2], Reddit: [2, 1] }],
  ['people', 4, { Google: [3, 0], Reddit: [1, 0] }],
  ['bots', 3, { null: [2, 2], Reddit: [1, 1] }],
] as const) {
  for (const bots of ['count', 'exclude'] as const) {
    test(`answers the views of ${who}, if bots are to ${bots}`, async t => {
      const { get, count } = await startApi(t, { settings: { bots } })
      await count(EVENTS)
      const answer = (await get(`/api/v1/breakdowns/source?days=1&who=${who}`)).json()
      assert.equal(answer.views, views)
      assert.deepEqual(byValue(answer), values)
      assert.deepEqual(answer.unknown, { views: 0 })
    })
  }
}

test('answers people where bots are excluded and nobody says who, and bots of what only they have', async t => {
  const { get, count } = await startApi(t, { settings: { bots: 'exclude' } })
  await count(EVENTS)
  const sources = (await get('/api/v1/breakdowns/source?days=1')).json()
  assert.deepEqual([sources.views, byValue(sources)], [4, { Google: [3, 0], Reddit: [1, 0] }])
  const purposes = (await get('/api/v1/breakdowns/purpose?days=1')).json()
  assert.deepEqual([purposes.views, byValue(purposes)], [3, { ai_training: [2, 2], tool: [1, 1] }])
  const people = (await get('/api/v1/breakdowns/bot?days=1&who=people')).json()
  assert.deepEqual([people.views, people.values, people.unknown], [0, [], { views: 0 }])
})

test('views that were counted before their values were kept are unknown, up to a day', async t => {
  const { get, count, databasePath, store } = await startApi(t)
  await count([{ ...FROM(null), timestamp: '2026-11-20T08:00:00Z' }, ...EVENTS])
  {
    using database = new DatabaseSync(databasePath)
    database.exec("UPDATE post_views SET origin = NULL WHERE day = '2026-11-20'")
  }
  await store.rebuild({ adoptSettings: false })
  const answer = (await get('/api/v1/posts/42/breakdowns/channel?days=2')).json()
  assert.deepEqual([answer.views, answer.unknown], [8, { views: 1 }])
  assert.equal(answer.details_since, '2026-11-21')
  const later = (await get('/api/v1/posts/42/breakdowns/channel?days=1')).json()
  assert.equal(later.details_since, null)
})

test('people are unknown where adopted data do not tell bots', async t => {
  const { get, count, databasePath } = await startApi(t)
  await count(EVENTS)
  {
    using database = new DatabaseSync(databasePath)
    database.exec('UPDATE post_view_aggregates SET bots = NULL, unique_views = NULL, logged_in = NULL')
  }
  const answer = (await get('/api/v1/posts/42/breakdowns/source?days=1&who=people')).json()
  assert.deepEqual([answer.views, answer.unknown], [null, { views: null }])
})

test('answers the days of a value, and of views that have none', async t => {
  const { get, count, store, databasePath } = await startApi(t)
  await count([
    ...EVENTS,
    { ...FROM('https://google.com/'), timestamp: '2026-11-19T08:00:00Z' },
    { ...FROM(null), timestamp: '2026-11-18T08:00:00Z' },
  ])
  {
    using database = new DatabaseSync(databasePath)
    database.exec("UPDATE post_views SET origin = NULL WHERE day = '2026-11-18'")
  }
  await store.rebuild({ adoptSettings: false })
  const answer = await get('/api/v1/posts/42/breakdowns/source/daily?days=4&value=Google')
  assert.deepEqual(answer.json(), {
    as_of: '2026-11-21T12:34:56.000Z',
    post_uuid: '42',
    timezone: 'UTC',
    from: '2026-11-18',
    to: '2026-11-21',
    dimension: 'source',
    value: 'Google',
    days: [
      { date: '2026-11-18', views: null, bots: null },
      { date: '2026-11-19', views: 1, bots: 0 },
      { date: '2026-11-20', views: 0, bots: 0 },
      { date: '2026-11-21', views: 3, bots: 0 },
    ],
  })
  const none = (await get('/api/v1/breakdowns/source/daily?days=1&who=bots')).json()
  assert.deepEqual([none.value, none.days], [null, [{ date: '2026-11-21', views: 2, bots: 2 }]])
})

test('answers every hour of a day of 25 hours, and no number for those to come', async t => {
  const { get, count } = await startApi(t, {
    settings: { timeZone: 'Europe/Warsaw' },
    now: () => Date.parse('2026-10-25T21:30:00Z'),
  })
  await count([
    { post_uuid: '42', timestamp: '2026-10-24T22:00:00Z' },
    { post_uuid: '42', timestamp: '2026-10-25T00:59:59Z' },
    { post_uuid: '42', timestamp: '2026-10-25T01:00:00Z', user_agent: GPTBOT },
  ])
  for (const path of ['/api/v1/posts/42/views/hourly', '/api/v1/views/hourly']) {
    const { hours, from, to } = (await get(`${path}?from=2026-10-25`)).json()
    assert.deepEqual([from, to, hours.length], ['2026-10-25', '2026-10-25', 25])
    assert.deepEqual(hours[0], { start: '2026-10-24T22:00:00Z', hour: 0, views: 1, bots: 0 })
    assert.deepEqual(hours[2], { start: '2026-10-25T00:00:00Z', hour: 2, views: 1, bots: 0 })
    assert.deepEqual(hours[3], { start: '2026-10-25T01:00:00Z', hour: 3, views: 1, bots: 1 })
    assert.deepEqual(hours[23], { start: '2026-10-25T21:00:00Z', hour: 23, views: 0, bots: 0 })
    assert.deepEqual(hours[24], { start: '2026-10-25T22:00:00Z', hour: 24, views: null, bots: null })
  }
  const people = (await get('/api/v1/views/hourly?who=people')).json()
  assert.equal(people.hours[3].views, 0)
  const long = await get('/api/v1/views/hourly?from=2026-10-01')
  assert.deepEqual([long.statusCode, long.json().parameter], [400, 'from'])
})

test('a dimension that does not exist is not found, and the answer lists those that do', async t => {
  const { get } = await startApi(t)
  for (const path of ['/api/v1/breakdowns/planet', '/api/v1/posts/42/breakdowns/planet']) {
    const answer = await get(path)
    assert.equal(answer.statusCode, 404)
    assert.equal(answer.json().parameter, 'dimension')
    assert.match(answer.json().detail, /no dimension "planet": there are hour, referrer, source, channel,/)
  }
  const wrong = await get('/api/v1/breakdowns/source?who=nobody')
  assert.deepEqual([wrong.statusCode, wrong.json().detail], [400, 'who must be one of people, bots, all'])
})

function byValue({ values }: { values: { value: string | null; views: number; bots: number }[] }): object {
  return Object.fromEntries(values.map(({ value, views, bots }) => [String(value), [views, bots]]))
}
