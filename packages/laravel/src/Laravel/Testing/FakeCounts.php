<?php

declare(strict_types=1);

namespace Postviews\Laravel\Testing;

use GuzzleHttp\Promise\PromiseInterface;
use Illuminate\Http\Client\Request;
use Illuminate\Support\Facades\Date;
use Illuminate\Support\Facades\Http;
use Postviews\Laravel\Reading\CanonicalPost;

/**
 * An internal API for an application's tests. It has only the given counts, all of them as of today, whatever `who` is asked for. It
 * answers through Laravel's `Http`, so everything above that is the same as in production.
 *
 * @see \Postviews\Laravel\Facades\Postviews::fake which creates it
 */
final class FakeCounts
{
    private const URL = 'http://postviews.fake';

    /** @var ?array<array-key, int> by post, in the API's spelling */
    private ?array $views;
    private readonly FakeBreakdowns $breakdowns;

    /**
     * @param ?array<array-key, int> $views by post; null: the API is unavailable
     * @param ?int $others the count of all other posts; null: reading one fails the test (0 if `$views` is empty)
     */
    public function __construct(?array $views, private ?int $others = null)
    {
        $this->views = $views === null ? null : array_combine(
            array_map(CanonicalPost::of(...), array_keys($views)),
            array_values($views),
        );
        $this->others ??= $views === [] ? 0 : null;
        $this->breakdowns = new FakeBreakdowns();
        $this->install();
    }

    /** Adds a count. The post is a model, its id or its UUID. */
    public function views(mixed $post, int $views): self
    {
        $this->views = [CanonicalPost::of($post) => $views] + ($this->views ?? []);
        $this->install();

        return $this;
    }

    /**
     * Adds the views of some values of a dimension. The post's other views have no value; if it has fewer views than these, it gets
     * as many. A `bot` and a `purpose` are of bots, all other values of people.
     *
     *     Postviews::fake()->views($post, 10)->breakdown($post, 'source', ['Hacker News' => 6]);
     *
     * @param array<array-key, int> $values views by value
     */
    public function breakdown(mixed $post, string $dimension, array $values): self
    {
        $id = CanonicalPost::of($post);
        $this->breakdowns->set($id, $dimension, $values);

        return $this->views($post, max($this->views[$id] ?? 0, array_sum($values)));
    }

    private function install(): void
    {
        // A new URL, so that no cached answers apply and the application's own fakes handle all other requests.
        $url = self::URL . '/' . bin2hex(random_bytes(4));
        config([
            'postviews.api.url' => $url,
            'postviews.api.key' => 'fake',
            'postviews.api.in_tests' => true,
            'postviews.cache.store' => 'array',
        ]);
        app()->forgetScopedInstances();
        Http::fake([
            "$url/*" => fn (Request $request): PromiseInterface => $this->views === null
                ? Http::response('', 503)
                : Http::response($this->answer($request) + ['as_of' => Date::now('UTC')->toIso8601ZuluString()]),
        ]);
    }

    /** @return array<string, mixed> */
    private function answer(Request $request): array
    {
        $query = $request->data();
        $path = (string) parse_url($request->url(), PHP_URL_PATH);
        if (str_ends_with($path, '/posts/top')) {
            return $this->top((int) ($query['limit'] ?? 10), (int) ($query['offset'] ?? 0), $query['period'] ?? 'all');
        }
        $period = $this->period($query);
        if (preg_match('#/posts/([^/]+)/views/daily$#', $path, $match) === 1) {
            return $this->post($match[1], $period) + $period;
        }
        $whoRead = '#(?:/posts/([^/]+))?/(?:breakdowns/([a-z_]+)(/daily)?|views/hourly)$#';
        if (preg_match($whoRead, $path, $match, PREG_UNMATCHED_AS_NULL) === 1) {
            return $this->whoRead($match[1], $match[2], isDaily: $match[3] !== null, query: $query);
        }
        $isDaily = isset($query['days']);

        return [
            'posts' => array_map(
                fn (string $post): array => $this->post($post, $isDaily ? $period : null),
                explode(',', (string) $query['uuids']),
            ),
        ] + ($isDaily ? $period : []);
    }

