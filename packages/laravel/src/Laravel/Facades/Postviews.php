<?php

declare(strict_types=1);

namespace Postviews\Laravel\Facades;

use Illuminate\Support\Facades\Facade;
use Postviews\Laravel\Postviews as PostviewsService;
use Postviews\Laravel\Testing\FakeCounts;

/**
 * @method static void except(callable $callback)
 * @method static int|null views(mixed $post, string|null $who = null)
 * @method static int|null uniqueViews(mixed $post, string|null $who = null)
 * @method static \Postviews\Laravel\Reading\PostStatistics|null statistics(mixed $post, string|null $who = null)
 * @method static \Postviews\Laravel\Reading\ByPost many(iterable $posts, string|null $who = null)
 * @method static \Postviews\Laravel\Reading\PostDays|null daily(mixed $post, int|null $days = null, \DateTimeInterface|string|null $from = null, \DateTimeInterface|string|null $to = null, string|null $who = null)
 * @method static \Postviews\Laravel\Reading\ByPost manyDaily(iterable $posts, int $days = 30, string|null $who = null)
 * @method static \Postviews\Laravel\Reading\TopPosts|null top(int $limit = 10, int $offset = 0, string|null $period = null, \DateTimeInterface|string|null $from = null, \DateTimeInterface|string|null $to = null, string|null $who = null)
 * @method static \Postviews\Laravel\Reading\Breakdown|null breakdown(mixed $post, string $dimension, int|null $days = null, \DateTimeInterface|string|null $from = null, \DateTimeInterface|string|null $to = null, int $limit = 10, int $offset = 0, string|null $who = null)
 * @method static \Postviews\Laravel\Reading\Breakdown|null siteBreakdown(string $dimension, int|null $days = null, \DateTimeInterface|string|null $from = null, \DateTimeInterface|string|null $to = null, int $limit = 10, int $offset = 0, string|null $who = null)
 * @method static \Postviews\Laravel\Reading\ValueDays|null valueDaily(mixed $post, string $dimension, string|null $value, int|null $days = null, \DateTimeInterface|string|null $from = null, \DateTimeInterface|string|null $to = null, string|null $who = null)
 * @method static \Postviews\Laravel\Reading\ValueDays|null siteValueDaily(string $dimension, string|null $value, int|null $days = null, \DateTimeInterface|string|null $from = null, \DateTimeInterface|string|null $to = null, string|null $who = null)
 * @method static \Postviews\Laravel\Reading\Hours|null hourly(mixed $post, int|null $days = null, \DateTimeInterface|string|null $from = null, \DateTimeInterface|string|null $to = null, string|null $who = null)
 * @method static \Postviews\Laravel\Reading\Hours|null siteHourly(int|null $days = null, \DateTimeInterface|string|null $from = null, \DateTimeInterface|string|null $to = null, string|null $who = null)
 *
 * @see \Postviews\Laravel\Postviews
 */
final class Postviews extends Facade
{
    /**
     * From now on, reads get these counts, all of them as of today.
     *
     *     Postviews::fake(); // all have 0
     *     Postviews::fake()->views($post, 1234); // and all others 0
     *     Postviews::fake([42 => 1234]); // reading another fails the test
     *     Postviews::fake([42 => 1234], others: 0);
     *     Postviews::fake(null); // none can be read
     *
     * @param ?array<array-key, int> $views by the id under which the post is counted: for a model with a uuid, that uuid
     * @param ?int $others the count of all posts that are not named
     */
    public static function fake(?array $views = [], ?int $others = null): FakeCounts
    {
        return new FakeCounts($views, $others);
    }

    protected static function getFacadeAccessor(): string
    {
        return PostviewsService::class;
    }
}
