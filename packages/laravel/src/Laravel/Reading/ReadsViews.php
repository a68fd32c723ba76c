<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use DateTimeInterface;

/**
 * The reading methods of `Postviews`. A post is a model, its id or its UUID. Nothing here throws. Null means that the number is
 * unknown, because the service has been unavailable for a while; it is never 0 then.
 */
trait ReadsViews
{
    /** All views of a post, some seconds old; older while the service is unavailable (`statistics` says how old). */
    public function views(mixed $post): ?int
    {
        return $this->statistics($post)?->views;
    }

    /** Each reader of a post counts once per day. Also null where adopted data lack it. */
    public function uniqueViews(mixed $post): ?int
    {
        return $this->statistics($post)?->uniqueViews;
    }

    /** All counts of a post, with their time. */
    public function statistics(mixed $post): ?PostStatistics
    {
        return app(Reader::class)->statistics($post);
    }

    /**
     * The counts of many posts, with one call for up to 200.
     *
     * @param iterable<mixed> $posts
     * @return ByPost<?PostStatistics> in the given order; look one up by its post: `->of($post)?->views`
     */
    public function many(iterable $posts): ByPost
    {
        return app(Reader::class)->many($posts);
    }

    /**
     * A post's days, oldest first: the last 30, or `days`, including today; or `from` one day `to` another, at most 800 days.
     *
     *     Postviews::daily($post, from: '2026-01-01', to: '2026-06-30')?->views()
     */
    public function daily(
        mixed $post,
        ?int $days = null,
        DateTimeInterface|string|null $from = null,
        DateTimeInterface|string|null $to = null,
    ): ?PostDays {
        return app(Reader::class)->daily($post, $days, $from, $to);
    }

    /**
     * The last days of many posts, with one call for up to 200.
     *
     * @param iterable<mixed> $posts
     * @return ByPost<?PostDays> in the given order; look one up by its post: `->of($post)`
     */
    public function manyDaily(iterable $posts, int $days = 30): ByPost
    {
        return app(Reader::class)->manyDaily($posts, $days);
    }

    /**
     * The posts with the most views.
     *
     * @param ?string $period `all` (the default), `today`, `7d` or `30d`; or give `from` and `to`
     */
    public function top(
        int $limit = 10,
        int $offset = 0,
        ?string $period = null,
        DateTimeInterface|string|null $from = null,
        DateTimeInterface|string|null $to = null,
    ): ?TopPosts {
        return app(Reader::class)->top($limit, $offset, $period, $from, $to);
    }
}
