<?php

declare(strict_types=1);

namespace Postviews\Tests\Reading;

use Illuminate\Database\Eloquent\Collection;
use Illuminate\Support\Facades\Blade;
use Illuminate\Support\Facades\Http;
use Postviews\Laravel\Facades\Postviews;
use Postviews\Tests\Post;
use Postviews\Tests\TestCase;

/** What an application's tests see when `.env` names the developer's service. */
final class UnderTestTest extends TestCase
{
    protected function setUp(): void
    {
        parent::setUp();
        config(['postviews.api.url' => 'http://analytics.test:3100', 'postviews.api.key' => 'key']);
    }

    public function test_nobody_is_asked_and_no_count_is_known(): void
    {
        Http::preventStrayRequests();
        self::assertNull(Postviews::views(42));
        self::assertNull(Postviews::daily(42));
        self::assertNull(Postviews::daily(42, from: '2026-11-01'));
        self::assertNull(Postviews::top());
        self::assertNull(Postviews::breakdown(42, 'source'));
        self::assertNull(Postviews::siteHourly());
        self::assertSame([null], Postviews::many([42])->values()->all());
        self::assertNull((new Collection([Post::known(42)]))->loadViews()->first()->views);
        self::assertStringContainsString('>–<', Blade::render('<x-postviews-count :post="42" /><x-postviews-sparkline :post="42" />'));
        // Nothing is logged, because this is intended.
        self::assertSame([], $this->logged);
    }

    public function test_counts_that_a_test_names_are_read(): void
    {
        Postviews::fake([42 => 5]);
        self::assertSame(5, Postviews::views(42));
    }

    public function test_a_service_of_the_tests_is_asked_where_the_settings_say_so(): void
    {
        config(['postviews.api.in_tests' => true]);
        Http::fake(fn () => Http::response('', 503));
        self::assertNull(Postviews::views(42));
        Http::assertSentCount(1);
    }

    public function test_outside_of_tests_it_is_asked(): void
    {
        $this->app['env'] = 'production';
        Http::fake(fn () => Http::response('', 503));
        self::assertNull(Postviews::views(42));
        Http::assertSentCount(1);
    }
}