    /**
     * @param ?array{timezone: string, from: string, to: string} $period
     * @return array<string, mixed>
     */
    private function post(string $post, ?array $period): array
    {
        $views = $this->viewsOf($post);
        $time = $views === 0 ? null : Date::now('UTC')->toIso8601ZuluString();
        $today = Date::now('UTC')->format('Y-m-d');
        $days = array_map(
            static fn (string $date): array => ['date' => $date] + self::figures($date === $today ? $views : 0),
            $period === null ? [] : self::dates($period),
        );

        return ['post_uuid' => $post, 'first_viewed_at' => $time, 'last_viewed_at' => $time, 'days' => $days]
            + self::figures($views);
    }

    /**
     * @param ?string $post null: the site, which has the views of the named posts
     * @param ?string $dimension null: the hours of each day
     * @param array<string, mixed> $query
     * @return array<string, mixed>
     */
    private function whoRead(?string $post, ?string $dimension, bool $isDaily, array $query): array
    {
        $period = $this->period($query, $dimension === null ? 1 : 30);
        $dates = self::dates($period);
        $posts = $post === null ? $this->views ?? [] : [$post => $this->viewsOf($post)];
        $isNow = in_array(Date::now('UTC')->format('Y-m-d'), $dates, true);
        $values = $isNow ? $this->breakdowns->of($posts, $dimension ?? 'hour') : [];
        $head = array_filter(['post_uuid' => $post, 'dimension' => $dimension], static fn (?string $text): bool => $text !== null);

        return $head + $period + match (true) {
            $dimension === null => FakeBreakdowns::hours($values, $dates),
            $isDaily => FakeBreakdowns::days($values, $dimension, $query['value'] ?? null, $dates),
            default => FakeBreakdowns::page($values, $dimension, (int) $query['limit'], (int) $query['offset']),
        };
    }

    /**
     * @param array<string, string> $period
     * @return list<string>
     */
    private static function dates(array $period): array
    {
        $dates = [];
        for ($day = Date::parse($period['from']); $day->lte($period['to']); $day = $day->addDay()) {
            $dates[] = $day->format('Y-m-d');
        }

        return $dates;
    }

    /**
     * @param array<string, mixed> $query
     * @return array{timezone: string, from: string, to: string}
     */
    private function period(array $query, int $days = 30): array
    {
        $today = Date::now('UTC');
        $first = $today->copy()->subDays((int) ($query['days'] ?? $days) - 1);

        return [
            'timezone' => 'UTC',
            'from' => $query['from'] ?? $first->format('Y-m-d'),
            'to' => $query['to'] ?? $today->format('Y-m-d'),
        ];
    }

    /** @return array<string, mixed> */
    private function top(int $limit, int $offset, string $period): array
    {
        $views = array_filter($this->views ?? []);
        arsort($views);
        $page = array_slice($views, $offset, $limit, preserve_keys: true);

        return [
            'period' => $period,
            'total' => count($views),
            'posts' => array_map(
                static fn (int|string $post, int $count): array => ['post_uuid' => (string) $post] + self::figures($count),
                array_keys($page),
                $page,
            ),
        ];
    }

    private function viewsOf(string $post): int
    {
        return $this->views[$post] ?? $this->others
            ?? throw UnnamedPost::of($post, array_map(strval(...), array_keys($this->views ?? [])));
    }

    /**
     * Each view is by a different reader, who is not logged in.
     *
     * @return array<string, int>
     */
    private static function figures(int $views): array
    {
        return ['views' => $views, 'unique_views' => $views, 'logged_in' => 0, 'anonymous' => $views, 'bots' => 0];
    }
}
