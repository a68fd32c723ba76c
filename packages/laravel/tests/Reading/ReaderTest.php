<?php

declare(strict_types=1);

namespace Postviews\Tests\Reading;

use Carbon\CarbonImmutable;
use Illuminate\Cache\ArrayStore;
use Illuminate\Http\Client\Events\ConnectionFailed;
use Illuminate\Http\Client\Events\RequestSending;
use Illuminate\Http\Client\Events\ResponseReceived;
use Illuminate\Http\Client\Request;
use Illuminate\Support\Facades\Cache;
use Illuminate\Support\Facades\Event;
use Illuminate\Support\Facades\Http;
use Postviews\Laravel\Facades\Postviews;
use Postviews\Laravel\Reading\InternalApi;
use Postviews\Laravel\Reading\PostStatistics;
use Postviews\Tests\Post;
use RuntimeException;

/** What the real API cannot be made to show: the number of requests, and how odd answers are handled. */
final class ReaderTest extends ReadingTestCase
{
    public function test_the_counts_of_a_post(): void
    {
        $this->fakeViews(['0f8fad5b-d9cb-469f-a165-70867728950e' => 1234]);
        $post = Post::known(1, '0F8FAD5B-d9cb-469f-a165-70867728950e');
        self::assertSame(1234, Postviews::views($post));
        self::assertSame(617, Postviews::uniqueViews($post));
        $statistics = Postviews::statistics($post);
        self::assertInstanceOf(PostStatistics::class, $statistics);
        self::assertSame('0f8fad5b-d9cb-469f-a165-70867728950e', $statistics->post);
        self::assertEquals(CarbonImmutable::parse('2026-11-21T12:00:00Z'), $statistics->asOf);
        self::assertFalse($statistics->isStale);
        self::assertSame(1234, json_decode((string) json_encode($statistics), true)['views']);
        // All from one request.
        Http::assertSentCount(1);
        Http::assertSent(fn (Request $request) => $request->hasHeader(InternalApi::KEY_HEADER, self::KEY)
            && str_starts_with($request->url(), 'http://analytics.test:3100/blog/api/v1/posts/views?uuids=0f8fad5b-'));
    }

    public function test_a_post_that_was_never_viewed_has_0_views_and_one_that_cannot_be_read_has_null(): void
    {
        $this->fakeViews([]);
        self::assertSame(0, Postviews::views(42));
        $this->fake(fn () => Http::failedConnection());
        self::assertNull(Postviews::views(43));
    }

    public function test_many_posts_are_one_question_of_up_to_200_in_the_order_given(): void
    {
        $this->fakeViews([7 => 70, 450 => 1]);
        $counts = Postviews::many(range(450, 1));
        self::assertSame(range(450, 1), $counts->keys()->all());
        self::assertSame(70, $counts[7]->views);
        Http::assertSentCount(3);
        // Known counts are not requested again.
        self::assertCount(2, Postviews::many([7, 451, 7]));
        Http::assertSentCount(4);
        Http::assertSent(fn (Request $request) => $request->data() === ['uuids' => '451']);
    }

    public function test_the_counts_of_many_posts_are_asked_for_by_the_post(): void
    {
        $uuid = '0f8fad5b-d9cb-469f-a165-70867728950e';
        $this->fakeViews([$uuid => 6, 7 => 70]);
        $post = Post::known(1, strtoupper($uuid));
        $counts = Postviews::many([$post, Post::known(7)]);
        self::assertSame([6, 70], [$counts->of($post)->views, $counts->of(Post::known(7))->views]);
        self::assertSame([6, 70], [$counts->of(strtoupper($uuid))->views, $counts->of('7')->views]);
        // The ids under which the posts are counted are keys, too.
        self::assertSame([6, 70], [$counts[$uuid]->views, $counts[7]->views]);
        // Not requested, or not a post.
        self::assertNull($counts->of(8));
        self::assertNull($counts->of('a/b'));
        self::assertNull($counts->of(new \stdClass()));
        self::assertCount(30, Postviews::manyDaily([$post])->of($post));
    }

