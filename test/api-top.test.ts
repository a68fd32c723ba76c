/** What the internal API answers of lists of posts, read from a real store. */

import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { startApi } from './support/api.ts'
import { GOOGLEBOT } from './support/views.ts'

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

test('lists the views of people, of bots or of all, and unknown ones as null at the end', async t => {
  const { get, count, databasePath } = await startApi(t)
  const byBots = (post_uuid: string, day: string, count: number) =>
    viewsOf(post_uuid, day, count).map(view => ({ ...view, user_agent: GOOGLEBOT }))
  await count([
    ...viewsOf('read', '2026-11-21', 2),
    ...byBots('read', '2026-11-21', 1),
    ...viewsOf('read', '2026-11-20', 5),
    ...viewsOf('crawled', '2026-11-21', 1),
    ...byBots('crawled', '2026-11-21', 4),
    ...viewsOf('adopted', '2026-11-21', 9),
    ...viewsOf('half', '2026-11-21', 3),
    ...viewsOf('half', '2026-11-20', 3),
    ...viewsOf('before', '2026-11-21', 3),
  ])
  {
    using database = new DatabaseSync(databasePath)
    const ofAdopted = ['bots', 'unique_views', 'logged_in', 'bot_unique_views', 'shared_unique_views']
    const nothing = ofAdopted.map(name => `${name} = NULL`).join(', ')
    database.exec(`
      UPDATE post_view_aggregates SET ${nothing} WHERE post_uuid = 'adopted' OR (post_uuid = 'half' AND date = '2026-11-20');
      UPDATE post_view_totals SET detailed_views = NULL, ${nothing}, unknown_until = '2026-11-21' WHERE post_uuid = 'adopted';
      UPDATE post_view_totals SET detailed_views = 3, unique_views = 3, unknown_until = '2026-11-20' WHERE post_uuid = 'half';
      UPDATE post_view_aggregates SET bot_unique_views = NULL, shared_unique_views = NULL WHERE post_uuid = 'before';
      UPDATE post_view_totals SET bot_unique_views = NULL, shared_unique_views = NULL WHERE post_uuid = 'before'`)
  }
  const listed = async (query: string) =>
    (await get(`/api/v1/posts/top?${query}`)).json().posts.map((post: Record<string, unknown>) =>
      Object.values(post)
        .map(value => value ?? 'null')
        .join(' '),
    )
  for (const order of ['desc', 'asc'])
    assert.deepEqual(await listed(`period=today&who=bots&order=${order}`), [
      ...[
        ['crawled 4 4', 'read 1 1'],
        ['read 1 1', 'crawled 4 4'],
      ][Number(order === 'asc')]!,
      'adopted null null',
    ])
  assert.deepEqual(await listed('period=today&who=people'), [
    'before 3 null',
    'half 3 3',
    'read 2 2',
    'crawled 1 1',
    'adopted null null',
  ])
  assert.deepEqual(await listed('period=today&who=people&sort=unique_views&limit=3'), [
    'half 3 3',
    'read 2 2',
    'crawled 1 1',
  ])
  // Of the whole period, what is not known of a day is not known either; unique views are those of the days that are known.
  for (const period of ['period=7d', 'period=all'])
    assert.deepEqual(await listed(`${period}&who=people`), [
      'read 7 7',
      'before 3 null',
      'crawled 1 1',
      'adopted null null',
      'half null 3',
    ])
  assert.deepEqual(await listed('period=today&who=people&sort=change'), [
    'before 3 null 0 3',
    'crawled 1 1 0 1',
    'read 2 2 5 -3',
    'adopted null null 0 null',
    'half 3 3 null null',
  ])
  assert.deepEqual(await listed('period=today&limit=2'), ['adopted 9 null', 'crawled 5 4'])
  assert.deepEqual(await listed('period=today&limit=2&who=all'), ['adopted 9 null', 'crawled 5 4'])
})
