<?php

declare(strict_types=1);

namespace Postviews\Laravel\Facades;

use Illuminate\Support\Facades\Facade;
use Postviews\Laravel\Postviews as PostviewsService;
use Postviews\Laravel\Testing\FakeCounts;

/**
 * @method static void except(callable $callback)
 * @method static int|null views(mixed $post)
 * @method static int|null uniqueViews(mixed $post)
 * @method static \Postviews\Laravel\Reading\PostStatistics|null statistics(mixed $post)
 * @method static \Illuminate\Support\Collection many(iterable $posts)
 * @method static \Postviews\Laravel\Reading\PostDays|null daily(mixed $post, int|null $days = null, \DateTimeInterface|string|null $from = null, \DateTimeInterface|string|null $to = null)
 * @method static \Illuminate\Support\Collection manyDaily(iterable $posts, int $days = 30)
 * @method static \Postviews\Laravel\Reading\TopPosts|null top(int $limit = 10, int $offset = 0, string|null $period = null, \DateTimeInterface|string|null $from = null, \DateTimeInterface|string|null $to = null)
 *
 * @see \Postviews\Laravel\Postviews
 */
final class Postviews extends Facade
{
    /**
     * From here on these are the counts, all of them of today; a post that is not among them has none.
     *
     *     Postviews::fake([$post->id => 1234]);
     *     Postviews::fake(null); // none can be read
     *
     * @param ?array<array-key, int> $views by the id of the post, as it is counted
     */
    public static function fake(?array $views = []): void
    {
        (new FakeCounts($views))->install();
    }

    protected static function getFacadeAccessor(): string
    {
        return PostviewsService::class;
    }
}
