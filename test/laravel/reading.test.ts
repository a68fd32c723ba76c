/** What a page shows is what the internal API says; while it says nothing, a page says so, and waits for nobody. */

import assert from 'node:assert/strict'
import { type AddressInfo, createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { follow } from '../../tools/laravel/app.ts'
import { snippetsOf } from '../../tools/laravel/document.ts'
import { testRabbitmq } from '../../tools/stack/for-tests.ts'
import { atEnd } from '../support/at-end.ts'
import { ENGINES, MYSQL, type TestDatabase } from '../support/engines.ts'
import { type LaravelApp, laravelApp, page, serving } from '../support/laravel-app.ts'
import { SECOND } from '../support/laravel-visits.ts'
import { API_KEY, type Service, startService } from '../support/service.ts'
import { until } from '../support/until.ts'
import { FIREFOX } from '../support/views.ts'

const ROUTES = `<?php

use App\\Models\\Post;
use Illuminate\\Support\\Facades\\Route;

Route::get('/posts', fn () => view('posts.index', ['posts' => Post::orderBy('id')->get()->loadViews(days: 7)]));
`
const INDEX = `
@foreach ($posts as $post)
<li>{{ $post->title }}: {{ $post->views ?? 'unknown' }}/{{ $post->unique_views ?? 'unknown' }}
<x-postviews-count :post="$post" words /> <x-postviews-sparkline :post="$post" :days="7" /></li>
@endforeach
`
const LIST = { 'routes/web.php': ROUTES, 'resources/views/posts/index.blade.php': INDEX }

/** Two readers of the first post, one of whom reads it twice and is logged in; one of the second; none of the third. */
const TRACK = `
use App\\Models\\Post;
use Postviews\\Laravel\\Facades\\AnalyticsApi;
foreach ([[1, '203.0.113.1', 7], [1, '203.0.113.1', 7], [1, '203.0.113.2', null], [2, '203.0.113.1', null]] as [$id, $ip, $user]) {
    AnalyticsApi::trackView(['post_uuid' => Post::find($id)->uuid ?? $id, 'ip' => $ip, 'user_id' => $user, 'user_agent' => '${FIREFOX}']);
}
AnalyticsApi::flushOrFail();
`

async function php(app: LaravelApp, code: string): Promise<string> {
  const { code: exit, stdout, stderr } = await app.run(code)
  assert.equal(exit, 0, stdout + stderr + app.log())
  return stdout
}

async function json(app: LaravelApp, code: string): Promise<unknown> {
  return JSON.parse(await php(app, `use Postviews\\Laravel\\Facades\\Postviews;\n${code}`))
}

async function untilCounted(service: Service, views: number): Promise<void> {
  await until('the views are counted', async () => {
    return JSON.parse((await service.get('/api/v1/views')).text).views === views
  })
}

interface Reading {
  app: LaravelApp
  service: Service
  database: TestDatabase
}

async function startReading(
  t: TestContext,
  database: TestDatabase,
  env: Record<string, string> = {},
): Promise<Reading> {
  const { url: amqpUrl } = await testRabbitmq()
  const service = await startService(t, { amqpUrl, databaseUrl: database.url })
  await service.untilReady()
  const app = await laravelApp(t, {
    env: {
      POSTVIEWS_AMQP_URL: amqpUrl,
      POSTVIEWS_API_URL: service.url,
      POSTVIEWS_API_KEY: API_KEY,
      ...env,
    },
    files: LIST,
  })
  await php(app, TRACK)
  await untilCounted(service, 4)
  return { app, service, database }
}

for (const engine of ENGINES) {
  test(`PHP reads what the API says, on ${engine.name}`, async t => {
    const { app, service } = await startReading(t, await engine.create(t))
    const answer = async (path: string) => JSON.parse((await service.get(`/api/v1/${path}`)).text)
    const without = ({ as_of, is_stale, details_since, ...rest }: Record<string, unknown>) => rest

    assert.deepEqual(
      await json(
        app,
        `$post = App\\Models\\Post::find(1);
        echo json_encode([Postviews::views($post), Postviews::uniqueViews($post), Postviews::views('${SECOND}'), Postviews::views(3)]);`,
      ),
      [3, 2, 1, 0],
    )
    const [one, never] = (await json(
      app,
      'echo json_encode([Postviews::statistics(1), Postviews::statistics("never-read")]);',
    )) as Record<string, unknown>[]
    assert.deepEqual(
      [one!['views'], one!['unique_views'], one!['logged_in'], one!['anonymous'], one!['bots']],
      [3, 2, 2, 1, 0],
    )
    assert.deepEqual(without(one!), without(await answer('posts/1/views')))
    assert.deepEqual(without(never!), without(await answer('posts/never-read/views')))
    assert.equal(one!['is_stale'], false)

    for (const [question, path] of [
      ['days: 5', 'days=5'],
      ['from: "2026-01-01", to: now()', `from=2026-01-01&to=${new Date().toISOString().slice(0, 10)}`],
    ]) {
      const days = (await json(app, `echo json_encode(Postviews::daily(1, ${question}));`)) as Record<
        string,
        unknown
      >
      assert.deepEqual(without(days), without(await answer(`posts/1/views/daily?${path}`)))
    }

    for (const who of ['people', 'bots']) {
      const [statistics, days] = (await json(
        app,
        `echo json_encode([Postviews::statistics(1, who: "${who}"), Postviews::daily(1, days: 2, who: "${who}")]);`,
      )) as Record<string, unknown>[]
      assert.deepEqual(
        [statistics!['views'], statistics!['unique_views']],
        who === 'people' ? [3, 2] : [0, 0],
      )
      assert.deepEqual(without(statistics!), without(await answer(`posts/1/views?who=${who}`)))
      assert.deepEqual(without(days!), without(await answer(`posts/1/views/daily?days=2&who=${who}`)))
    }
    assert.deepEqual(
      await json(
        app,
        'echo json_encode([Postviews::top(who: "people")->total, Postviews::top(who: "bots")->total]);',
      ),
      [2, 0],
    )

    const { from, to, ...top } = await answer('posts/top?limit=2&period=7d')
    assert.deepEqual(
      without(
        (await json(app, 'echo json_encode(Postviews::top(limit: 2, period: "7d"));')) as object as Record<
          string,
          unknown
        >,
      ),
      without(top),
    )
    assert.deepEqual(
      await json(
        app,
        `echo json_encode(Postviews::top(limit: 5)->models(App\\Models\\Post::query())->map->only(['id', 'views', 'unique_views']));`,
      ),
      [{ id: 1, views: 3, unique_views: 2 }],
    )
    // In one call of up to 200: the API would refuse more.
    assert.deepEqual(
      await json(
        app,
        `$many = Postviews::many(['${SECOND.toUpperCase()}', ...range(500, 1)]);
        echo json_encode([count($many), $many['${SECOND}']->views, $many[1]->views, $many->filter(fn ($post) => $post === null)->count()]);`,
      ),
      [501, 1, 3, 0],
    )
    assert.deepEqual(
      await json(app, 'echo json_encode([Postviews::daily(1, days: 900), Postviews::views("no/id")]);'),
      [null, null],
    )
    assert.match(app.log(), /postviews: read\.invalid: .* 400: .*800/)
  })

  test(`PHP reads who read it, as the API says, on ${engine.name}`, async t => {
    const { app, service } = await startReading(t, await engine.create(t))
    await php(
      app,
      `use Postviews\\Laravel\\Facades\\AnalyticsApi;
      $post = App\\Models\\Post::find(1);
      foreach ([['url' => '/p?utm_source=Weekly&utm_medium=email&token=secret'], ['user_agent' => 'GPTBot/1.2']] as $more) {
          AnalyticsApi::trackView($more + ['post_id' => $post->id, 'ip' => '81.2.69.160', 'user_agent' => '${FIREFOX}']);
      }
      AnalyticsApi::flushOrFail();`,
    )
    await untilCounted(service, 6)
    const today = new Date().toISOString().slice(0, 10)
    const questions = {
      'Postviews::breakdown($post, "source", days: 7, limit: 1)': 'posts/1/breakdowns/source?days=7&limit=1',
      'Postviews::breakdown($post, "country", who: "people")': 'posts/1/breakdowns/country?who=people',
      'Postviews::breakdown("never-read", "os")': 'posts/never-read/breakdowns/os',
      'Postviews::siteBreakdown("purpose", from: now())': `breakdowns/purpose?from=${today}`,
      'Postviews::valueDaily($post, "channel", "email", days: 2)':
        'posts/1/breakdowns/channel/daily?days=2&value=email',
      'Postviews::siteValueDaily("bot", null, days: 1)': 'breakdowns/bot/daily?days=1',
      'Postviews::hourly($post, days: 2)': 'posts/1/views/hourly?days=2',
      'Postviews::siteHourly(who: "bots")': 'views/hourly?who=bots',
    }
    const code = `$post = App\\Models\\Post::find(1); echo json_encode([${Object.keys(questions).join(', ')}]);`
    const answers = (await json(app, code)) as Record<string, unknown>[]
    for (const [index, path] of Object.values(questions).entries()) {
      const { as_of, ...expected } = JSON.parse((await service.get(`/api/v1/${path}`)).text)
      const { as_of: asOf, is_stale, ...answer } = answers[index]!
      assert.deepEqual(answer, expected, path)
      assert.equal(is_stale, false)
    }
    const [sources, countries] = answers as [Record<string, unknown>, Record<string, unknown>]
    assert.deepEqual([sources['views'], sources['other']], [5, { values: 1, views: 1, bots: 0 }])
    assert.ok((countries['values'] as { value: unknown }[]).some(({ value }) => value === 'GB'))

    assert.deepEqual(
      await json(
        app,
        'echo json_encode([Postviews::breakdown(1, "planet"), Postviews::siteHourly(days: 15), Postviews::views(1)]);',
      ),
      [null, null, 5],
    )
    assert.match(
      app.log(),
      /postviews: read\.invalid: .* 404: there is no dimension "planet": there are hour,/,
    )
  })
}

test('a list of posts shows its counts; stale ones, and then none, while the service is away', async t => {
  const { app, service } = await startReading(t, await MYSQL.create(t), { CACHE_STORE: 'file' })
  const server = await serving(t, app, 'php-fpm with nginx')
  const list = async () => {
    const { status, text, tookMs } = await page(`${server.url}/posts`)
    assert.equal(status, 200, app.log())
    assert.ok(!text.includes(API_KEY))
    return { tookMs, items: text.split('<li>').slice(1) }
  }
  const [first, second, third] = (await list()).items as [string, string, string]
  assert.match(first, /: 3\/2\n<data value="3" title="3 views" .*>3 views<\/data> <svg role="img"/)
  assert.match(first, /<title>Views of the last 7 days<\/title>/)
  assert.match(second, /: 1\/1\n.*>1 view</)
  assert.match(third, /: 0\/0\n.*>0 views</)

  await service.end('SIGTERM')
  // As if the counts had been asked for a while ago.
  const stale = 'config(["postviews.cache.fresh_seconds" => 0]);'
  const provider = (rest: string) =>
    `<?php\nnamespace App\\Providers;\nclass AppServiceProvider extends \\Illuminate\\Support\\ServiceProvider\n{\n    public function boot(): void\n    {\n        ${rest}\n    }\n}\n`
  await app.write('app/Providers/AppServiceProvider.php', provider(stale))
  await server.stop()
  const later = await serving(t, app, 'php-fpm with nginx')
  const { items } = { items: (await page(`${later.url}/posts`)).text.split('<li>').slice(1) }
  assert.match(
    items[0]!,
    /: 3\/2\n<data value="3" title="3 views, as of [^"]*" data-stale="true" class="postviews-count">3 views</,
  )
  assert.match(
    app.log(),
    /postviews: api\.unavailable: the internal API at http:\/\/127\.0\.0\.1:\d+ cannot be reached/,
  )

  await php(app, 'cache()->flush();')
  const unknown = (await page(`${later.url}/posts`)).text
  assert.equal(unknown.match(/: unknown\/unknown/g)?.length, 3)
  assert.equal(unknown.match(/aria-label="The [\w ]* not available at the moment"/g)?.length, 6)
  assert.doesNotMatch(unknown, /<data|<svg/)
  assert.ok(!app.log().includes(API_KEY))
})

