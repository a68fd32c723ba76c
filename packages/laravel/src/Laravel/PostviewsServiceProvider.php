<?php

declare(strict_types=1);

namespace Postviews\Laravel;

use BadMethodCallException;
use Illuminate\Contracts\Events\Dispatcher;
use Illuminate\Contracts\Foundation\Application;
use Illuminate\Database\Eloquent\Collection;
use Illuminate\Queue\Events\JobExceptionOccurred;
use Illuminate\Queue\Events\JobFailed;
use Illuminate\Queue\Events\JobProcessed;
use Illuminate\Queue\Events\WorkerStopping;
use Illuminate\Queue\Jobs\SyncJob;
use Illuminate\Queue\Worker;
use Illuminate\Routing\Router;
use Illuminate\Support\ServiceProvider;
use Postviews\Laravel\Console\DoctorCommand;
use Postviews\Laravel\Console\InstallCommand;
use Postviews\Laravel\Reading\Answers;
use Postviews\Laravel\Reading\Components\Count;
use Postviews\Laravel\Reading\Components\Sparkline;
use Postviews\Laravel\Reading\InternalApi;
use Postviews\Laravel\Reading\LoadsViews;
use Postviews\Laravel\Reading\Reader;
use Postviews\Laravel\Tracking\PageViews;
use Postviews\Laravel\Tracking\TrackView;
use WeakReference;

/** Registers everything; Laravel finds it through composer.json. */
final class PostviewsServiceProvider extends ServiceProvider
{
    /**
     * Events after which views are sent, besides the end of a request or a command. Horizon's workers are Laravel's own
     * (`Laravel\Horizon\Console\WorkCommand` extends `queue:work`), so they raise the same events.
     */
    private const SEND_ON = [
        JobProcessed::class,
        JobExceptionOccurred::class,
        JobFailed::class,
        WorkerStopping::class,
        // By name, because Octane need not be installed.
        'Laravel\Octane\Events\RequestTerminated',
        'Laravel\Octane\Events\TaskTerminated',
        'Laravel\Octane\Events\TickTerminated',
    ];

    public function register(): void
    {
        $this->mergeConfigFrom(__DIR__ . '/../../config/postviews.php', 'postviews');
        $this->app->singleton(Postviews::class);
        $this->registerTracking();
        $this->registerReading();
    }

    public function boot(): void
    {
        $this->publishes(
            [__DIR__ . '/../../config/postviews.php' => $this->app->configPath('postviews.php')],
            'postviews-config',
        );
        $this->bootTracking();
        $this->bootReading();
    }

    private function registerTracking(): void
    {
        $this->app->singleton(AnalyticsManager::class, static fn (Application $app) => new AnalyticsManager($app));
        $this->app->singleton(UuidColumns::class, static fn (Application $app) => new UuidColumns(
            $app->storagePath('framework/postviews-columns.json'),
        ));
        $this->app->singleton(AnalyticsApi::class, static fn (Application $app) => $app->make(AnalyticsManager::class));
    }

    private function bootTracking(): void
    {
        // Octane clones the application for each request. The manager is made before that, so all clones share it and
        // its connection. It connects only when views are sent.
        $manager = WeakReference::create($this->app->make(AnalyticsManager::class));

        // A weak reference, so that a released application also releases its connection.
        $send = static function (?object $event = null) use ($manager): void {
            // A job of `dispatchSync` is part of a page, which must not wait for the broker.
            if (!($event->job ?? null) instanceof SyncJob) {
                $manager->get()?->sendTracked();
            }
            // A worker kills itself when its job has timed out.
            if ($event instanceof WorkerStopping && $event->status === Worker::EXIT_ERROR) {
                $manager->get()?->sendLast();
            }
        };
        // After a fatal error, PHP calls none of the above, and no destructors.
        register_shutdown_function(static fn () => $manager->get()?->sendLast());
        $this->app->terminating(static fn () => $send());
        $this->app->make(Dispatcher::class)->listen(self::SEND_ON, $send);
        $this->app->make(Router::class)->aliasMiddleware('track.view', TrackView::class);
    }

    private function registerReading(): void
    {
        $this->app->bind(InternalApi::class, static fn (Application $app) => new InternalApi(
            url: (string) $app['config']->get('postviews.api.url'),
            key: (string) $app['config']->get('postviews.api.key'),
            connectSeconds: (float) $app['config']->get('postviews.api.connect_seconds', 0.5),
            timeoutSeconds: (float) $app['config']->get('postviews.api.timeout_seconds', 2.0),
        ));
        $this->app->scoped(Reader::class, static fn (Application $app) => new Reader(
            $app->make(InternalApi::class),
            new Answers(
                cache: $app['cache']->store($app['config']->get('postviews.cache.store')),
                scope: (string) $app['config']->get('postviews.api.url'),
                freshSeconds: (int) $app['config']->get('postviews.cache.fresh_seconds', 10),
                staleSeconds: (int) $app['config']->get('postviews.cache.stale_seconds', 86_400),
                restSeconds: (int) $app['config']->get('postviews.api.rest_seconds', 5),
                log: static fn (string $event, string $detail) => PageViews::tell($event, $detail),
            ),
            // Tests must not ask the developer's own Analytics: it knows other posts by the same ids, and it may hang.
            isOff: $app->runningUnitTests() && !$app['config']->get('postviews.api.in_tests', false),
        ));
    }

    private function bootReading(): void
    {
        // All collections share their macros, even those without models.
        Collection::macro('loadViews', function (string $as = 'views', ?int $days = null): Collection {
            if (!$this instanceof Collection) {
                throw new BadMethodCallException(
                    'loadViews is a method of Eloquent collections, but this is a ' . $this::class . ': call it before what turned '
                        . 'the models into this (map, pluck, toBase)',
                );
            }
            app(LoadsViews::class)->onto($this, $as, $days);

            return $this;
        });
        $this->loadViewsFrom(__DIR__ . '/../../resources/views', 'postviews');
        $this->loadTranslationsFrom(__DIR__ . '/../../lang', 'postviews');
        $this->loadViewComponentsAs('postviews', [Count::class, Sparkline::class]);
        if ($this->app->runningInConsole()) {
            $this->publishes([__DIR__ . '/../../resources/views' => $this->app->resourcePath('views/vendor/postviews')], 'postviews-views');
            $this->publishes([__DIR__ . '/../../lang' => $this->app->langPath('vendor/postviews')], 'postviews-lang');
            $this->commands([DoctorCommand::class, InstallCommand::class]);
        }
    }
}
