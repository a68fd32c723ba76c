/** What the internal API answers of lists of posts, read from a real store. */

import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { startApi } from './support/api.ts'

/** Views of a post on a day, each by a reader of its own. */
const viewsOf = (post_uuid: string, day: string, count: number) =>
  Array.from({ length: count }, (_, reader) => ({
    post_uuid,
    timestamp: `${day}T08:00:00Z`,
    ip: `192.0.2.${reader}`,
  }))

test('lists posts by the change against as many days before, those that lost all their views too', async t => {
  const { get, count } = await startApi(t)
  await count([
    ...viewsOf('gains', '2026-11-21', 5),
    ...viewsOf('gains', '2026-11-14', 2),
    ...viewsOf('loses', '2026-11-15', 1),
    ...viewsOf('loses', '2026-11-08', 4),
    ...viewsOf('gone', '2026-11-14', 3),
    ...viewsOf('older', '2026-11-07', 9),
  ])
  const answer = await get('/api/v1/posts/top?period=7d&sort=change')
  assert.equal(answer.statusCode, 200)
  assert.deepEqual(answer.json(), {
    as_of: '2026-11-21T12:34:56.000Z',
    period: '7d',
    from: '2026-11-15',
    to: '2026-11-21',
    total: 3,
    posts: [
      { post_uuid: 'gains', views: 5, unique_views: 5, previous_views: 2, change: 3 },
      { post_uuid: 'gone', views: 0, unique_views: 0, previous_views: 3, change: -3 },
      { post_uuid: 'loses', views: 1, unique_views: 1, previous_views: 4, change: -3 },
    ],
  })
  const least = (await get('/api/v1/posts/top?from=2026-11-15&sort=change&order=asc&limit=1')).json()
  assert.deepEqual(
    least.posts.map((post: { post_uuid: string }) => post.post_uuid),
    ['gone'],
  )
  const byViews = (await get('/api/v1/posts/top?period=7d&sort=views&order=asc')).json()
  assert.deepEqual(byViews.posts, [
    { post_uuid: 'loses', views: 1, unique_views: 1 },
    { post_uuid: 'gains', views: 5, unique_views: 5 },
  ])
})

test('a change against all time is refused', async t => {
  const { get } = await startApi(t)
  for (const query of ['sort=change', 'sort=change&period=all', 'sort=change&order=asc']) {
    const answer = await get(`/api/v1/posts/top?${query}`)
    assert.equal(answer.statusCode, 400)
    assert.equal(answer.json().parameter, 'sort')
    assert.match(
      answer.json().detail,
      /^sort cannot be change for period=all, which has no days before it: ask/,
    )
  }
})

test('a post whose unique views are not known is the last one in a list by them, from either end', async t => {
  const { get, count, databasePath } = await startApi(t)
  await count([
    ...viewsOf('few', '2026-11-21', 1),
    ...viewsOf('adopted', '2026-11-21', 2),
    ...viewsOf('many', '2026-11-21', 3),
  ])
  {
    using database = new DatabaseSync(databasePath)
    database.exec(`
      UPDATE post_view_aggregates SET bots = NULL, unique_views = NULL, logged_in = NULL WHERE post_uuid = 'adopted';
      UPDATE post_view_totals SET detailed_views = NULL, bots = NULL, unique_views = NULL, logged_in = NULL,
        unknown_until = '2026-11-21' WHERE post_uuid = 'adopted'`)
  }
  for (const period of ['today', 'all']) {
    for (const [order, ids] of [
      ['desc', ['many', 'few', 'adopted']],
      ['asc', ['few', 'many', 'adopted']],
    ] as const) {
      const { posts } = (
        await get(`/api/v1/posts/top?period=${period}&sort=unique_views&order=${order}`)
      ).json()
      assert.deepEqual(
        posts.map((post: { post_uuid: string }) => post.post_uuid),
        ids,
      )
      assert.deepEqual(posts[2], { post_uuid: 'adopted', views: 2, unique_views: null })
    }
  }
})