    public function test_what_is_no_post_is_null_and_told_without_it(): void
    {
        $this->fakeViews([42 => 5]);
        $counts = Postviews::many([42, 'a slug that is much longer than thirty-six', 0, new \stdClass(), 43]);
        self::assertSame([5, null, null, null, 0], $counts->map(fn ($post) => $post?->views)->values()->all());
        self::assertSame([42, 'a slug that is much longer than thirty-six', 0, '#3', 43], $counts->keys()->all());
        self::assertNull(Postviews::views('a/b'));
        self::assertNull(Postviews::daily('a/b', from: '2026-11-01'));
        self::assertStringContainsString('a post is a UUID', $this->loggedOf('read.invalid')[0]);
        self::assertStringNotContainsString('thirty-six', implode($this->logged));
        Http::assertSentCount(1);
    }

    public function test_a_count_is_asked_for_again_after_ten_seconds(): void
    {
        $this->fakeViews([42 => 5]);
        Postviews::views(42);
        $this->travel(9)->seconds();
        Postviews::views(42);
        Http::assertSentCount(1);
        $this->fakeViews([42 => 6]);
        $this->travel(2)->seconds();
        self::assertSame(6, Postviews::views(42));
    }

    public function test_while_the_api_is_away_the_last_count_is_given_as_a_stale_one_for_a_day(): void
    {
        $this->fakeViews([42 => 5]);
        Postviews::views(42);
        $this->travel(5)->minutes();
        $this->fake(fn () => Http::failedConnection());
        $statistics = Postviews::statistics(42);
        self::assertTrue($statistics->isStale);
        self::assertSame(5, $statistics->views);
        self::assertSame(5, Postviews::views(42));
        self::assertTrue($statistics->toArray()['is_stale']);
        $this->travel(24)->hours();
        self::assertNull(Postviews::statistics(42));
        self::assertNull(Postviews::views(42));
    }

    public function test_an_api_that_is_away_costs_one_timeout_however_many_counts_are_shown(): void
    {
        $this->fakeAway();
        for ($post = 1; $post <= 20; $post++) {
            self::assertNull(Postviews::views($post));
        }
        self::assertSame(1, $this->asked);
        // Another process knows it from the cache.
        $this->app->forgetScopedInstances();
        self::assertNull(Postviews::views(1));
        self::assertSame(1, $this->asked);
        self::assertCount(1, $this->loggedOf('api.unavailable'));
    }

    public function test_one_process_looks_whether_the_api_is_back_and_then_all_ask_again(): void
    {
        $this->fakeAway();
        Postviews::views(1);
        $this->travel(6)->seconds();
        // While one process asks, another does not.
        $this->onQuestion = function (): void {
            $this->onQuestion = null;
            $this->app->forgetScopedInstances();
            self::assertNull(Postviews::views(2));
        };
        self::assertNull(Postviews::views(1));
        self::assertSame(2, $this->asked);
        $this->travel(6)->seconds();
        $this->fakeViews([1 => 3]);
        $this->app->forgetScopedInstances();
        self::assertSame(3, Postviews::views(1));
        $this->app->forgetScopedInstances();
        self::assertSame(0, Postviews::views(2));
    }

    public function test_a_wrong_question_is_told_with_what_is_allowed_and_keeps_nobody_from_asking_others(): void
    {
        Http::fake([
            '*daily*' => Http::response(['status' => 400, 'detail' => 'must not be after to', 'parameter' => 'from'], 400),
            '*/posts/views*' => $this->answer([42 => 5]),
        ]);
        self::assertNull(Postviews::daily(42, from: '2026-11-02', to: '2026-11-01'));
        self::assertStringContainsString('must not be after to', $this->loggedOf('read.invalid')[0]);
        self::assertSame(5, Postviews::views(42));
    }

    public function test_a_wrong_key_is_told_without_it(): void
    {
        Http::fake(fn () => Http::response(['status' => 401, 'detail' => 'the key is missing or wrong'], 401));
        self::assertNull(Postviews::views(42));
        self::assertStringContainsString('POSTVIEWS_API_KEY', $this->loggedOf('api.unavailable')[0]);
        self::assertStringNotContainsString(self::KEY, implode($this->logged));
    }