test('the dashboard of docs/laravel.md shows the counts of its posts', async t => {
  const { app } = await startReading(t, await MYSQL.create(t))
  const snippets = snippetsOf().filter(({ section, file }) => section === 'Reading' && file !== null)
  assert.equal(snippets.length, 2)
  for (const snippet of snippets) await follow(app, snippet)
  await app.write(
    'routes/web.php',
    "<?php\nIlluminate\\Support\\Facades\\Route::get('/dashboard', App\\Http\\Controllers\\DashboardController::class);\n",
  )
  const server = await serving(t, app, 'php -S')
  const { status, text } = await page(`${server.url}/dashboard`)
  assert.equal(status, 200, app.log())
  assert.deepEqual(
    [...text.matchAll(/<p>(.*?): <data value="(\d+)".*?>([\w ]+)<\/data> <svg/g)].map(match =>
      match.slice(1),
    ),
    [
      ['Hello, world', '3', '3 views'],
      ['Second', '1', '1 view'],
      ['Third', '0', '0 views'],
    ],
  )
  assert.match(text, /Most read this week: Hello, world</)
})

test('an API that hangs holds up one page for its timeout, and no page after it', async t => {
  let taken = 0
  const hanging = createServer(socket => {
    taken++
    socket.on('error', () => {})
    atEnd(t, () => {
      socket.destroy()
    })
  })
  await new Promise<void>(resolve => hanging.listen(0, '127.0.0.1', resolve))
  atEnd(t, () => {
    hanging.close()
  })
  const { port } = hanging.address() as AddressInfo
  const app = await laravelApp(t, {
    env: {
      POSTVIEWS_API_URL: `http://127.0.0.1:${port}`,
      POSTVIEWS_API_KEY: API_KEY,
      CACHE_STORE: 'file',
    },
    files: LIST,
  })
  const server = await serving(t, app, 'php-fpm with nginx')
  const first = await page(`${server.url}/posts`)
  const others = [await page(`${server.url}/posts`), await page(`${server.url}/posts`)]
  t.diagnostic(`${[first, ...others].map(({ tookMs }) => Math.round(tookMs)).join(', ')} ms`)
  assert.ok(
    [first, ...others].every(({ status, text }) => status === 200 && text.includes('unknown/unknown')),
  )
  assert.equal(taken, 1)
  assert.ok(others.every(({ tookMs }) => tookMs < first.tookMs))
  assert.match(app.log(), /did not answer within 2 s/)
})

