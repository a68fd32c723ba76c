<?php

declare(strict_types=1);

namespace Postviews\Tests\Tracking;

use Illuminate\Support\Env;
use PHPUnit\Framework\AssertionFailedError;
use Postviews\Laravel\AnalyticsApi as AnalyticsApiContract;
use Postviews\Laravel\AnalyticsManager;
use Postviews\Laravel\Facades\AnalyticsApi;
use Postviews\Publishing\Tracker;
use Postviews\Tests\MemoryTransport;
use Postviews\Tests\Post;
use Postviews\Tests\TestCase;

final class AnalyticsManagerTest extends TestCase
{
    public function test_a_plain_feature_test_of_an_application_never_publishes(): void
    {
        config(['postviews.amqp.url' => 'amqp://guest:guest@127.0.0.1:1', 'postviews.amqp.rest_path' => null]);
        AnalyticsApi::trackView(['post_id' => 1]);
        self::assertTrue(AnalyticsApi::flush());
        self::assertSame([], $this->logged);
        self::assertSame('null', app(AnalyticsManager::class)->getDefaultDriver());
    }

    public function test_outside_of_tests_the_driver_is_amqp_and_a_missing_url_is_told_at_the_first_use(): void
    {
        $this->app['env'] = 'production';
        self::assertSame('amqp', app(AnalyticsManager::class)->getDefaultDriver());
        AnalyticsApi::trackView(['post_id' => 1]);
        self::assertFalse(AnalyticsApi::flush());
        self::assertSame(
            ['postviews: broker.lost: the URL of the broker is not an amqp:// or amqps:// URL'],
            $this->loggedOf('broker.lost'),
        );
    }

    public function test_the_driver_relay_holds_in_tests_only_if_it_is_said(): void
    {
        config(['postviews.driver' => 'relay']);
        self::assertSame('null', app(AnalyticsManager::class)->getDefaultDriver());
        config(['postviews.in_tests' => true]);
        self::assertSame('relay', app(AnalyticsManager::class)->getDefaultDriver());
    }

    public function test_a_relay_that_is_away_is_told_once_and_the_views_go_by_what_is_configured(): void
    {
        $this->app['env'] = 'production';
        $socket = sys_get_temp_dir() . '/postviews-no-relay.sock';
        config(['postviews.driver' => 'relay', 'postviews.relay.socket' => $socket]);
        AnalyticsApi::trackView(['post_id' => 1]);
        self::assertFalse(AnalyticsApi::flush());
        self::assertFalse(AnalyticsApi::flush());
        self::assertCount(1, $this->loggedOf('relay.lost'));
        self::assertStringContainsString("there is no socket $socket: start postviews-relay", $this->loggedOf('relay.lost')[0]);
        self::assertSame([], $this->loggedOf('broker.lost'));

        config(['postviews.amqp.url' => 'amqp://guest:guest@127.0.0.1:1']);
        app(AnalyticsManager::class)->forgetDrivers();
        AnalyticsApi::trackView(['post_id' => 1]);
        self::assertFalse(AnalyticsApi::flush());
        self::assertCount(1, $this->loggedOf('broker.lost'));
        // Not logged again: for the new driver, another process has logged it.
        self::assertCount(1, $this->loggedOf('relay.lost'));

        config(['postviews.relay.fallback' => null]);
        self::assertNull(app(AnalyticsManager::class)->fallback());
        config(['postviews.relay.fallback' => 'kafka']);
        app(AnalyticsManager::class)->forgetDrivers();
        AnalyticsApi::trackView(['post_id' => 1]);
        self::assertSame(
            ['postviews: view.dropped: 1 view: the fallback of the relay is neither amqp nor null'],
            array_slice($this->loggedOf('view.dropped'), -1),
        );
    }

