<?php

declare(strict_types=1);

namespace Postviews\Laravel\Facades;

use Illuminate\Support\Facades\Facade;
use Postviews\Laravel\AnalyticsApi as AnalyticsApiContract;
use Postviews\Laravel\Testing\AnalyticsFake;

/**
 * @method static void trackView(array $view)
 * @method static bool flush()
 * @method static void flushOrFail()
 * @method static \Postviews\Publishing\Tracker driver(string|null $driver = null)
 * @method static \Postviews\Laravel\AnalyticsManager extend(string $driver, \Closure $callback)
 * @method static void assertTracked(mixed $postOrCallback)
 * @method static void assertNotTracked(mixed $postOrCallback)
 * @method static void assertTrackedTimes(mixed $postOrCallback, int $times)
 * @method static void assertNothingTracked()
 * @method static list<array<string, mixed>> tracked()
 *
 * @see \Postviews\Laravel\AnalyticsManager
 * @see \Postviews\Laravel\Testing\AnalyticsFake
 */
final class AnalyticsApi extends Facade
{
    /** From now on, tracked views are only remembered, for a test's assertions. */
    public static function fake(): AnalyticsFake
    {
        $fake = new AnalyticsFake();
        static::swap($fake);

        return $fake;
    }

    protected static function getFacadeAccessor(): string
    {
        return AnalyticsApiContract::class;
    }
}
