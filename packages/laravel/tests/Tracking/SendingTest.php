<?php

declare(strict_types=1);

namespace Postviews\Tests\Tracking;

use Illuminate\Contracts\Console\Kernel;
use Illuminate\Queue\Connectors\SyncConnector;
use Illuminate\Queue\Events\WorkerStopping;
use Illuminate\Queue\Worker;
use Illuminate\Support\Facades\Artisan;
use Illuminate\Support\Facades\Bus;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Event;
use Illuminate\Support\Facades\Log;
use Illuminate\Support\Facades\Queue;
use Illuminate\Support\Facades\Route;
use Illuminate\Support\Facades\Schema;
use PHPUnit\Framework\Attributes\DataProvider;
use Postviews\Laravel\AnalyticsManager;
use Postviews\Laravel\Facades\AnalyticsApi;
use Postviews\Laravel\Tracking\FlushViews;
use Postviews\Publishing\Tracker;
use Postviews\Publishing\View;
use Postviews\Tests\MemoryTransport;
use Postviews\Tests\TestCase;
use RuntimeException;
use WeakReference;

/** When tracked views are sent, and what happens to them when the broker is away. */
final class SendingTest extends TestCase
{
    private MemoryTransport $transport;

    protected function setUp(): void
    {
        parent::setUp();
        $this->transport = $transport = new MemoryTransport();
        AnalyticsApi::extend('memory', static fn () => new Tracker($transport, static function (string $event, string $detail): void {
            Log::warning("postviews: $event: $detail");
        }));
        config([
            'postviews.driver' => 'memory',
            'database.default' => 'testing',
            'database.connections.testing' => ['driver' => 'sqlite', 'database' => ':memory:'],
            'queue.default' => 'database',
            'queue.connections.database.connection' => null,
        ]);
        Schema::create('jobs', function ($table): void {
            $table->id();
            $table->string('queue')->index();
            $table->longText('payload');
            $table->unsignedTinyInteger('attempts');
            $table->unsignedInteger('reserved_at')->nullable();
            $table->unsignedInteger('available_at');
            $table->unsignedInteger('created_at');
        });
    }

    public function test_a_page_sends_when_its_response_is_with_the_reader(): void
    {
        Route::get('/posts/{post}', function (): string {
            AnalyticsApi::trackView(['post_id' => 42]);

            return 'tracked ' . count($this->transport->taken);
        });
        $this->get('/posts/42')->assertSee('tracked 0');
        self::assertCount(1, $this->transport->taken);
    }

    public function test_a_command_sends_at_its_end(): void
    {
        Artisan::command('views:track', fn () => AnalyticsApi::trackView(['post_id' => 42]));
        $kernel = $this->app->make(Kernel::class);
        $input = new \Symfony\Component\Console\Input\ArrayInput(['command' => 'views:track']);
        $status = $kernel->handle($input, new \Symfony\Component\Console\Output\NullOutput());
        self::assertCount(0, $this->transport->taken);
        $kernel->terminate($input, $status);
        self::assertCount(1, $this->transport->taken);
    }

    public function test_a_worker_sends_after_each_job_also_after_one_that_fails(): void
    {
        dispatch(static fn () => AnalyticsApi::trackView(['post_id' => 1]));
        dispatch(static function (): void {
            AnalyticsApi::trackView(['post_id' => 2]);
            throw new RuntimeException('the job fails');
        });
        dispatch(static fn () => null);
        $sent = [];
        Event::listen('Illuminate\Queue\Events\JobProcessing', function () use (&$sent): void {
            $sent[] = count($this->transport->taken);
        });
        Artisan::call('queue:work', ['--stop-when-empty' => true, '--tries' => 1]);
        self::assertSame([0, 1, 2], $sent);
        self::assertCount(2, $this->transport->taken);
    }

    public function test_octane_sends_after_each_request_task_and_tick(): void
    {
        foreach (['RequestTerminated', 'TaskTerminated', 'TickTerminated'] as $number => $event) {
            AnalyticsApi::trackView(['post_id' => 42]);
            event("Laravel\\Octane\\Events\\$event");
            self::assertCount($number + 1, $this->transport->taken, $event);
        }
    }