    public function test_a_driver_that_there_is_not_fails_no_page(): void
    {
        config(['postviews.driver' => 'rabbit']);
        AnalyticsApi::trackView(['post_id' => 1]);
        self::assertFalse(AnalyticsApi::flush());
        self::assertSame(
            ['postviews: view.dropped: 1 view: there is no driver rabbit'],
            $this->loggedOf('view.dropped'),
        );
        config(['postviews' => ['driver' => 'amqp', 'in_tests' => true, 'amqp' => ['url' => 5672]]]);
        AnalyticsApi::trackView(['post_id' => 1]);
        self::assertCount(2, $this->loggedOf('view.dropped'));
    }

    public function test_the_driver_amqp_of_an_env_file_holds_in_tests_only_if_it_is_said(): void
    {
        config(['postviews.driver' => 'amqp']);
        self::assertSame('null', app(AnalyticsManager::class)->getDefaultDriver());
        config(['postviews.in_tests' => true]);
        self::assertSame('amqp', app(AnalyticsManager::class)->getDefaultDriver());
    }

    public function test_an_empty_driver_of_the_environment_is_the_usual_one(): void
    {
        config(['postviews.driver' => '']);
        self::assertSame('null', app(AnalyticsManager::class)->getDefaultDriver());
        $this->app['env'] = 'production';
        self::assertSame('amqp', app(AnalyticsManager::class)->getDefaultDriver());
    }

    public function test_a_driver_null_of_the_environment_is_the_driver_null(): void
    {
        $this->app['env'] = 'production';
        Env::getRepository()->set('POSTVIEWS_DRIVER', 'null');
        try {
            config(['postviews' => require __DIR__ . '/../../config/postviews.php']);
        } finally {
            Env::getRepository()->clear('POSTVIEWS_DRIVER');
        }
        self::assertSame('null', app(AnalyticsManager::class)->getDefaultDriver());
    }

    public function test_the_driver_log_says_what_is_counted_and_not_who_reads(): void
    {
        config(['postviews.driver' => 'log']);
        $lines = [];
        \Illuminate\Support\Facades\Log::listen(function ($message) use (&$lines): void {
            $lines[] = $message->message . json_encode($message->context);
        });
        AnalyticsApi::trackView(['post_id' => 42, 'user_id' => 7, 'ip' => '203.0.113.7', 'user_agent' => 'Firefox']);
        AnalyticsApi::flush();
        self::assertCount(1, $lines);
        self::assertStringContainsString('"post_uuid":"42","logged_in":true', $lines[0]);
        foreach (['203.0.113.7', 'Firefox', '"7"'] as $personal) {
            self::assertStringNotContainsString($personal, $lines[0]);
        }
    }

    public function test_a_driver_of_ones_own_is_a_transport_of_ones_own(): void
    {
        $transport = new MemoryTransport();
        AnalyticsApi::extend('memory', fn () => new Tracker($transport));
        config(['postviews.driver' => 'memory']);
        app(AnalyticsApiContract::class)->trackView(['post_id' => 42]);
        AnalyticsApi::flushOrFail();
        self::assertCount(1, $transport->taken);
    }

    public function test_the_fake_says_what_it_expected_and_what_was_refused(): void
    {
        AnalyticsApi::fake();
        app(AnalyticsApiContract::class)->trackView(['post_id' => 42]);
        app(AnalyticsApiContract::class)->trackView(['post_id' => 0]);
        AnalyticsApi::assertTracked(Post::known(42));
        AnalyticsApi::assertTrackedTimes(42, 1);
        AnalyticsApi::assertNotTracked(43);
        foreach (
            [
                fn () => AnalyticsApi::assertTracked(43),
                fn () => AnalyticsApi::assertTrackedTimes(42, 2),
                fn () => AnalyticsApi::assertNothingTracked(),
                fn () => AnalyticsApi::assertNotTracked(42),
            ] as $failing
        ) {
            try {
                $failing();
            } catch (AssertionFailedError $error) {
                $said[] = $error->getMessage();
            }
        }
        self::assertCount(4, $said ?? []);
        self::assertStringContainsString('Tracked: 42.', $said[0]);
        self::assertStringContainsString('A view was refused: post_uuid (or post_id) is not a UUID', $said[0]);
    }
}
