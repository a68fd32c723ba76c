<?php

declare(strict_types=1);

namespace Postviews\Tests\Reading;

use Carbon\CarbonImmutable;
use Closure;
use Illuminate\Http\Client\Request;
use Illuminate\Support\Facades\Cache;
use Illuminate\Support\Facades\Http;
use Postviews\Laravel\Facades\Postviews;
use Postviews\Laravel\Reading\HourStatistics;

/** Who read a post: what is requested, and what answers mean. The real API is in test/laravel/reading.test.ts. */
final class WhoReadTest extends ReadingTestCase
{
    private const HEAD = [
        'as_of' => '2026-11-21T12:00:00.000Z',
        'timezone' => 'Europe/Warsaw',
        'from' => '2026-11-20',
        'to' => '2026-11-21',
    ];
    private const BREAKDOWN = self::HEAD + [
        'dimension' => 'source',
        'details_since' => '2026-11-21',
        'views' => 12,
        'total' => 3,
        'values' => [['value' => 'Google', 'views' => 6, 'bots' => 1], ['value' => null, 'views' => 2, 'bots' => null]],
        'other' => ['values' => null, 'views' => 1, 'bots' => 0],
        'unknown' => ['views' => 3],
    ];
    private const DAYS = self::HEAD + [
        'dimension' => 'source',
        'value' => 'Google',
        'days' => [['date' => '2026-11-20', 'views' => null, 'bots' => null], ['date' => '2026-11-21', 'views' => 6, 'bots' => 1]],
    ];
    private const HOURS = self::HEAD + ['hours' => [
        ['start' => '2026-11-19T23:00:00Z', 'hour' => 0, 'views' => 0, 'bots' => 0],
        ['start' => '2026-11-20T00:00:00Z', 'hour' => 1, 'views' => null, 'bots' => null],
    ]];

    public function test_the_values_of_a_dimension(): void
    {
        Http::fake(fn () => Http::response(['post_uuid' => '42'] + self::BREAKDOWN));
        $sources = Postviews::breakdown(42, 'source');
        self::assertSame(['42', 'source', 'Europe/Warsaw'], [$sources->post, $sources->dimension, $sources->timezone]);
        self::assertSame(['2026-11-20', '2026-11-21'], [$sources->from, $sources->to]);
        self::assertSame(['Google' => 6, '' => 2], $sources->values->pluck('views', 'value')->all());
        self::assertSame([1, null], array_map(fn ($value) => $value->bots, [...$sources]));
        self::assertSame([12, 3, 1, null, 3], [
            $sources->views, $sources->total, $sources->otherViews, $sources->otherValues, $sources->unknownViews,
        ]);
        self::assertSame('2026-11-21', $sources->detailsSince);
        self::assertEquals(CarbonImmutable::parse('2026-11-21T12:00:00Z'), $sources->asOf);
        self::assertCount(2, $sources);
        Http::assertSentCount(1);
    }

    public function test_what_is_asked_for(): void
    {
        Http::fake([
            '*/daily*' => fn () => Http::response(self::DAYS),
            '*/hourly*' => fn () => Http::response(self::HOURS),
            '*' => fn () => Http::response(self::BREAKDOWN),
        ]);
        $site = 'http://analytics.test:3100/blog/api/v1/';
        $questions = [
            [fn () => Postviews::breakdown('aB1', 'os', days: 7, limit: 5, offset: 10, who: 'people'),
                'posts/aB1/breakdowns/os?days=7&limit=5&offset=10&who=people'],
            [fn () => Postviews::siteBreakdown('bot', from: CarbonImmutable::parse('2026-11-01'), to: '2026-11-02'),
                'breakdowns/bot?from=2026-11-01&to=2026-11-02&limit=10&offset=0'],
            [fn () => Postviews::valueDaily(7, 'source', 'a b&c=/ü', days: 3, who: 'bots'),
                'posts/7/breakdowns/source/daily?value=a%20b%26c%3D%2F%C3%BC&days=3&who=bots'],
            [fn () => Postviews::siteValueDaily('source', null), 'breakdowns/source/daily'],
            [fn () => Postviews::hourly(7, from: '2026-11-20', to: '2026-11-21'),
                'posts/7/views/hourly?from=2026-11-20&to=2026-11-21'],
            [fn () => Postviews::siteHourly(days: 2, who: 'all'), 'views/hourly?days=2&who=all'],
        ];
        foreach ($questions as [$ask, $url]) {
            self::assertNotNull($ask(), $url);
            self::assertSame($site . $url, Http::recorded()->last()[0]->url());
        }
        Http::assertSentCount(count($questions));
        // The cache has the answer to each.
        foreach ($questions as [$ask]) {
            self::assertNotNull($ask());
        }
        Http::assertSentCount(count($questions));
    }

