<?php

declare(strict_types=1);

namespace Postviews\Tests\Reading;

use Closure;
use GuzzleHttp\Promise\PromiseInterface;
use Illuminate\Http\Client\Request;
use Illuminate\Support\Facades\Http;
use Postviews\Tests\TestCase;

abstract class ReadingTestCase extends TestCase
{
    protected const KEY = 'a-key-that-nobody-sees';

    /** The number of requests to the API since it is away. */
    protected int $asked = 0;
    protected ?Closure $onQuestion = null;

    protected function setUp(): void
    {
        parent::setUp();
        config(['postviews.api.url' => 'http://analytics.test:3100/blog/', 'postviews.api.key' => self::KEY, 'postviews.api.in_tests' => true]);
        Http::preventStrayRequests();
    }

    /** @param array<array-key, int> $views by post; all others have 0 */
    protected function fakeViews(array $views): void
    {
        $this->fake(fn (Request $request) => $this->answer($views, explode(',', $request['uuids']), isset($request['days']) ? (int) $request['days'] : null));
    }

    protected function fakeAway(): void
    {
        $this->asked = 0;
        $this->fake(function () {
            $this->asked++;
            if ($this->onQuestion !== null) {
                ($this->onQuestion)();
            }

            return Http::response('', 503);
        });
    }

    /** Replaces earlier fakes, which Laravel would ask first; requests so far still count. */
    protected function fake(Closure $answer): void
    {
        $http = Http::getFacadeRoot();
        (function (): void {
            $this->stubCallbacks = collect();
        })->call($http);
        Http::fake($answer);
    }

    /**
     * @param array<array-key, int> $views
     * @param ?list<string> $posts
     */
    protected function answer(array $views, ?array $posts = null, ?int $days = null): PromiseInterface
    {
        $posts = array_map(fn ($post) => $days === null
            ? $this->posts([$post => $views[$post] ?? 0])[0]
            : ['post_uuid' => (string) $post, 'days' => $this->days($post, range(1, $days))['days']]
                + $this->posts([$post => 0])[0], $posts ?? array_keys($views));
        $period = $days === null ? [] : array_intersect_key(
            $this->days(0, range(1, $days)),
            ['timezone' => 0, 'from' => 0, 'to' => 0],
        );

        return Http::response(['as_of' => '2026-11-21T12:00:00.000Z', 'posts' => $posts] + $period);
    }

    /**
     * @param array<array-key, int> $views
     * @return list<array<string, mixed>>
     */
    protected function posts(array $views): array
    {
        return array_map(static fn ($post, int $count): array => [
            'post_uuid' => (string) $post,
            'views' => $count,
            'unique_views' => intdiv($count, 2),
            'logged_in' => 0,
            'anonymous' => $count,
            'bots' => 0,
            'first_viewed_at' => $count === 0 ? null : '2026-11-01T00:00:00Z',
            'last_viewed_at' => $count === 0 ? null : '2026-11-21T11:59:59Z',
        ], array_keys($views), $views);
    }

    /**
     * @param list<int> $views oldest first, up to 2026-11-21
     * @return array<string, mixed>
     */
    protected function days(int|string $post, array $views, ?int $unique = 1): array
    {
        $first = strtotime('2026-11-21') - (count($views) - 1) * 86_400;
        $day = static fn (int $index): string => gmdate('Y-m-d', $first + $index * 86_400);

        return [
            'as_of' => '2026-11-21T12:00:00.000Z',
            'post_uuid' => (string) $post,
            'timezone' => 'UTC',
            'from' => $day(0),
            'to' => '2026-11-21',
            'days' => array_map(static fn (int $index, int $count): array => [
                'date' => $day($index),
                'views' => $count,
                'unique_views' => $unique,
                'logged_in' => 0,
                'anonymous' => $count,
                'bots' => 0,
            ], array_keys($views), $views),
        ];
    }
}