const FEATURE_TEST = `<?php

namespace Tests\\Feature;

use App\\Models\\Post;
use Illuminate\\Foundation\\Testing\\RefreshDatabase;
use Illuminate\\Support\\Facades\\Http;
use Postviews\\Laravel\\Facades\\Postviews;
use Tests\\TestCase;

class ListTest extends TestCase
{
    use RefreshDatabase;

    public function test_a_page_shows_no_count_of_the_service_of_the_developer(): void
    {
        Http::preventStrayRequests();
        Post::create(['slug' => 'a-post', 'title' => 'A post']);
        $this->get('/posts')->assertOk()->assertSee('A post: unknown/unknown');
    }

    public function test_a_page_shows_the_count_that_is_named(): void
    {
        $post = Post::create(['slug' => 'a-post', 'title' => 'A post', 'uuid' => '${SECOND}']);
        Postviews::fake()->views($post, 1234);
        $this->get('/posts')->assertOk()->assertSee('A post: 1234/1234');
    }
}
`

test('a feature test reads nothing of the service that .env names', async t => {
  let taken = 0
  const service = createServer(() => taken++)
  await new Promise<void>(resolve => service.listen(0, '127.0.0.1', resolve))
  atEnd(t, () => service.close())
  const app = await laravelApp(t, {
    env: {
      POSTVIEWS_API_URL: `http://127.0.0.1:${(service.address() as AddressInfo).port}`,
      POSTVIEWS_API_KEY: API_KEY,
    },
    files: { ...LIST, 'tests/Feature/ListTest.php': FEATURE_TEST },
  })
  const { code, stdout, stderr } = await app.test()
  assert.equal(code, 0, stdout + stderr)
  assert.match(stdout, /OK \(2 tests/)
  assert.equal(taken, 0)
})

test('models read the tables of a service as they are, and write nothing', async t => {
  const database = await MYSQL.create(t)
  const { app } = await startReading(t, database)
  const { hostname, port, username, password, pathname } = new URL(database.url)
  // The application's own session is in another zone, in which MySQL would tell the times.
  const models = `
    use Postviews\\Laravel\\Models\\PostView;
    use Postviews\\Laravel\\Models\\PostViewAggregate;
    config(['app.timezone' => 'Asia/Kolkata', 'postviews.models.connection' => 'views', 'database.connections.views' => [
      'driver' => 'mysql', 'host' => '${hostname}', 'port' => ${port}, 'database' => '${pathname.slice(1)}',
      'username' => '${decodeURIComponent(username)}', 'password' => '${decodeURIComponent(password)}',
      'charset' => 'utf8mb4', 'timezone' => '+05:30',
    ]]);
    date_default_timezone_set('Asia/Kolkata');
  `
  const views = (await json(
    app,
    `${models} echo PostView::forPost(App\\Models\\Post::find(1))->orderBy('id')->get()->toJson();`,
  )) as Record<string, unknown>[]
  const stored = await database.query(
    `SELECT id, HEX(event_id) AS event_id, DATE_FORMAT(day, '%Y-%m-%d') AS day, UNIX_TIMESTAMP(viewed_at) AS viewed_at
     FROM post_views WHERE post_uuid = '1' ORDER BY id`,
  )
  assert.equal(views.length, 3)
  assert.deepEqual(
    views.map(({ id, event_id, day, viewed_at }) => ({
      id,
      event_id: String(event_id).replaceAll('-', '').toUpperCase(),
      day,
      viewed_at: Date.parse(String(viewed_at)) / 1_000,
    })),
    stored.map(row => ({ ...row, viewed_at: Number(row['viewed_at']) })),
  )
  assert.deepEqual(
    views.map(({ ip, user_id, logged_in, bot, visitor }) => [ip, user_id, logged_in, bot, visitor]).sort(),
    [
      ['203.0.113.1', 7, true, false, undefined],
      ['203.0.113.1', 7, true, false, undefined],
      ['203.0.113.2', null, false, false, undefined],
    ],
  )
  assert.deepEqual(
    await json(
      app,
      `${models} echo json_encode([PostView::withEventId('${views[2]!['event_id']}')->sole()->id, strlen(PostView::first()->visitor),
        PostViewAggregate::forPost(1)->sole()->only(['post_uuid', 'view_count', 'unique_views', 'logged_in', 'bots'])]);`,
    ),
    [views[2]!['id'], 32, { post_uuid: '1', view_count: 3, unique_views: 2, logged_in: 2, bots: 0 }],
  )
  const [day] = (await json(app, `${models} echo PostViewAggregate::forPost(1)->get()->toJson();`)) as Record<
    string,
    unknown
  >[]
  assert.equal(day!['date'], views[0]!['day'])
  assert.equal(Date.parse(String(day!['first_viewed_at'])), Date.parse(String(views[0]!['viewed_at'])))

  // From an application in Berlin, whose clock is one or two hours ahead of what is stored.
  for (const session of ['+05:30', '+00:00']) {
    const berlin = `${models.replace('+05:30', session).replaceAll('Asia/Kolkata', 'Europe/Berlin')}
      $now = now(); $ago = fn (int $minutes) => $now->copy()->subMinutes($minutes);`
    assert.deepEqual(
      await json(
        app,
        `${berlin} echo json_encode([
          PostView::where('viewed_at', '>', $ago(30))->count(),
          PostView::where('viewed_at', '<', $ago(30))->count(),
          PostView::whereBetween('viewed_at', [$ago(30), $ago(-30)])->count(),
          PostView::where('id', 0)->orWhere('received_at', '>', $ago(30))->count(),
          PostView::whereIn('viewed_at', PostView::pluck('viewed_at'))->count(),
          PostView::where('viewed_at', '>', gmdate('Y-m-d H:i:s', $ago(30)->getTimestamp()))->count(),
          PostView::where('viewed_at', '>', $ago(30)->getTimestamp())->count(),
          PostView::where('day', Illuminate\\Support\\Carbon::parse('${views[0]!['day']}'))->count(),
          PostViewAggregate::where('last_viewed_at', '>', $ago(30))->count(),
        ]);`,
      ),
      [4, 0, 4, 4, 4, 4, 4, 4, 2],
    )
    assert.match(
      await php(
        app,
        `${berlin} try { PostView::whereDate('viewed_at', $now); } catch (LogicException $error) { echo $error->getMessage(); }`,
      ),
      /use the column day/,
    )
  }

  const refused = await php(
    app,
    `${models} try { PostView::query()->delete(); } catch (LogicException $error) { echo $error->getMessage(); }`,
  )
  assert.match(refused, /read-only/)
  assert.equal((await database.query('SELECT id FROM post_views')).length, 4)
})
