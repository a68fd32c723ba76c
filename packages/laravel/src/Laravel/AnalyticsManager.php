<?php

declare(strict_types=1);

namespace Postviews\Laravel;

use Closure;
use Illuminate\Contracts\Bus\Dispatcher;
use Illuminate\Contracts\Foundation\Application;
use Illuminate\Support\Facades\Log;
use Illuminate\Support\Manager;
use Postviews\Laravel\Tracking\FlushViews;
use Postviews\Laravel\Tracking\LogTransport;
use Postviews\Laravel\Tracking\NullTransport;
use Postviews\Laravel\Tracking\PageViews;
use Postviews\Publishing\AmqpTransport;
use Postviews\Publishing\EncodedView;
use Postviews\Publishing\Tracker;
use Postviews\Publishing\Transport;
use Throwable;
use WeakReference;

/**
 * The trackers of this process, by driver. A driver of your own is a tracker with a transport of your own:
 *
 *     AnalyticsApi::extend('kafka', fn ($app) => new Tracker(new KafkaTransport(…)));
 *
 * @property Application $container
 * @method Tracker driver(string|null $driver = null)
 */
final class AnalyticsManager extends Manager implements AnalyticsApi
{
    /** Some 90 KB, encrypted: several queues take no more than 256 KB. */
    private const VIEWS_PER_JOB = 100;

    public function trackView(array $view): void
    {
        try {
            $this->driver()->trackView($view);
        } catch (Throwable $error) {
            // A driver that there is not, or a setting of the wrong type.
            PageViews::tell('view.dropped', '1 view: ' . $error->getMessage());
        }
    }

    public function flush(): bool
    {
        try {
            return $this->driver()->flush();
        } catch (Throwable $error) {
            PageViews::tell('broker.lost', $error->getMessage());

            return false;
        }
    }

    public function flushOrFail(): void
    {
        $this->driver()->flushOrFail();
    }

    /**
     * Sends what every driver remembers; what the broker does not take is handed to the queue of `postviews.queue`,
     * if one is named. Called when a response is with its reader, and when a job or a command is done. Never throws.
     */
    public function sendTracked(): void
    {
        foreach ($this->getDrivers() as $tracker) {
            if (!$tracker->flush()) {
                $tracker->handOver();
            }
        }
    }

    /** Whether a queue is named that keeps a job for later; some run it at once, in this process. */
    private function hasQueue(): bool
    {
        $connection = $this->config->get('postviews.queue.connection');
        $driver = $this->config->get("queue.connections.$connection.driver");

        return $connection !== null && !in_array($driver, ['sync', 'deferred', 'background', 'null'], true);
    }

    /** A `POSTVIEWS_DRIVER=null` of the environment reaches the configuration as null. */
    public function getDefaultDriver(): string
    {
        $driver = $this->config->get('postviews.driver') ?? 'null';
        if ($driver !== 'auto') {
            return $driver;
        }

        return $this->container->runningUnitTests() ? 'null' : 'amqp';
    }

    /** @param string $driver */
    protected function createDriver($driver): Tracker
    {
        $tracker = parent::createDriver($driver);
        // Weak, as the log is: this manager holds the tracker.
        $manager = WeakReference::create($this);
        $tracker->handOverTo(
            static fn (array $views): bool => $manager->get()?->enqueue((string) $driver, $views) ?? false,
        );

        return $tracker;
    }

    protected function createAmqpDriver(): Tracker
    {
        $amqp = (array) $this->config->get('postviews.amqp');

        return $this->tracker(new AmqpTransport(
            url: $amqp['url'] ?? '',
            log: $this->log(),
            restFolder: $amqp['rest_path'] ?? null,
            connectSeconds: (float) ($amqp['connect_seconds'] ?? 0.5),
            confirmSeconds: (float) ($amqp['confirm_seconds'] ?? 1.0),
            restSeconds: (float) ($amqp['rest_seconds'] ?? 5.0),
            flushSeconds: (float) ($amqp['flush_seconds'] ?? 3.0),
            tls: $amqp['tls'] ?? [],
        ));
    }

    protected function createLogDriver(): Tracker
    {
        return $this->tracker(new LogTransport($this->config->get('postviews.log_channel')));
    }

    protected function createNullDriver(): Tracker
    {
        return $this->tracker(new NullTransport());
    }

    /** @return list<string> what `POSTVIEWS_DRIVER` may be: ours, then your own */
    public function names(): array
    {
        return ['amqp', 'log', 'null', ...array_keys($this->customCreators)];
    }

    private function tracker(Transport $transport): Tracker
    {
        return new Tracker($transport, $this->log());
    }

    /**
     * Static, and without this manager: what holds its holder is freed only when PHP collects cycles, and with it a
     * connection to the broker.
     */
    private function log(): Closure
    {
        $channel = $this->config->get('postviews.log_channel');

        return static function (string $event, string $detail) use ($channel): void {
            Log::channel($channel)->warning("postviews: $event: $detail");
        };
    }

    /**
     * @param non-empty-list<EncodedView> $views
     * @return bool false: no queue is named
     * @throws Throwable what the queue says
     */
    private function enqueue(string $driver, array $views): bool
    {
        if (!$this->hasQueue()) {
            return false;
        }
        foreach (array_chunk($views, self::VIEWS_PER_JOB) as $some) {
            $job = new FlushViews($driver, array_map(static fn (EncodedView $view): array => $view->toArray(), $some));
            $job->onConnection($this->config->get('postviews.queue.connection'));
            $job->onQueue($this->config->get('postviews.queue.queue'));
            // A transaction that is rolled back takes no view back: its page was read.
            $job->beforeCommit();
            $this->container->make(Dispatcher::class)->dispatch($job);
        }

        return true;
    }
}
