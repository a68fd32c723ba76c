/** docs/laravel.md, as a newcomer follows it: its commands are typed, its snippets are put where it says. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBareApp, follow, type LaravelApp, stepsOf } from '../../tools/laravel/app.ts'
import { type Snippet, snippetsOf, withSnippet } from '../../tools/laravel/document.ts'
import { servePhp } from '../../tools/laravel/servers.ts'
import { testRabbitmq } from '../../tools/stack/for-tests.ts'
import { atEnd } from '../support/at-end.ts'
import { inLaravelRoot, laravelApp, page, serving } from '../support/laravel-app.ts'
import { BLOG, startCounting } from '../support/laravel-visits.ts'
import { API_KEY } from '../support/service.ts'
import { until } from '../support/until.ts'

function snippetFor(file: string): Snippet {
  const snippet = snippetsOf().find(each => each.file === file && each.section !== stepsOf()[0]!.section)
  assert.ok(snippet, `no snippet for ${file}`)
  return snippet
}

/** The application as that one snippet leaves it. */
async function applied(app: LaravelApp, file: string): Promise<void> {
  await follow(app, snippetFor(file))
}

test('its five steps lead from composer require to the first counted view', async t => {
  const { url } = await testRabbitmq()
  const { service } = await startCounting(t, url)
  const app = await createBareApp()
  atEnd(t, () => app.remove())
  const mine = [
    ['POSTVIEWS_AMQP_URL', url],
    ['POSTVIEWS_API_URL', service.url],
    ['POSTVIEWS_API_KEY', API_KEY],
  ] as const
  const since = performance.now()
  const took = () => `${((performance.now() - since) / 1_000).toFixed(1)} s`
  for (const step of stepsOf()) {
    const text = mine.reduce(
      (lines, [name, value]) => lines.replace(new RegExp(`^${name}=.*$`, 'm'), `${name}=${value}`),
      step.text,
    )
    const said = await follow(app, { ...step, text })
    t.diagnostic(`${step.file ?? text.trim()}, after ${took()}\n${said}`)
  }
  const server = await servePhp(app)
  atEnd(t, () => server.stop())
  const post = `${server.url}/posts/hello-world`
  assert.match((await page(post)).text, /Views: /)
  await until('the page shows its first view', async () => {
    // A prefetch is no view, so looking does not change what is looked at.
    const { text } = await page(post, { headers: { 'Sec-Purpose': 'prefetch' } })
    return /Views: (?:<[^>]+>)*\s*1\s*</.test(text)
  })
  t.diagnostic(`counted and shown after ${took()}`)
})

test('each PHP snippet is PHP', async t => {
  const app = await laravelApp(t)
  const snippets = snippetsOf().filter(({ language }) => language === 'php')
  assert.ok(snippets.length >= 6)
  for (const snippet of snippets) {
    const before =
      snippet.file === null ? '' : snippet.file === 'bootstrap/app.php' ? app.read(snippet.file) : ''
    await app.write('snippet.php', withSnippet(before, snippet))
    const { code, stdout } = await inLaravelRoot(app.folder, ['php', '-l', 'snippet.php'])
    assert.equal(code, 0, `${snippet.file}: ${stdout}`)
  }
})

/** Without the middleware, for those who track by hand. */
const ROUTES_BY_HAND = `<?php

use App\\Http\\Controllers\\PostController;
use App\\Models\\Post;
use Illuminate\\Support\\Facades\\Route;

Route::get('/posts/{post}', [PostController::class, 'show']);
Route::get('/trait/{post}', function (Post $post) {
    $post->trackView();

    return 'read';
});
`

test('its controller and its trait track a view each', async t => {
  const { url } = await testRabbitmq()
  const { rows } = await startCounting(t, url)
  const app = await laravelApp(t, {
    env: { POSTVIEWS_AMQP_URL: url },
    files: { ...BLOG, 'routes/web.php': ROUTES_BY_HAND },
  })
  await applied(app, 'app/Models/Post.php')
  await applied(app, 'app/Http/Controllers/PostController.php')
  const server = await serving(t, app, 'php -S')
  for (const path of ['/posts/2', '/trait/2']) {
    assert.equal((await page(server.url + path, { headers: { 'X-User': '7' } })).status, 200, app.log())
  }
  await until('both are counted', async () => (await rows()) === 2)
})

test('its callback leaves out authors on their own posts', async t => {
  const { url } = await testRabbitmq()
  const { rows, database } = await startCounting(t, url)
  const app = await laravelApp(t, { env: { POSTVIEWS_AMQP_URL: url }, files: BLOG })
  await applied(app, 'app/Providers/AppServiceProvider.php')
  const server = await serving(t, app, 'php -S')
  for (const user of ['1', '7']) {
    await page(`${server.url}/posts/hello-world`, { headers: { 'X-User': user } })
  }
  // A post that has no author, and a reader who is nobody.
  await page(`${server.url}/posts/third`)
  await until('the others are counted', async () => (await rows()) >= 2)
  const stored = await database.query('SELECT post_uuid, user_id FROM post_views ORDER BY post_uuid')
  assert.deepEqual(
    stored.map(({ post_uuid, user_id }) => [post_uuid, user_id]),
    [
      ['1', '7'],
      ['3', null],
    ],
  )
})

test('its proxies make the reader’s address true', async t => {
  const { url } = await testRabbitmq()
  const { rows, database } = await startCounting(t, url)
  const app = await laravelApp(t, { env: { POSTVIEWS_AMQP_URL: url }, files: BLOG })
  const server = await serving(t, app, 'php-fpm with nginx')
  const headers = { 'X-Forwarded-For': '198.51.100.66, 203.0.113.9, 10.1.2.3' }
  await page(`${server.url}/posts/third`, { headers })
  await until('it is counted', async () => (await rows()) === 1)
  await server.stop()
  await applied(app, 'bootstrap/app.php')
  const behind = await serving(t, app, 'php-fpm with nginx')
  await page(`${behind.url}/posts/third`, { headers })
  await until('it is counted too', async () => (await rows()) === 2)
  const stored = await database.query('SELECT ip FROM post_views ORDER BY id')
  assert.deepEqual(
    stored.map(({ ip }) => ip),
    ['127.0.0.1', '203.0.113.9'],
  )
})

test('its feature test passes, and fails where the middleware is missing', async t => {
  const app = await laravelApp(t, { files: BLOG })
  await applied(app, 'tests/Feature/PostTest.php')
  const { code, stdout, stderr } = await app.test()
  assert.equal(code, 0, stdout + stderr)
  await app.write('routes/web.php', ROUTES_BY_HAND)
  assert.notEqual((await app.test()).code, 0)
})
