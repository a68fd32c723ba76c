/** Visits of a small blog, with the number of views that they must add up to; and the views that were counted. */

import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { SQLITE, type TestDatabase } from './engines.ts'
import { page } from './laravel-app.ts'
import { type Service, startService } from './service.ts'
import { until } from './until.ts'
import { FIREFOX } from './views.ts'

/** The uuid of the post `second`. The other posts are counted by their keys, 1 and 3. */
export const SECOND = '0f8fad5b-d9cb-469f-a165-70867728950e'
const A_UUID = '7d444840-9dc0-11d1-b245-5ffdce74fad2'

/** A blog's routes, each with the middleware from the document. */
const ROUTES = `<?php

use App\\Http\\Controllers\\EarlyController;
use App\\Http\\Controllers\\PostController;
use App\\Models\\Post;
use Illuminate\\Support\\Facades\\Route;

Route::middleware('track.view:post')->group(function (): void {
    Route::get('/posts/{post}', [PostController::class, 'show']);
    Route::get('/early/{post}', EarlyController::class);
    Route::get('/missing/{post}', fn (Post $post) => abort(404));
    Route::get('/moved/{post}', fn (Post $post) => redirect('/posts/hello-world'));
    Route::get('/broken/{post}', fn (Post $post) => throw new RuntimeException('broken on purpose'));
    Route::post('/posts/{post}', fn (string $post) => 'posted')->withoutMiddleware('web');
});
Route::get('/untracked/{post}', [PostController::class, 'show']);
`

const EARLY = `<?php

namespace App\\Http\\Controllers;

use App\\Models\\Post;
use Illuminate\\Http\\Response;

class EarlyController extends Controller
{
    public function __invoke(Post $post): Response
    {
        if ($post->exists) {
            return response('from a cache of its own');
        }
        abort(500);
    }
}
`

/** Leaves out views by a post's author: reader 1 is the author of two of the posts. */
const EXCEPT = `<?php

namespace App\\Providers;

use Illuminate\\Http\\Request;
use Illuminate\\Support\\ServiceProvider;
use Postviews\\Laravel\\Facades\\Postviews;

class AppServiceProvider extends ServiceProvider
{
    public function boot(): void
    {
        Postviews::except(fn (Request $request, $post) => $request->user() !== null && $request->user()->id === $post->user_id);
    }
}
`

const PLAIN_VIEW = '<!doctype html>\n<h1>{{ $post->title }}</h1>\n'

/** Files to write into an application. */
export const BLOG = {
  'routes/web.php': ROUTES,
  'app/Http/Controllers/EarlyController.php': EARLY,
  'app/Providers/AppServiceProvider.php': EXCEPT,
  'resources/views/posts/show.blade.php': PLAIN_VIEW,
}

interface Visit {
  what: string
  path: string
  method?: string
  headers?: Record<string, string>
  status?: number
  /** The view that it must become: post, user and whether logged in; absent: none. */
  view?: [post: string, userId: string | null, loggedIn: 0 | 1]
}

const VISITS: readonly Visit[] = [
  { what: 'an anonymous reader', path: '/posts/hello-world', view: ['1', null, 0] },
  {
    what: 'one who is logged in',
    path: '/posts/hello-world',
    headers: { 'X-User': '7' },
    view: ['1', '7', 1],
  },
  {
    what: 'one whose key is a UUID',
    path: '/posts/hello-world',
    headers: { 'X-User': A_UUID },
    view: ['1', null, 1],
  },
  { what: 'a post with a uuid', path: '/posts/second', view: [SECOND, null, 0] },
  {
    what: 'a query and a campaign',
    path: '/posts/second?utm_source=news&token=secret',
    view: [SECOND, null, 0],
  },
  { what: 'a controller that returns early', path: '/early/third', view: ['3', null, 0] },
  {
    what: 'an author on the post of another',
    path: '/posts/third',
    headers: { 'X-User': '1' },
    view: ['3', '1', 1],
  },
  { what: 'an author on an own post', path: '/posts/hello-world', headers: { 'X-User': '1' } },
  { what: 'HEAD', path: '/posts/hello-world', method: 'HEAD' },
  { what: 'POST', path: '/posts/hello-world', method: 'POST' },
  { what: 'a prefetch', path: '/posts/hello-world', headers: { 'Sec-Purpose': 'prefetch;prerender' } },
  { what: 'an old prefetch', path: '/posts/hello-world', headers: { Purpose: 'prefetch' } },
  { what: 'a page that is not there', path: '/posts/no-such-post', status: 404 },
  { what: 'a page that says so', path: '/missing/hello-world', status: 404 },
  { what: 'a redirect', path: '/moved/hello-world', status: 302 },
  { what: 'an error', path: '/broken/hello-world', status: 500 },
  { what: 'a route without the middleware', path: '/untracked/hello-world' },
]

/** Makes every visit that many times, several at once. @returns the rows that must be stored, each with its count */
export async function makeVisits(url: string, times: number, atOnce: number): Promise<Map<string, number>> {
  const queue = Array.from({ length: times }, () => VISITS).flat()
  const expected = new Map<string, number>()
  const reader = async () => {
    for (let visit = queue.shift(); visit !== undefined; visit = queue.shift()) {
      const { what, path, method, headers, status = 200, view } = visit
      const answer = await page(url + path, {
        ...(method !== undefined && { method }),
        headers: { 'User-Agent': FIREFOX, Referer: 'https://example.org/', ...headers },
      })
      assert.equal(answer.status, status, `${what}: ${answer.text.slice(0, 500)}`)
      if (view !== undefined) expected.set(view.join(), (expected.get(view.join()) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, reader))
  return expected
}

export interface Counting {
  service: Service
  database: TestDatabase
  /** The number of raw rows so far. */
  rows(): Promise<number>
}

/** The service on SQLite, once it is ready. */
export async function startCounting(t: TestContext, amqpUrl: string): Promise<Counting> {
  const database = await SQLITE.create(t)
  const service = await startService(t, { amqpUrl, databaseUrl: database.url })
  await service.untilReady()
  const rows = async () =>
    Number((await database.query('SELECT COUNT(*) AS views FROM post_views'))[0]!['views'])
  return { service, database, rows }
}

/** Waits for the rows, and asserts that there are no others and that each has its own id. */
export async function assertCounted(
  { service, database, rows }: Counting,
  expected: ReadonlyMap<string, number>,
): Promise<void> {
  const views = [...expected.values()].reduce((sum, count) => sum + count, 0)
  await until(`${views} views are counted`, async () => (await rows()) >= views)
  const stored = await database.query(
    'SELECT post_uuid, user_id, logged_in, COUNT(*) AS views, COUNT(DISTINCT event_id) AS ids FROM post_views GROUP BY 1, 2, 3',
  )
  assert.deepEqual(
    new Map(
      stored.map(({ post_uuid, user_id, logged_in, views }) => [
        `${post_uuid},${user_id ?? ''},${logged_in}`,
        views,
      ]),
    ),
    new Map([...expected].sort()),
  )
  assert.ok(stored.every(({ views, ids }) => views === ids))
  const posts = new Map<string, number>()
  for (const [row, count] of expected) {
    const [post] = row.split(',') as [string]
    posts.set(post, (posts.get(post) ?? 0) + count)
  }
  for (const [post, count] of posts) {
    const { views } = JSON.parse((await service.get(`/api/v1/posts/${post}/views`)).text)
    assert.equal(views, count, `views of ${post}`)
  }
}
