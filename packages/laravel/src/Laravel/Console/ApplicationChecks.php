<?php

declare(strict_types=1);

namespace Postviews\Laravel\Console;

use Illuminate\Contracts\Foundation\Application;
use Illuminate\Contracts\Http\Kernel;
use Illuminate\Http\Middleware\TrustProxies;
use ReflectionMethod;
use Throwable;

/** Checks the application's own settings: which address a reader has, and where counts and late views are kept. */
final class ApplicationChecks
{
    public function __construct(private readonly Application $app)
    {
    }

    public function trustedProxies(): Finding
    {
        $trusted = $this->proxies();
        if ($trusted === null || $trusted === [] || $trusted === '') {
            return Finding::warning(
                'trusted proxies',
                'none',
                'Right if readers reach this application directly. Behind a proxy or a load balancer all of them have its '
                    . 'address, and count as one: name it in bootstrap/app.php, $middleware->trustProxies(at: [\'10.0.0.0/8\']).',
            );
        }
        if (array_intersect((array) $trusted, ['*', '**']) !== []) {
            return Finding::warning(
                'trusted proxies',
                'all',
                'Right only if nobody can reach this application around its proxy: anybody else may write any address into '
                    . 'X-Forwarded-For, and be as many readers as they like.',
            );
        }

        return Finding::ok('trusted proxies', implode(', ', (array) $trusted));
    }

    public function cache(): Finding
    {
        $name = config('postviews.cache.store') ?? config('cache.default');
        try {
            $store = $this->app->make('cache')->store($name);
            $key = 'postviews:doctor:' . bin2hex(random_bytes(4));
            $isKept = $store->put($key, 1, 10) && $store->pull($key) === 1;
        } catch (Throwable $error) {
            return Finding::failed('cache', "$name: {$error->getMessage()}", 'Each page asks the service for its counts: repair the store, or name another in POSTVIEWS_CACHE_STORE.');
        }
        $driver = config("cache.stores.$name.driver");

        return $isKept && $driver !== 'array'
            ? Finding::ok('cache', (string) $name)
            : Finding::warning(
                'cache',
                "$name: keeps nothing from one page to the next",
                'Name a store of config/cache.php in POSTVIEWS_CACHE_STORE: otherwise each page asks the service for its counts.',
            );
    }

    public function queue(): Finding
    {
        $name = config('postviews.queue.connection');
        $driver = $name === null ? null : config("queue.connections.$name.driver");

        return match (true) {
            $name === null => Finding::ok('queue of Laravel', 'none: while the broker is away, a page drops its views, and logs how many'),
            $driver === null => Finding::failed(
                'queue of Laravel',
                "$name is not a connection of config/queue.php",
                'Name one of them in POSTVIEWS_QUEUE_CONNECTION.',
            ),
            in_array($driver, ['sync', 'deferred', 'background', 'null'], true) => Finding::warning(
                'queue of Laravel',
                "$name keeps no job for later",
                'Name one that does (database, redis) in POSTVIEWS_QUEUE_CONNECTION.',
            ),
            default => Finding::ok('queue of Laravel', "$name: takes views while the broker is away; queue:work sends them"),
        };
    }

    /** @return array<int, string>|string|null */
    private function proxies(): array|string|null
    {
        // Creating the kernel applies bootstrap/app.php to it.
        $kernel = $this->app->make(Kernel::class);
        $middleware = method_exists($kernel, 'getGlobalMiddleware') ? $kernel->getGlobalMiddleware() : [];
        foreach ($middleware as $class) {
            if (is_string($class) && is_a($class, TrustProxies::class, true)) {
                $proxies = (new ReflectionMethod($class, 'proxies'))->invoke($this->app->make($class));

                return $proxies ?: config('trustedproxy.proxies');
            }
        }

        return null;
    }
}
