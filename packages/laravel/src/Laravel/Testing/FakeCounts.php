<?php

declare(strict_types=1);

namespace Postviews\Laravel\Testing;

use GuzzleHttp\Promise\PromiseInterface;
use Illuminate\Http\Client\Request;
use Illuminate\Support\Facades\Date;
use Illuminate\Support\Facades\Http;
use Postviews\Laravel\Reading\CanonicalPost;

/**
 * An internal API for an application's tests. It has only the given counts, all of them as of today. It answers through Laravel's
 * `Http`, so everything above that is the same as in production.
 *
 * @see \Postviews\Laravel\Facades\Postviews::fake which creates it
 */
final class FakeCounts
{
    private const URL = 'http://postviews.fake';

    /** @var ?array<array-key, int> by post, in the API's spelling */
    private ?array $views;

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
        $this->install();
    }

    /** Adds a count. The post is a model, its id or its UUID. */
    public function views(mixed $post, int $views): self
    {
        $this->views = [CanonicalPost::of($post) => $views] + ($this->views ?? []);
        $this->install();

        return $this;
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
        $days = [];
        for ($day = $period === null ? null : Date::parse($period['from']); $day?->lte($period['to']); $day = $day->addDay()) {
            $date = $day->format('Y-m-d');
            $days[] = ['date' => $date] + self::figures($date === Date::now('UTC')->format('Y-m-d') ? $views : 0);
        }

        return ['post_uuid' => $post, 'first_viewed_at' => $time, 'last_viewed_at' => $time, 'days' => $days]
            + self::figures($views);
    }

    /**
     * @param array<string, mixed> $query
     * @return array{timezone: string, from: string, to: string}
     */
    private function period(array $query): array
    {
        $today = Date::now('UTC');
        $first = $today->copy()->subDays((int) ($query['days'] ?? 30) - 1);

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