    public function test_what_is_not_the_api_has_no_counts(): void
    {
        $complete = $this->posts([42 => 5])[0];
        $answers = [
            '<html>Welcome to nginx</html>',
            '[]',
            '{}',
            '{"posts": [], "as_of": "2026-11-21T12:00:00Z"}',
            (string) json_encode(['posts' => [['views' => '5'] + $complete], 'as_of' => '2026-11-21T12:00:00Z']),
            (string) json_encode(['posts' => [['views' => null] + $complete], 'as_of' => '2026-11-21T12:00:00Z']),
            (string) json_encode(['posts' => [['post_uuid' => '43'] + $complete], 'as_of' => '2026-11-21T12:00:00Z']),
            (string) json_encode(['posts' => [$complete], 'as_of' => 'soon']),
            (string) json_encode(['posts' => [$complete, $complete], 'as_of' => '2026-11-21T12:00:00Z']),
        ];
        foreach ($answers as $answer) {
            Cache::flush();
            $this->app->forgetScopedInstances();
            Http::swap(new \Illuminate\Http\Client\Factory());
            Http::fake(fn () => Http::response($answer));
            self::assertNull(Postviews::views(42), $answer);
        }
        foreach ([204, 301, 302, 404, 500, 503] as $status) {
            Cache::flush();
            $this->app->forgetScopedInstances();
            Http::swap(new \Illuminate\Http\Client\Factory());
            Http::fake(fn () => Http::response(['posts' => [$complete], 'as_of' => '2026-11-21T12:00:00Z'], $status));
            self::assertNull(Postviews::views(42), (string) $status);
        }
    }

    public function test_settings_that_are_missing_or_wrong_are_told_and_ask_nobody(): void
    {
        Http::fake(fn () => $this->fail('asked'));
        $settings = [
            ['', 'key', 'POSTVIEWS_API_URL is not set'],
            ['analytics:3100', 'key', 'POSTVIEWS_API_URL is not an http:// or https:// URL'],
            ['http://user:hidden@analytics:3100', 'key', 'POSTVIEWS_API_URL must not contain a user or a password'],
            ['http://analytics:3100/?key=hidden', 'key', 'POSTVIEWS_API_URL must not contain a ? or a #'],
            ['http://analytics:3100', '', 'POSTVIEWS_API_KEY is not set'],
            ['http://analytics:3100', "hidden\n", 'POSTVIEWS_API_KEY has characters'],
        ];
        foreach ($settings as [$url, $key, $told]) {
            config(['postviews.api.url' => $url, 'postviews.api.key' => $key]);
            $this->app->forgetScopedInstances();
            $this->logged = [];
            Cache::flush();
            self::assertNull(Postviews::views(42));
            self::assertNull(Postviews::top());
            self::assertCount(1, $this->logged);
            self::assertStringContainsString($told, $this->logged[0]);
            self::assertStringNotContainsString('hidden', $this->logged[0]);
        }
    }

    public function test_the_url_may_be_the_one_that_the_service_prints_which_ends_in_api_v1(): void
    {
        foreach (['', '/', '/api/v1', '/api/v1/', '/blog', '/blog/api/v1'] as $path) {
            config(['postviews.api.url' => "http://analytics.test:3100$path"]);
            $this->app->forgetScopedInstances();
            Cache::flush();
            $this->fakeViews([42 => 5]);
            self::assertSame(5, Postviews::views(42), $path);
            $blog = str_starts_with($path, '/blog') ? '/blog' : '';
            self::assertSame("http://analytics.test:3100$blog/api/v1/posts/views?uuids=42", Http::recorded()->last()[0]->url());
        }
    }

    public function test_a_page_survives_a_listener_that_throws_and_a_test_sees_a_request_that_it_forbids(): void
    {
        try {
            Postviews::views(42);
            self::fail('it was asked');
        } catch (RuntimeException $error) {
            self::assertStringStartsWith('Attempted request to [http://analytics.test:3100', $error->getMessage());
        }
        $this->fakeViews([42 => 5]);
        Event::listen(RequestSending::class, fn () => throw new RuntimeException('out of order'));
        self::assertNull(Postviews::views(42));
        self::assertStringContainsString('could not be asked: out of order', $this->loggedOf('api.unavailable')[0]);
    }

