<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use DateTimeInterface;
use Postviews\Laravel\Tracking\PageViews;
use Throwable;

/**
 * Reads counts of posts. Never throws: an unknown count is null, and Laravel's log says why.
 *
 * A post is a model, its id or its UUID (see PostId).
 */
final class Reader
{
    /** The API's limit for one call. */
    private const POSTS_AT_ONCE = 200;
    private const POST_DAYS_AT_ONCE = 20_000;

    /** @param bool $isOff sends no request and reads no cache: no count is known */
    public function __construct(
        private readonly InternalApi $api,
        private readonly Answers $answers,
        private readonly bool $isOff = false,
    ) {
    }

    /** @param ?string $who whose views, here and below: `people`, `bots` or `all`; by default all that count as views */
    public function statistics(mixed $post, ?string $who = null): ?PostStatistics
    {
        return $this->many([$post], $who)->first();
    }

    /**
     * Requests all posts that are not in the cache, with one call for up to 200.
     *
     * @param iterable<mixed> $posts
     * @return ByPost<?PostStatistics>
     */
    public function many(iterable $posts, ?string $who = null): ByPost
    {
        $make = static fn (Answer $answer): PostStatistics => PostStatistics::from($answer, $who !== null);

        return $this->ofPosts($posts, trim("views $who"), self::POSTS_AT_ONCE, ['who' => $who], $make);
    }

    /**
     * The last days of many posts, with one call for up to 200 (posts times days at most 20,000).
     *
     * @param iterable<mixed> $posts
     * @return ByPost<?PostDays>
     */
    public function manyDaily(iterable $posts, int $days = 30, ?string $who = null): ByPost
    {
        $atOnce = max(1, min(self::POSTS_AT_ONCE, intdiv(self::POST_DAYS_AT_ONCE, max(1, $days))));

        return $this->ofPosts($posts, trim("days $days $who"), $atOnce, compact('days', 'who'), self::daysOf($who));
    }

    /** The last `$days` days, including today; or from one day to another (default today), at most 800 days. */
    public function daily(
        mixed $post,
        ?int $days = null,
        DateTimeInterface|string|null $from = null,
        DateTimeInterface|string|null $to = null,
        ?string $who = null,
    ): ?PostDays {
        if ($from === null && $to === null) {
            return $this->manyDaily([$post], $days ?? 30, $who)->first();
        }
        $id = $this->idOf($post);
        if ($id === null) {
            return null;
        }
        $query = ['days' => $days, 'from' => self::day($from), 'to' => self::day($to), 'who' => $who];

        return $this->one("posts/$id/views/daily", $query, self::daysOf($who));
    }

    /** @return callable(Answer): PostDays */
    private static function daysOf(?string $who): callable
    {
        return static fn (Answer $answer): PostDays => PostDays::from($answer, $who !== null);
    }

    /**
     * The posts with the most views.
     *
     * @param int $limit up to 1,000
     * @param string|null $period `all`, `today`, `7d` or `30d`; or give the first and the last day
     */
    public function top(
        int $limit = 10,
        int $offset = 0,
        ?string $period = null,
        DateTimeInterface|string|null $from = null,
        DateTimeInterface|string|null $to = null,
        ?string $who = null,
    ): ?TopPosts {
        $query = ['period' => $period, 'from' => self::day($from), 'to' => self::day($to)];
        $make = static fn (Answer $answer): TopPosts => TopPosts::from($answer, $who !== null);

        return $this->one('posts/top', $query + compact('limit', 'offset', 'who'), $make);
    }

    /**
     * The values of a dimension.
     *
     * @param array<string, string|int|DateTimeInterface|null> $query `days` or `from` and `to`, `limit`, `offset`, `who`
     */
    public function breakdown(mixed $post, string $dimension, array $query): ?Breakdown
    {
        return $this->of($this->pathOf($post), self::breakdownPath($dimension), $query, Breakdown::from(...));
    }

    /** @param array<string, string|int|DateTimeInterface|null> $query as of `breakdown` */
    public function siteBreakdown(string $dimension, array $query): ?Breakdown
    {
        return $this->of('', self::breakdownPath($dimension), $query, Breakdown::from(...));
    }

    /**
     * The days of one value of a dimension.
     *
     * @param array<string, string|int|DateTimeInterface|null> $query `value`, `days` or `from` and `to`, `who`
     */
    public function valueDaily(mixed $post, string $dimension, array $query): ?ValueDays
    {
        return $this->of($this->pathOf($post), self::breakdownPath($dimension, '/daily'), $query, ValueDays::from(...));
    }

    /** @param array<string, string|int|DateTimeInterface|null> $query as of `valueDaily` */
    public function siteValueDaily(string $dimension, array $query): ?ValueDays
    {
        return $this->of('', self::breakdownPath($dimension, '/daily'), $query, ValueDays::from(...));
    }

