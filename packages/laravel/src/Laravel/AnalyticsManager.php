<?php

declare(strict_types=1);

namespace Postviews\Laravel;

use Closure;
use Illuminate\Contracts\Foundation\Application;
use Illuminate\Support\Facades\Log;
use Illuminate\Support\Manager;
use Illuminate\Support\Str;
use Postviews\Laravel\Tracking\LogTransport;
use Postviews\Laravel\Tracking\NullTransport;
use Postviews\Laravel\Tracking\PageViews;
use Postviews\Laravel\Tracking\ViewsQueue;
use Postviews\Publishing\AmqpTransport;
use Postviews\Publishing\FallbackTransport;
use Postviews\Publishing\PublishFailed;
use Postviews\Publishing\RelayTransport;
use Postviews\Publishing\Tracker;
use Postviews\Publishing\Transport;
use Throwable;
use WeakReference;

/**
 * The trackers of this process, by driver. A custom driver is a tracker with a custom transport:
 *
 *     AnalyticsApi::extend('kafka', fn ($app) => new Tracker(new KafkaTransport(…)));
 *
 * @property Application $container
 * @method Tracker driver(string|null $driver = null)
 */
final class AnalyticsManager extends Manager implements AnalyticsApi
{
    /** The drivers that publish. */
    private const REAL = ['amqp', 'relay'];

    public function trackView(array $view): void
    {
        try {
            $this->driver()->trackView($view);
        } catch (Throwable $error) {
            // An unknown driver, or a setting of the wrong type.
            PageViews::tell('view.dropped', '1 view: ' . PageViews::why($error));
        }
    }

    public function flush(): bool
    {
        try {
            return $this->driver()->flush();
        } catch (Throwable $error) {
            PageViews::tell('broker.lost', PageViews::why($error));

            return false;
        }
    }

    public function flushOrFail(): void
    {
        $this->driver()->flushOrFail();
    }

    /**
     * Sends the views that the drivers remember. Those that the broker does not take go to the queue of `postviews.queue`, if
     * one is named. Called after a response has reached its reader, and when a job or a command is done. Never throws.
     */
    public function sendTracked(): void
    {
        foreach ($this->getDrivers() as $tracker) {
            if (!$tracker->flush()) {
                $tracker->handOver();
            }
        }
    }

    /** Like `sendTracked`, for a process that ends without destructors. Views that nothing takes are logged as dropped. */
    public function sendLast(): void
    {
        foreach ($this->getDrivers() as $tracker) {
            $tracker->end();
        }
    }

    /** `POSTVIEWS_DRIVER=null` in the environment reaches the configuration as null, and `POSTVIEWS_DRIVER=` as ''. */
    public function getDefaultDriver(): string
    {
        $driver = $this->config->get('postviews.driver') ?? 'null';
        $driver = $driver === '' ? 'amqp' : $driver;
        // Tests read the .env file, too, which is meant for development.
        $isTest = $this->container->runningUnitTests() && !$this->config->get('postviews.in_tests');

        return in_array($driver, self::REAL, true) && $isTest ? 'null' : $driver;
    }

    /** @param string $driver */
    protected function createDriver($driver): Tracker
    {
        if (!isset($this->customCreators[$driver]) && !method_exists($this, 'create' . Str::studly($driver) . 'Driver')) {
            throw new PublishFailed("there is no driver $driver", []);
        }
        $tracker = parent::createDriver($driver);
        // A weak reference, because this manager holds the tracker (see `log`).
        $manager = WeakReference::create($this);
        $tracker->handOverTo(
            static function (array $views) use ($manager, $driver): bool {
                $container = $manager->get()?->container;

                return $container !== null && (new ViewsQueue($container))->take((string) $driver, $views);
            },
        );

        return $tracker;
    }

    protected function createAmqpDriver(): Tracker
    {
        return $this->tracker($this->amqp());
    }

    protected function createRelayDriver(): Tracker
    {
        $relay = $this->relay();

        return $this->tracker($this->fallback() === null ? $relay : new FallbackTransport($relay, $this->amqp()));
    }

    protected function createLogDriver(): Tracker
    {
        return $this->tracker(new LogTransport($this->config->get('postviews.log_channel')));
    }

    protected function createNullDriver(): Tracker
    {
        return $this->tracker(new NullTransport());
    }

    /** @return list<string> valid values of `POSTVIEWS_DRIVER`: built-in drivers, then custom ones */
    public function names(): array
    {
        return ['amqp', 'relay', 'log', 'null', ...array_keys($this->customCreators)];
    }

    /**
     * @return ?string the driver for views while the relay is away: `amqp`; null if the setting is null, or there is no broker
     * @throws PublishFailed when the setting names another one
     */
    public function fallback(): ?string
    {
        $fallback = $this->config->get('postviews.relay.fallback');
        if (!in_array($fallback, ['amqp', null, ''], true)) {
            throw new PublishFailed('the fallback of the relay is neither amqp nor null', []);
        }

        return $fallback === 'amqp' && !in_array($this->config->get('postviews.amqp.url'), [null, '', []], true) ? 'amqp' : null;
    }

    private function amqp(): AmqpTransport
    {
        $amqp = (array) $this->config->get('postviews.amqp');

        return new AmqpTransport(
            url: $amqp['url'] ?? '',
            log: $this->log(),
            restFolder: $amqp['rest_path'] ?? null,
            connectSeconds: (float) ($amqp['connect_seconds'] ?? 0.5),
            confirmSeconds: (float) ($amqp['confirm_seconds'] ?? 1.0),
            restSeconds: (float) ($amqp['rest_seconds'] ?? 5.0),
            flushSeconds: (float) ($amqp['flush_seconds'] ?? 3.0),
            tls: $amqp['tls'] ?? [],
        );
    }

    private function relay(): RelayTransport
    {
        $relay = (array) $this->config->get('postviews.relay');

        return new RelayTransport(
            socket: $relay['socket'] ?? '',
            log: $this->log(),
            restFolder: $relay['rest_path'] ?? null,
            answerSeconds: (float) ($relay['answer_seconds'] ?? 0.5),
            flushSeconds: (float) ($relay['flush_seconds'] ?? 2.0),
            restSeconds: (float) ($relay['rest_seconds'] ?? 5.0),
        );
    }

    private function tracker(Transport $transport): Tracker
    {
        return new Tracker($transport, $this->log());
    }

    /**
     * Static, so that it does not refer to this manager: PHP frees a reference cycle, and a connection to the broker in it, only
     * when it collects cycles.
     */
    private function log(): Closure
    {
        $channel = $this->config->get('postviews.log_channel');

        return static function (string $event, string $detail) use ($channel): void {
            Log::channel($channel)->warning("postviews: $event: $detail");
        };
    }
}
