/** However a Laravel application is run, its views are counted exactly: those that are views, and nothing else. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ViewEvent } from '@postviews/client/src/index.ts'
import { testRabbitmq } from '../../tools/stack/for-tests.ts'
import { laravelApp, page, serving, WAYS, working } from '../support/laravel-app.ts'
import { assertCounted, BLOG, makeVisits, startCounting } from '../support/laravel-visits.ts'
import { eventsOf, takeMessages } from '../support/published.ts'
import { declareQueues } from '../support/system.ts'
import { until } from '../support/until.ts'
import { FIREFOX } from '../support/views.ts'

const TIMES = 6
const AT_ONCE = 3

for (const way of Object.keys(WAYS) as (keyof typeof WAYS)[]) {
  test(`under ${way} every view is counted once, and what is none is not`, async t => {
    const { url } = await testRabbitmq()
    const counting = await startCounting(t, url)
    const app = await laravelApp(t, { env: { POSTVIEWS_AMQP_URL: url }, files: BLOG })
    const server = await serving(t, app, way)
    const expected = await makeVisits(server.url, TIMES, AT_ONCE)
    await assertCounted(counting, expected)
    // What was too much would have come before this one.
    await page(`${server.url}/posts/hello-world`, { headers: { 'X-User': '999' } })
    await assertCounted(counting, new Map([...expected, ['1,999,1', 1]]))
    assert.doesNotMatch(app.log(), /postviews: /)
  })
}

test('a view is sent with what the contract has of it, and nothing else', async t => {
  const { url } = await testRabbitmq()
  await declareQueues(url)
  const app = await laravelApp(t, { env: { POSTVIEWS_AMQP_URL: url }, files: BLOG })
  const server = await serving(t, app, 'php-fpm with nginx')
  await page(`${server.url}/posts/second?utm_source=news&token=secret`, {
    headers: { 'User-Agent': FIREFOX, Referer: 'https://example.org/', 'X-User': '7', Host: 'blog.example' },
  })
  const events: ViewEvent[] = []
  await until('it is published', async () => {
    events.push(...eventsOf(await takeMessages(url)))
    return events.length > 0
  })
  assert.equal(events.length, 1)
  const { event_id, timestamp, ...event } = events[0]!
  assert.deepEqual(event, {
    post_uuid: '0f8fad5b-d9cb-469f-a165-70867728950e',
    user_id: '7',
    logged_in: true,
    ip: '127.0.0.1',
    user_agent: FIREFOX,
    referer: 'https://example.org/',
    url: 'http://blog.example/posts/second?utm_source=news',
  })
  assert.ok(Math.abs(Date.parse(String(timestamp)) - Date.now()) < 60_000)
  assert.match(String(event_id), /^[0-9a-f-]{36}$/)
})

const JOB = `<?php

namespace App\\Jobs;

use Illuminate\\Contracts\\Queue\\ShouldQueue;
use Illuminate\\Foundation\\Queue\\Queueable;
use Postviews\\Laravel\\AnalyticsApi;

class TrackReading implements ShouldQueue
{
    use Queueable;

    public function __construct(private int $user)
    {
    }

    public function handle(AnalyticsApi $analyticsApi): void
    {
        $analyticsApi->trackView(['post_id' => 3, 'user_id' => $this->user]);
        if ($this->user === 5) {
            throw new \\RuntimeException('a job that fails after it has tracked');
        }
    }
}
`

test('a job’s views are sent when it is done, by a worker that goes on', async t => {
  const { url } = await testRabbitmq()
  const counting = await startCounting(t, url)
  const app = await laravelApp(t, {
    env: { POSTVIEWS_AMQP_URL: url },
    files: { ...BLOG, 'app/Jobs/TrackReading.php': JOB },
  })
  const { code, stderr } = await app.run(
    'foreach (range(1, 20) as $user) App\\Jobs\\TrackReading::dispatch($user);',
  )
  assert.deepEqual([code, stderr], [0, ''])
  // Not before: Laravel gives up a job that it reads from SQLite while another is written.
  await working(t, app, '--tries=1')
  // The worker does not end: each view comes with its job, that of the job that failed as well.
  await assertCounted(counting, new Map(Array.from({ length: 20 }, (_, at) => [`3,${at + 1},1`, 1])))
})

const COMMAND = `<?php

use Illuminate\\Support\\Facades\\Artisan;
use Postviews\\Laravel\\Facades\\AnalyticsApi;

Artisan::command('views:import', function (): void {
    foreach (range(1, 10_000) as $reader) {
        AnalyticsApi::trackView(['post_id' => 3, 'user_id' => $reader % 100 + 1]);
    }
});
`

test('10,000 views in a command are all counted', async t => {
  const { url } = await testRabbitmq()
  const counting = await startCounting(t, url)
  const app = await laravelApp(t, {
    env: { POSTVIEWS_AMQP_URL: url },
    files: { ...BLOG, 'routes/console.php': COMMAND },
  })
  const { code, stdout, stderr } = await app.artisan('views:import')
  assert.deepEqual([code, stderr], [0, ''], stdout)
  await assertCounted(counting, new Map(Array.from({ length: 100 }, (_, at) => [`3,${at + 1},1`, 100])))
  assert.doesNotMatch(app.log(), /view\.dropped/)
})