    public function test_whose_views_are_counted(): void
    {
        $this->fake(fn (Request $request) => str_contains($request->url(), '/top')
            ? Http::response(['period' => 'all', 'total' => 1, 'posts' => $this->posts([7 => 3])] + self::HEAD)
            : (str_contains($request->url(), '/daily')
                ? Http::response($this->days(7, [1, 2]))
                : $this->answer([7 => 3], explode(',', $request['uuids']), isset($request['days']) ? (int) $request['days'] : null)));
        $site = 'http://analytics.test:3100/blog/api/v1/posts/';
        $questions = [
            [fn () => Postviews::views(7, 'people'), 'views?uuids=7&who=people'],
            [fn () => Postviews::uniqueViews(7, who: 'bots'), 'views?uuids=7&who=bots'],
            [fn () => Postviews::statistics(7, who: 'all'), 'views?uuids=7&who=all'],
            [fn () => Postviews::statistics(7), 'views?uuids=7'],
            [fn () => Postviews::many([8, 9], who: 'people')->of(9), 'views?uuids=8%2C9&who=people'],
            [fn () => Postviews::daily(7, days: 3, who: 'people'), 'views?uuids=7&days=3&who=people'],
            [fn () => Postviews::daily(7, days: 3), 'views?uuids=7&days=3'],
            [fn () => Postviews::daily(7, from: '2026-11-20', who: 'bots'), '7/views/daily?from=2026-11-20&who=bots'],
            [fn () => Postviews::manyDaily([8, 9], 2, 'bots')->of(8), 'views?uuids=8%2C9&days=2&who=bots'],
            [fn () => Postviews::top(limit: 5, who: 'people'), 'top?limit=5&offset=0&who=people'],
        ];
        foreach ($questions as $nth => [$ask, $url]) {
            self::assertNotNull($ask(), $url);
            self::assertSame($site . $url, Http::recorded()->last()[0]->url());
            Http::assertSentCount($nth + 1);
        }
        // The cache has the answer to each, and takes none for another.
        foreach ($questions as [$ask]) {
            self::assertNotNull($ask());
        }
        Http::assertSentCount(count($questions));
    }

    public function test_views_of_people_that_nobody_knows_are_null_and_those_of_all_are_always_known(): void
    {
        $unknown = ['views' => null, 'unique_views' => 1] + $this->posts([7 => 3])[0];
        $this->fake(fn () => Http::response(['posts' => [$unknown]] + self::HEAD));
        $statistics = Postviews::statistics(7, who: 'people');
        self::assertSame([null, 1], [$statistics->views, $statistics->uniqueViews]);
        self::assertNull(Postviews::views(7, who: 'people'));
        self::assertNull(Postviews::statistics(7));
        Http::assertSentCount(2);
        // After such an answer nobody asks for a while.
        $this->travel(1)->minutes();

        $days = $this->days(7, [1, 2]);
        $days['days'][0]['views'] = null;
        $this->fake(fn () => Http::response($days));
        $people = Postviews::daily(7, from: '2026-11-20', who: 'people');
        self::assertSame([null, 2], $people->days->pluck('views')->all());
        self::assertSame([null, 2], [$people->views(), $people->uniqueViews()]);
        self::assertNull(Postviews::daily(7, from: '2026-11-20'));
        $this->travel(1)->minutes();

        $this->fake(fn () => Http::response(['period' => 'all', 'total' => 1, 'posts' => [$unknown]] + self::HEAD));
        $top = Postviews::top(who: 'people');
        self::assertNull($top->posts[0]->views);
        self::assertNull(json_decode((string) json_encode($top), true)['posts'][0]['views']);
        self::assertNull(Postviews::top());
    }

    public function test_days_and_hours_that_are_not_known_are_null_and_have_no_sum(): void
    {
        $this->fake(fn () => Http::response(self::DAYS));
        $days = Postviews::siteValueDaily('source', 'Google', days: 2);
        self::assertNull($days->post);
        self::assertSame([null, 6], $days->days->pluck('views')->all());
        self::assertNull($days->views());
        $this->fake(fn () => Http::response(['days' => [self::DAYS['days'][1]]] + self::DAYS));
        self::assertSame(6, Postviews::siteValueDaily('source', 'Google', days: 1)->views());
        $this->fake(fn () => Http::response(self::HOURS));
        $hours = Postviews::siteHourly(days: 2);
        self::assertSame([0, null], array_map(fn (HourStatistics $hour) => $hour->views, [...$hours]));
        self::assertEquals(CarbonImmutable::parse('2026-11-19T23:00:00Z'), $hours->hours[0]->start);
        self::assertSame(1, $hours->hours[1]->hour);
    }