    public function test_without_a_queue_what_is_left_stays_remembered(): void
    {
        $this->transport->isAway = true;
        AnalyticsApi::trackView(['post_id' => 42]);
        $this->app->terminate();
        self::assertSame(0, DB::table('jobs')->count());
        $this->transport->isAway = false;
        $this->app->terminate();
        self::assertCount(1, $this->transport->taken);
    }

    public function test_a_job_has_what_the_broker_does_not_take_until_it_does(): void
    {
        config(['postviews.queue' => ['connection' => 'database', 'queue' => 'views']]);
        $this->transport->isAway = true;
        AnalyticsApi::trackView(['post_id' => 42, 'ip' => '203.0.113.7']);
        AnalyticsApi::trackView(['post_id' => 43]);
        $this->app->terminate();
        $job = DB::table('jobs')->first();
        self::assertSame('views', $job->queue);
        self::assertStringNotContainsString('203.0.113.7', $job->payload);
        self::assertFalse(str_contains($job->payload, 'post_uuid'));

        // More often than any worker's --tries allows.
        for ($attempt = 1; $attempt <= 6; $attempt++) {
            $this->workAllNow();
            self::assertSame(1, DB::table('jobs')->count());
        }
        self::assertSame(6, (int) DB::table('jobs')->value('attempts'));
        $this->transport->isAway = false;
        $this->workAllNow();
        self::assertSame(0, DB::table('jobs')->count());
        self::assertSame(['42', '43'], array_column($this->transport->events(), 'post_uuid'));
        $this->app->terminate();
        self::assertCount(2, $this->transport->taken);
    }

    public function test_a_job_that_laravel_gives_up_has_its_views_in_another(): void
    {
        config(['postviews.queue' => ['connection' => 'database', 'queue' => 'views']]);
        $this->transport->isAway = true;
        AnalyticsApi::trackView(['post_id' => 42]);
        $this->app->terminate();
        $this->transport->isAway = false;
        // As DatabaseQueue::pop does when the jobs table is locked.
        Queue::connection('database')->pop('views')->fail(new RuntimeException('database is locked'));
        self::assertSame(1, DB::table('jobs')->count());
        self::assertSame([], $this->transport->taken);
        $this->workAllNow();
        self::assertSame(['42'], array_column($this->transport->events(), 'post_uuid'));
        self::assertSame(0, DB::table('jobs')->count());
    }

    public function test_many_views_are_many_jobs_of_a_size_that_queues_take(): void
    {
        config(['postviews.queue.connection' => 'database']);
        $this->transport->isAway = true;
        for ($post = 1; $post <= 250; $post++) {
            AnalyticsApi::trackView(['post_id' => $post, 'user_agent' => str_repeat('x', 150)]);
        }
        $this->app->terminate();
        self::assertSame(3, DB::table('jobs')->count());
        self::assertLessThan(200_000, DB::table('jobs')->max(DB::raw('length(payload)')));
    }

    public function test_a_command_and_a_job_lose_none_of_ten_thousand_views_while_the_broker_is_away(): void
    {
        config(['postviews.queue.connection' => 'database']);
        $this->transport->isAway = true;
        $track = static function (): void {
            for ($post = 1; $post <= 10_000; $post++) {
                AnalyticsApi::trackView(['post_id' => $post]);
            }
        };
        $track();
        $this->app->terminate();
        self::assertSame(100, DB::table('jobs')->count());
        dispatch($track)->onQueue('tracking');
        Artisan::call('queue:work', ['--queue' => 'tracking', '--once' => true]);
        self::assertSame(200, DB::table('jobs')->count());
        self::assertSame([], $this->loggedOf('view.dropped'));
        $this->transport->isAway = false;
        Artisan::call('queue:work', ['--stop-when-empty' => true]);
        self::assertCount(20_000, array_unique(array_column($this->transport->events(), 'event_id')));
    }

