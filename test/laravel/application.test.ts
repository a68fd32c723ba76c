/** A developer's daily life with the package: caches, tests, deployment. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testRabbitmq } from '../../tools/stack/for-tests.ts'
import { atEnd } from '../support/at-end.ts'
import { type LaravelApp, laravelApp, page, serving } from '../support/laravel-app.ts'
import { assertCounted, BLOG, makeVisits, startCounting } from '../support/laravel-visits.ts'
import { startTcpProxy } from '../support/tcp-proxy.ts'

async function artisan(app: LaravelApp, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await app.artisan(...args)
  assert.deepEqual([code, stderr], [0, ''], stdout)
  return stdout
}

for (const command of ['optimize', 'config:cache']) {
  test(`counts exactly after artisan ${command}`, async t => {
    const { url } = await testRabbitmq()
    const counting = await startCounting(t, url)
    const app = await laravelApp(t, { env: { POSTVIEWS_AMQP_URL: url }, files: BLOG })
    await artisan(app, command)
    // What is cached is what counts from here on.
    await app.write('.env', app.read('.env').replaceAll(/^POSTVIEWS_.*$/gm, ''))
    const server = await serving(t, app, 'php-fpm with nginx')
    await assertCounted(counting, await makeVisits(server.url, 1, 2))
    await artisan(app, 'optimize:clear')
  })
}

const PLAIN_TEST = `<?php

namespace Tests\\Feature;

use App\\Models\\Post;
use Illuminate\\Foundation\\Testing\\RefreshDatabase;
use Postviews\\Laravel\\AnalyticsApi;
use Tests\\TestCase;

class PlainTest extends TestCase
{
    use RefreshDatabase;

    public function test_a_post_can_be_read(): void
    {
        Post::create(['slug' => 'a-post', 'title' => 'A post']);

        $this->get('/posts/a-post')->assertOk();

        app(AnalyticsApi::class)->trackView(['post_id' => 1]);
        $this->assertTrue(app(AnalyticsApi::class)->flush());
    }
}
`

test('a feature test that knows nothing of postviews publishes nothing', async t => {
  const { url } = await testRabbitmq()
  const proxy = await startTcpProxy(Number(new URL(url).port))
  atEnd(t, () => proxy.close())
  const app = await laravelApp(t, {
    env: { POSTVIEWS_AMQP_URL: proxy.through(url), POSTVIEWS_DRIVER: 'amqp' },
    files: { ...BLOG, 'tests/Feature/PlainTest.php': PLAIN_TEST },
  })
  const { code, stdout, stderr } = await app.test()
  assert.equal(code, 0, stdout + stderr)
  assert.match(stdout, /OK \(1 test, 2 assertions\)/)
  assert.equal(proxy.taken, 0)

  // It is the environment that keeps it from doing so, not the test.
  await app.write(
    'phpunit.xml',
    app.read('phpunit.xml').replace('</php>', '<env name="POSTVIEWS_IN_TESTS" value="true"/></php>'),
  )
  assert.equal((await app.test()).code, 0)
  assert.ok(proxy.taken > 0)
})

test('a wrong setting breaks no page, and is told in the log without the password', async t => {
  for (const url of ['', 'https://guest:hidden@broker.example', 'amqp://']) {
    const app = await laravelApp(t, { env: { POSTVIEWS_AMQP_URL: url }, files: BLOG })
    const server = await serving(t, app, 'php -S')
    assert.equal((await page(`${server.url}/posts/third`)).status, 200)
    await server.stop()
    assert.match(app.log(), /postviews: \w+\.\w+/, `nothing is told of "${url}"`)
    assert.ok(!app.log().includes('hidden'))
  }
})

test('artisan postviews:install publishes the configuration, which is then the application’s own', async t => {
  const app = await laravelApp(t)
  await artisan(app, 'postviews:install')
  assert.match(app.read('config/postviews.php'), /POSTVIEWS_AMQP_URL/)
  await artisan(app, 'config:cache')
  await artisan(app, 'postviews:install')
})
