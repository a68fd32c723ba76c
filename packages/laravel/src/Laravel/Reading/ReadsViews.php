<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use DateTimeInterface;

/**
 * The reading methods of `Postviews`. A post is a model, its id or its UUID. Nothing here throws. Null means that the number is
 * unknown, because the service has been unavailable for a while; it is never 0 then.
 *
 * `who` chooses whose views are answered: `people`, `bots` or `all`; by default all that count as views. With it, a number of views is
 * also null where adopted data do not tell people from bots.
 */
trait ReadsViews
{
    /** All views of a post, some seconds old; older while the service is unavailable (`statistics` says how old). */
    public function views(mixed $post, ?string $who = null): ?int
    {
        return $this->statistics($post, $who)?->views;
    }

    /** Each reader of a post counts once per day. Also null where adopted data lack it. */
    public function uniqueViews(mixed $post, ?string $who = null): ?int
    {
        return $this->statistics($post, $who)?->uniqueViews;
    }

    /** All counts of a post, with their time. */
    public function statistics(mixed $post, ?string $who = null): ?PostStatistics
    {
        return app(Reader::class)->statistics($post, $who);
    }

    /**
     * The counts of many posts, with one call for up to 200.
     *
     * @param iterable<mixed> $posts
     * @return ByPost<?PostStatistics> in the given order; look one up by its post: `->of($post)?->views`
     */
    public function many(iterable $posts, ?string $who = null): ByPost
    {
        return app(Reader::class)->many($posts, $who);
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
        ?string $who = null,
    ): ?PostDays {
        return app(Reader::class)->daily($post, $days, $from, $to, $who);
    }

    /**
     * The last days of many posts, with one call for up to 200.
     *
     * @param iterable<mixed> $posts
     * @return ByPost<?PostDays> in the given order; look one up by its post: `->of($post)`
     */
    public function manyDaily(iterable $posts, int $days = 30, ?string $who = null): ByPost
    {
        return app(Reader::class)->manyDaily($posts, $days, $who);
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
        ?string $who = null,
    ): ?TopPosts {
        return app(Reader::class)->top($limit, $offset, $period, $from, $to, $who);
    }

    /**
     * Where the readers of a post came from, on what, or in which country: the values of a dimension, most views first.
     *
     *     Postviews::breakdown($post, 'source', days: 7, who: 'people')?->values->pluck('views', 'value')
     *
     * @param string $dimension `hour`, `referrer`, `source`, `channel`, `campaign`, `country`, `device`, `browser`, `os`, `bot`
     *     or `purpose`
     * @param ?int $days the last days, including today (the default is 30); or give `from` and `to`
     * @param int $limit up to 1,000
     */
    public function breakdown(
        mixed $post,
        string $dimension,
        ?int $days = null,
        DateTimeInterface|string|null $from = null,
        DateTimeInterface|string|null $to = null,
        int $limit = 10,
        int $offset = 0,
        ?string $who = null,
    ): ?Breakdown {
        $query = compact('days', 'from', 'to', 'limit', 'offset', 'who');

        return app(Reader::class)->breakdown($post, $dimension, $query);
    }

    /** The same of the whole site. */
    public function siteBreakdown(
        string $dimension,
        ?int $days = null,
        DateTimeInterface|string|null $from = null,
        DateTimeInterface|string|null $to = null,
        int $limit = 10,
        int $offset = 0,
        ?string $who = null,
    ): ?Breakdown {
        $query = compact('days', 'from', 'to', 'limit', 'offset', 'who');

        return app(Reader::class)->siteBreakdown($dimension, $query);
    }

    /**
     * The days of one value of a dimension, oldest first.
     *
     *     Postviews::valueDaily($post, 'source', 'Hacker News', days: 7)?->views()
     *
     * @param ?string $value null: of the views that have none
     */
    public function valueDaily(
        mixed $post,
        string $dimension,
        ?string $value,
        ?int $days = null,
        DateTimeInterface|string|null $from = null,
        DateTimeInterface|string|null $to = null,
        ?string $who = null,
    ): ?ValueDays {
        $query = compact('value', 'days', 'from', 'to', 'who');

        return app(Reader::class)->valueDaily($post, $dimension, $query);
    }

    /** The same of the whole site. */
    public function siteValueDaily(
        string $dimension,
        ?string $value,
        ?int $days = null,
        DateTimeInterface|string|null $from = null,
        DateTimeInterface|string|null $to = null,
        ?string $who = null,
    ): ?ValueDays {
        $query = compact('value', 'days', 'from', 'to', 'who');

        return app(Reader::class)->siteValueDaily($dimension, $query);
    }

    /** A post's hours, oldest first: those of today, or of up to 14 days. */
    public function hourly(
        mixed $post,
        ?int $days = null,
        DateTimeInterface|string|null $from = null,
        DateTimeInterface|string|null $to = null,
        ?string $who = null,
    ): ?Hours {
        return app(Reader::class)->hourly($post, compact('days', 'from', 'to', 'who'));
    }

    /** The same of the whole site. */
    public function siteHourly(
        ?int $days = null,
        DateTimeInterface|string|null $from = null,
        DateTimeInterface|string|null $to = null,
        ?string $who = null,
    ): ?Hours {
        return app(Reader::class)->siteHourly(compact('days', 'from', 'to', 'who'));
    }
}