    /** @return iterable<string, array{string, ?string}> */
    public static function queues(): iterable
    {
        yield 'an empty POSTVIEWS_QUEUE_CONNECTION' => ['', null];
        yield 'a queue that runs its jobs at once' => ['sync', null];
        yield 'one that fails over to such a queue' => ['to_sync', 'database'];
        yield 'one that fails over to nothing else' => ['only_sync', null];
        yield 'one that keeps them, then another' => ['to_database', 'to_database'];
    }

    #[DataProvider('queues')]
    public function test_only_a_queue_that_keeps_its_jobs_is_used(string $named, ?string $used): void
    {
        $queues = [
            'to_sync' => ['driver' => 'failover', 'connections' => ['database', 'deferred']],
            'only_sync' => ['driver' => 'failover', 'connections' => ['sync', 'deferred']],
            'to_database' => ['driver' => 'failover', 'connections' => ['database', 'later']],
            'later' => ['driver' => 'redis'],
        ];
        config([
            'postviews.queue.connection' => $named,
            'queue.default' => 'sync',
            'queue.connections' => $queues + config('queue.connections'),
        ]);
        Bus::fake();
        $this->transport->isAway = true;
        AnalyticsApi::trackView(['post_id' => 42]);
        $this->app->terminate();
        $jobs = Bus::dispatched(FlushViews::class);
        self::assertSame($used === null ? [] : [$used], $jobs->pluck('connection')->all());
        $this->transport->isAway = false;
        $this->app->terminate();
        self::assertCount($used === null ? 1 : 0, $this->transport->taken);
    }

    public function test_a_queue_that_runs_its_jobs_at_once_unknown_to_us_ends_and_is_told(): void
    {
        Queue::extend('instant', static fn () => new SyncConnector());
        config(['postviews.queue.connection' => 'instant', 'queue.connections.instant' => ['driver' => 'instant']]);
        $this->transport->isAway = true;
        AnalyticsApi::trackView(['post_id' => 42]);
        $this->app->terminate();
        self::assertSame(
            ['postviews: view.dropped: 1 view(s): their queue keeps no jobs'],
            $this->loggedOf('view.dropped'),
        );
    }

    public function test_a_job_that_is_run_within_a_page_sends_nothing_before_its_response(): void
    {
        Route::get('/posts/{post}', function (): string {
            AnalyticsApi::trackView(['post_id' => 42]);
            dispatch(static fn () => null)->onConnection('sync');

            return 'tracked ' . count($this->transport->taken);
        });
        $this->get('/posts/42')->assertSee('tracked 0');
        self::assertCount(1, $this->transport->taken);
    }

    public function test_a_transaction_that_is_rolled_back_takes_no_view_with_it(): void
    {
        config(['postviews.queue.connection' => 'database']);
        $this->transport->isAway = true;
        DB::beginTransaction();
        AnalyticsApi::trackView(['post_id' => 42]);
        $this->app->terminate();
        DB::rollBack();
        $this->app->terminate();
        self::assertSame(1, DB::table('jobs')->count());
    }

    public function test_a_job_is_a_new_one_before_the_table_cannot_count_its_attempts(): void
    {
        config(['postviews.queue' => ['connection' => 'database', 'queue' => 'views']]);
        $this->transport->isAway = true;
        AnalyticsApi::trackView(['post_id' => 42]);
        $this->app->terminate();
        DB::table('jobs')->update(['attempts' => 99]);
        $this->workAllNow();
        self::assertSame([0], DB::table('jobs')->pluck('attempts')->map(intval(...))->all());
        $this->transport->isAway = false;
        $this->workAllNow();
        self::assertCount(1, $this->transport->taken);
    }

    public function test_a_mistake_is_tried_with_pauses_and_not_for_ever(): void
    {
        config(['queue.failed.driver' => null]);
        $view = View::encode(['post_id' => 42]);
        dispatch(FlushViews::of('gone', [$view])->onConnection('database')->onQueue('views'));
        $this->workAllNow();
        self::assertGreaterThan(time() + 2, (int) DB::table('jobs')->value('available_at'));
        for ($tried = 1; DB::table('jobs')->exists(); $tried++) {
            self::assertLessThan(100, $tried);
            $this->workAllNow();
        }
        self::assertSame(60, $tried);
    }