    public function test_as_json_they_have_the_names_of_the_api(): void
    {
        $post = ['post_uuid' => '42'];
        foreach (
            [
            [self::BREAKDOWN, fn () => Postviews::siteBreakdown('source')],
            [$post + self::BREAKDOWN, fn () => Postviews::breakdown(42, 'source')],
            [self::DAYS, fn () => Postviews::siteValueDaily('source', 'Google')],
            [$post + self::DAYS, fn () => Postviews::valueDaily(42, 'source', 'Google')],
            [self::HOURS, fn () => Postviews::siteHourly()],
            [$post + self::HOURS, fn () => Postviews::hourly(42)],
            ] as [$answer, $ask]
        ) {
            $this->fake(fn () => Http::response($answer));
            $told = json_decode((string) json_encode($ask()), true);
            self::assertEquals(['as_of' => '2026-11-21T12:00:00Z', 'is_stale' => false] + $answer, $told);
        }
    }

    public function test_while_the_api_is_away_the_last_answer_is_a_stale_one_and_without_one_it_is_null(): void
    {
        $this->fake(fn () => Http::response(self::BREAKDOWN));
        Postviews::siteBreakdown('source');
        $this->travel(5)->minutes();
        $this->fakeAway();
        self::assertTrue(Postviews::siteBreakdown('source')->isStale);
        self::assertNull(Postviews::siteBreakdown('country'));
        self::assertNull(Postviews::valueDaily(42, 'source', 'Google'));
        self::assertNull(Postviews::siteHourly());
        self::assertSame(1, $this->asked);
    }

    public function test_a_wrong_question_is_told_and_keeps_nobody_from_asking_others(): void
    {
        Http::fake([
            '*/breakdowns/planet*' => Http::response(
                ['status' => 404, 'detail' => 'there is no dimension "planet": there are hour, source', 'parameter' => 'dimension'],
                404,
            ),
            '*' => $this->answer([42 => 5]),
        ]);
        self::assertNull(Postviews::breakdown(42, 'planet'));
        self::assertStringContainsString('there are hour, source', $this->loggedOf('read.invalid')[0]);
        // Neither is requested: a path with `..` would be another request.
        foreach (['..', '../views', 'source/daily', '', 'a?who=bots', "os\n"] as $dimension) {
            self::assertNull(Postviews::siteBreakdown($dimension));
            self::assertNull(Postviews::valueDaily(42, $dimension, null));
        }
        self::assertNull(Postviews::breakdown('a/b', 'source'));
        // Not those of the site.
        self::assertNull(Postviews::hourly(null));
        Http::assertSentCount(1);
        self::assertSame(5, Postviews::views(42));
    }

    public function test_a_404_that_is_not_about_a_dimension_is_not_the_api(): void
    {
        $this->fake(fn () => Http::response(['status' => 404, 'detail' => 'there is no such route'], 404));
        self::assertNull(Postviews::siteBreakdown('source'));
        self::assertStringContainsString('check POSTVIEWS_API_URL', $this->loggedOf('api.unavailable')[0]);
    }

    public function test_what_is_not_the_api_has_no_values(): void
    {
        $value = ['value' => 'Google', 'views' => 6, 'bots' => 1];
        $wrong = [
            [fn () => Postviews::siteBreakdown('source'), [
                ['values' => [['views' => null] + $value]] + self::BREAKDOWN,
                ['values' => [['value' => 7] + $value]] + self::BREAKDOWN,
                ['values' => [['views' => 6, 'bots' => 1]]] + self::BREAKDOWN,
                ['other' => null] + self::BREAKDOWN,
                ['unknown' => 3] + self::BREAKDOWN,
                ['views' => '12'] + self::BREAKDOWN,
                array_diff_key(self::BREAKDOWN, ['unknown' => 0]),
            ]],
            [fn () => Postviews::siteValueDaily('source', 'Google'), [
                ['days' => [['date' => '2026-11-20', 'bots' => 0]]] + self::DAYS,
                ['days' => [['date' => '2026-11-20', 'views' => -1, 'bots' => 0]]] + self::DAYS,
            ]],
            [fn () => Postviews::siteHourly(), [
                ['hours' => [['start' => 'soon', 'hour' => 12, 'views' => 1, 'bots' => 0]]] + self::HOURS,
                ['hours' => [['start' => '2026-11-20T00:00:00Z', 'hour' => null, 'views' => 1, 'bots' => 0]]] + self::HOURS,
            ]],
        ];
        foreach ($wrong as [$ask, $answers]) {
            foreach ($answers as $answer) {
                $this->assertUnknown($ask, $answer);
            }
        }
    }

    /** @param array<string, mixed> $answer */
    private function assertUnknown(Closure $ask, array $answer): void
    {
        Cache::flush();
        $this->app->forgetScopedInstances();
        $this->fake(fn (Request $request) => Http::response($answer));
        self::assertNull($ask(), (string) json_encode($answer));
    }
}