    public function test_a_page_survives_its_cache(): void
    {
        Cache::extend('broken', fn () => Cache::repository(new class extends ArrayStore {
            public function get($key): mixed
            {
                throw new RuntimeException('no connection to the cache');
            }

            public function put($key, $value, $seconds): bool
            {
                throw new RuntimeException('no connection to the cache');
            }
        }));
        config(['cache.stores.broken' => ['driver' => 'broken'], 'postviews.cache.store' => 'broken']);
        $this->fakeViews([42 => 5]);
        self::assertSame(5, Postviews::views(42));
        self::assertSame(['postviews: cache.failed: no connection to the cache'], $this->loggedOf('cache.failed'));
        $this->fakeAway();
        self::assertNull(Postviews::views(42));
        self::assertNull(Postviews::views(43));
        self::assertSame(1, $this->asked);
    }

    public function test_ids_that_differ_in_case_alone_are_two_posts_to_any_cache(): void
    {
        $this->fakeViews(['aB1' => 1, 'Ab1' => 2]);
        Postviews::many(['aB1', 'Ab1']);
        $store = (fn (): array => $this->storage)->call(Cache::store()->getStore());
        self::assertCount(2, array_unique(array_map(strtolower(...), array_keys($store))));
        self::assertSame([1, 2], [Postviews::views('aB1'), Postviews::views('Ab1')]);
    }

    public function test_the_days_of_a_post_and_their_sums(): void
    {
        $this->fakeViews([42 => 5]);
        $days = Postviews::daily(42, days: 3);
        self::assertSame(['2026-11-19', '2026-11-21', 'UTC'], [$days->from, $days->to, $days->timezone]);
        self::assertSame([1, 2, 3], $days->days->pluck('views')->all());
        self::assertSame([6, 3, 3], [$days->views(), $days->uniqueViews(), count($days)]);
        self::assertSame('2026-11-19', [...$days][0]->date);
        Http::assertSent(fn (Request $request) => $request->data() == ['uuids' => '42', 'days' => 3]);
        Postviews::manyDaily(range(1, 120), days: 400);
        Http::assertSentCount(1 + 3); // posts times days at most 20,000
    }

    public function test_days_of_which_a_number_is_not_known_have_no_sum_of_it(): void
    {
        Http::fake(fn () => Http::response(json_encode($this->days(42, [1, 2], unique: null))));
        $days = Postviews::daily(42, from: CarbonImmutable::parse('2026-11-01'), to: '2026-11-02');
        self::assertSame(3, $days->views());
        self::assertNull($days->uniqueViews());
        Http::assertSent(fn (Request $request) => str_contains($request->url(), '/posts/42/views/daily')
            && $request->data() === ['from' => '2026-11-01', 'to' => '2026-11-02']);
    }

    public function test_neither_listeners_nor_errors_nor_dumps_have_the_key(): void
    {
        $events = [];
        Event::listen([RequestSending::class, ResponseReceived::class, ConnectionFailed::class], function ($event) use (&$events) {
            $events[] = $event::class;
            self::assertFalse($event->request->hasHeader(InternalApi::KEY_HEADER));
            self::assertStringNotContainsString(self::KEY, print_r($event->exception ?? null, true));
        });
        $this->fakeViews([42 => 5]);
        Postviews::views(42);
        $this->fake(fn () => Http::failedConnection());
        Postviews::views(43);
        self::assertSame(
            [RequestSending::class, ResponseReceived::class, RequestSending::class, ConnectionFailed::class],
            $events,
        );
        $api = app(InternalApi::class);
        ob_start();
        var_dump($api);
        self::assertStringNotContainsString(self::KEY, ob_get_clean() . print_r($api, true));
        try {
            $api->get('status');
            self::fail('it is away');
        } catch (\Postviews\Laravel\Reading\ApiFailed $error) {
            self::assertNull($error->getPrevious());
            self::assertStringNotContainsString(self::KEY, print_r($error->getTrace(), true));
        }
    }
}