    /** @param array<string, string|int|DateTimeInterface|null> $query `days` or `from` and `to`, `who` */
    public function hourly(mixed $post, array $query): ?Hours
    {
        return $this->of($this->pathOf($post), 'views/hourly', $query, Hours::from(...));
    }

    /** @param array<string, string|int|DateTimeInterface|null> $query as of `hourly` */
    public function siteHourly(array $query): ?Hours
    {
        return $this->of('', 'views/hourly', $query, Hours::from(...));
    }

    /**
     * @template T
     * @param ?string $of where the path begins; null: it is not a post
     * @param ?string $path null: nothing that the API could have
     * @param array<string, string|int|DateTimeInterface|null> $query
     * @param callable(Answer): T $make
     * @return ?T
     */
    private function of(?string $of, ?string $path, array $query, callable $make): mixed
    {
        if ($path === null) {
            $this->answers->tell('read.invalid', 'the name of a dimension has only small letters and _, such as source');
        }

        return $of === null || $path === null ? null : $this->one($of . $path, array_map(self::day(...), $query), $make);
    }

    /** The name may be a reader's input, and cURL resolves `..` in paths: the answer would be that of another request. */
    private static function breakdownPath(string $dimension, string $rest = ''): ?string
    {
        return preg_match('/^[a-z_]+$/D', $dimension) === 1 ? "breakdowns/$dimension$rest" : null;
    }

    private function pathOf(mixed $post): ?string
    {
        $id = $this->idOf($post);

        return $id === null ? null : "posts/$id/";
    }

    /**
     * @template T
     * @param iterable<mixed> $posts
     * @param array<string, string|int|null> $query
     * @param callable(Answer): T $make
     * @return ByPost<?T>
     */
    private function ofPosts(iterable $posts, string $kind, int $atOnce, array $query, callable $make): ByPost
    {
        $ids = [];
        $found = [];
        $place = 0;
        foreach ($posts as $post) {
            $id = $this->idOf($post);
            if ($id !== null) {
                $ids["$kind $id"] = $id;
            }
            // In the order of the posts; null until it is read.
            $found[$id ?? (is_int($post) || is_string($post) ? $post : "#$place")] = null;
            $place++;
        }
        $ask = function (array $names) use ($ids, $query, $make): array {
            $asked = array_map(static fn (string $name): string => $ids[$name], $names);
            $answer = $this->api->get('posts/views', ['uuids' => implode(',', $asked)] + $query);
            $head = array_diff_key($answer->fields, ['posts' => 0]);
            $answers = [];
            foreach ($answer->list('posts') as $index => $post) {
                $one = new Answer($post->fields + $head);
                $make($one);
                if (!isset($asked[$index]) || $one->text('post_uuid') !== $asked[$index]) {
                    throw ApiFailed::notTheApi();
                }
                $answers[$names[$index]] = $one;
            }

            return count($answers) === count($names) ? $answers : throw ApiFailed::notTheApi();
        };
        foreach ($this->read(array_keys($ids), $ask, $atOnce) as $name => $answer) {
            $found[$ids[$name]] = $this->made($answer, $make);
        }

        return new ByPost($found);
    }

    /**
     * @template T
     * @param array<string, string|int|null> $query
     * @param callable(Answer): T $make
     * @return ?T
     */
    private function one(string $path, array $query, callable $make): mixed
    {
        $name = $path . ' ' . json_encode($query);
        $ask = function () use ($name, $path, $query, $make): array {
            $answer = $this->api->get($path, $query);
            $make($answer);

            return [$name => $answer];
        };

        return $this->made($this->read([$name], $ask)[$name], $make);
    }

    /**
     * @param list<string> $names
     * @param callable(list<string>): array<string, Answer> $ask
     * @return array<string, ?Answer>
     */
    private function read(array $names, callable $ask, int $atOnce = 1): array
    {
        return $this->isOff ? array_fill_keys($names, null) : $this->answers->of($names, $ask, $atOnce);
    }

    /** An older release of this package may have cached another structure. */
    private function made(?Answer $answer, callable $make): mixed
    {
        try {
            return $answer === null ? null : $make($answer);
        } catch (ApiFailed) {
            return null;
        }
    }

    private function idOf(mixed $post): ?string
    {
        try {
            return CanonicalPost::of($post);
        } catch (Throwable $error) {
            $this->answers->tell('read.invalid', PageViews::why($error));

            return null;
        }
    }

    /**
     * @template T
     * @param DateTimeInterface|T $value
     * @return string|T
     */
    private static function day(mixed $value): mixed
    {
        return $value instanceof DateTimeInterface ? $value->format('Y-m-d') : $value;
    }
}
