/** The same events in SQLite and in a cluster of ClickHouse: whoever reads, of the API or of the panel, sees no difference. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ownClickhouse } from '../support/engines.ts'
import { POST, POSTS, pastViews, startPanel } from '../support/panel.ts'

const ROUTES = [
  '/views',
  '/views/daily?days=60',
  '/referrers?days=60',
  '/posts/top?limit=100',
  '/posts/top?period=7d',
  '/posts/top?period=30d&offset=2',
  '/posts/trending',
  '/posts/trending?who=all',
  `/posts/views?days=60&uuids=${POSTS.map(({ id }) => id).join()},never-read`,
  `/posts/${POST.id}/referrers`,
]

const PAGES = [
  '/',
  '/?period=7d',
  '/?period=365d&compare=1',
  `/posts/${POST.id}`,
  `/posts/${POST.id}?period=365d&compare=1`,
  '/posts/never-read',
]

test('the API and the panel show the same on two shards of ClickHouse as on SQLite', async t => {
  const risenAt = Date.now() - 2 * 3_600_000
  const [view] = pastViews()
  const views = [...pastViews(), ...Array.from({ length: 30 }, () => ({ ...view!, timestamp: risenAt }))]
  const sqlite = await startPanel(t, { views })
  const { database } = await ownClickhouse(t)
  const clickhouse = await startPanel(t, { views, database })

  const answers = async ({ service }: typeof sqlite) =>
    Promise.all(
      ROUTES.map(async route => {
        const { as_of, ...answer } = JSON.parse((await service.get(`/api/v1${route}`)).text)
        assert.ok(as_of)
        return { route, answer }
      }),
    )
  const expected = await answers(sqlite)
  assert.equal(expected[0]!.answer.views, views.length)
  const trending = expected.find(({ route }) => route === '/posts/trending')!
  assert.deepEqual(
    trending.answer.posts.map((post: { post_uuid: string }) => post.post_uuid),
    [POST.id],
  )
  assert.deepEqual(await answers(clickhouse), expected)

  const pages = [await sqlite.page(), await clickhouse.page()] as const
  for (const path of PAGES) {
    const [shown, alike] = await Promise.all(
      pages.map(async page => {
        await page.goto(path)
        return withoutClock(await page.locator('main').innerText())
      }),
    )
    assert.ok(shown!.length > 100, path)
    assert.equal(alike, shown, path)
  }
})

function withoutClock(text: string): string {
  return text.replace(/\d\d:\d\d(:\d\d)?/g, '')
}