    public function test_a_job_holds_nothing_that_can_be_read(): void
    {
        $job = FlushViews::of('memory', [View::encode(['post_id' => 42, 'ip' => '203.0.113.7'])]);
        self::assertStringNotContainsString('203.0.113.7', print_r($job, true));
    }

    public function test_a_worker_that_is_about_to_kill_itself_tells_what_it_drops(): void
    {
        $this->transport->isAway = true;
        AnalyticsApi::trackView(['post_id' => 42]);
        event(new WorkerStopping(Worker::EXIT_ERROR));
        self::assertSame(
            ['postviews: view.dropped: 1 view: the process has ended'],
            $this->loggedOf('view.dropped'),
        );
    }

    public function test_a_job_is_in_the_queue_at_once_whatever_becomes_of_a_transaction(): void
    {
        config([
            'postviews.queue.connection' => 'database',
            'queue.connections.database.after_commit' => true,
            'database.connections.posts' => ['driver' => 'sqlite', 'database' => ':memory:'],
        ]);
        $this->transport->isAway = true;
        DB::connection('posts')->beginTransaction();
        AnalyticsApi::trackView(['post_id' => 42]);
        $this->app->terminate();
        DB::connection('posts')->rollBack();
        self::assertSame(1, DB::table('jobs')->count());
    }

    public function test_a_queue_that_cannot_take_them_loses_none(): void
    {
        config(['postviews.queue.connection' => 'database']);
        Schema::drop('jobs');
        $this->transport->isAway = true;
        AnalyticsApi::trackView(['post_id' => 42]);
        $this->app->terminate();
        self::assertFalse(AnalyticsApi::flush());
        $this->transport->isAway = false;
        self::assertTrue(AnalyticsApi::flush());
        self::assertCount(1, $this->transport->taken);
    }

    public function test_a_queue_that_runs_its_jobs_at_once_is_not_used(): void
    {
        config(['postviews.queue.connection' => 'sync']);
        $this->transport->isAway = true;
        AnalyticsApi::trackView(['post_id' => 42]);
        $this->app->terminate();
        $this->transport->isAway = false;
        self::assertTrue(AnalyticsApi::flush());
        self::assertCount(1, $this->transport->taken);
    }

    /** As Octane's Worker::handle does: each request has a clone of the application, which is flushed and released afterwards. */
    public function test_a_worker_that_clones_the_application_has_one_tracker(): void
    {
        $made = 0;
        $transport = $this->transport;
        AnalyticsApi::extend('counted', static function () use ($transport, &$made): Tracker {
            $made++;

            return new Tracker($transport);
        });
        config(['postviews.driver' => 'counted']);
        for ($request = 0; $request < 20; $request++) {
            $sandbox = clone $this->app;
            $sandbox->instance('app', $sandbox);
            $sandbox->make(\Postviews\Laravel\AnalyticsApi::class)->trackView(['post_id' => 42]);
            $sandbox->terminate();
            $sandbox->flush();
        }
        self::assertSame(1, $made);
        self::assertCount(20, $this->transport->taken);
    }

    public function test_an_application_that_is_let_go_of_takes_its_tracker_with_it(): void
    {
        gc_collect_cycles();
        gc_disable();
        try {
            AnalyticsApi::trackView(['post_id' => 42]);
            $this->app->terminate();
            $trackers = array_map(
                static fn (string $driver) => WeakReference::create(AnalyticsApi::driver($driver)),
                ['memory', 'amqp', 'log', 'null'],
            );
            AnalyticsApi::clearResolvedInstances();
            // Nothing else refers to it: neither a callback at the end of a request nor one of its own closures.
            $this->app->forgetInstance(\Postviews\Laravel\AnalyticsApi::class);
            $this->app->forgetInstance(AnalyticsManager::class);
            foreach ($trackers as $tracker) {
                self::assertNull($tracker->get());
            }
        } finally {
            gc_enable();
        }
    }

    private function workAllNow(): void
    {
        DB::table('jobs')->update(['available_at' => 0]);
        Artisan::call('queue:work', ['connection' => 'database', '--queue' => 'views', '--once' => true]);
    }
}
