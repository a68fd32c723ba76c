<?php

declare(strict_types=1);

namespace Postviews\Tests\Models;

use Carbon\CarbonImmutable;
use Carbon\CarbonPeriod;
use DateTime;
use DateTimeZone;
use Illuminate\Database\Eloquent\Builder as EloquentBuilder;
use Illuminate\Database\Query\Builder;
use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Schema;
use LogicException;
use PHPUnit\Framework\Attributes\DataProvider;
use Postviews\Laravel\Models\PostView;
use Postviews\Laravel\Models\PostViewAggregate;
use Postviews\Tests\Post;
use Postviews\Tests\TestCase;
use ReflectionClass;

/** Uses tables as the service creates them on SQLite; test/laravel/reading.test.ts reads a service's own tables, on MariaDB too. */
final class ModelsTest extends TestCase
{
    private const EVENT = '0192f3a4-7b1c-7d2e-8f30-5a6b7c8d9e0f';

    protected function setUp(): void
    {
        parent::setUp();
        config([
            'app.timezone' => 'Europe/Warsaw',
            'database.default' => 'blog',
            'database.connections.blog' => ['driver' => 'sqlite', 'database' => ':memory:'],
        ]);
        date_default_timezone_set('Europe/Warsaw');
        $migration = (string) file_get_contents(__DIR__ . '/../../../analytics/src/store/sqlite/migrations/001.do.initial.sql');
        DB::unprepared($migration);
        DB::insert(
            'INSERT INTO post_views (post_uuid, user_id, ip, viewed_at, event_id, received_at, day, slice, logged_in, bot, visitor)
                VALUES (?, ?, ?, ?, CAST(? AS BLOB), ?, ?, 0, 1, 0, CAST(? AS BLOB))',
            ['42', '18446744073709551615', '203.0.113.7', 1795264496, hex2bin(str_replace('-', '', self::EVENT)),
                1795264497, '2026-11-21', str_repeat("\xff", 16)],
        );
        DB::insert(
            'INSERT INTO post_view_aggregates (post_uuid, date, view_count, unique_views, logged_in, bots, first_viewed_at)
                VALUES (?, ?, 3, NULL, 1, 0, ?)',
            ['42', '2026-11-21', 1795264496],
        );
    }

    protected function tearDown(): void
    {
        date_default_timezone_set('UTC');
        parent::tearDown();
    }

    public function test_a_row_of_a_view_becomes_json_without_what_tells_the_reader(): void
    {
        self::assertSame([
            'id' => 1,
            'post_uuid' => '42',
            'user_id' => '18446744073709551615',
            'ip' => '203.0.113.7',
            'user_agent' => null,
            'referer' => null,
            'viewed_at' => '2026-11-21T12:34:56.000000Z',
            'event_id' => self::EVENT,
            'received_at' => '2026-11-21T12:34:57.000000Z',
            'day' => '2026-11-21',
            'slice' => 0,
            'logged_in' => true,
            'bot' => false,
            'referer_host' => null,
        ], json_decode(PostView::first()->toJson(), true));
        self::assertSame(str_repeat('ff', 16), PostView::first()->visitor);
        // The day is not converted to the application's time zone.
        self::assertSame('2026-11-21', PostView::first()->day->format('Y-m-d'));
    }

    public function test_a_row_of_a_day_becomes_json_and_what_is_not_known_stays_unknown(): void
    {
        self::assertSame([
            'date' => '2026-11-21',
            'post_uuid' => '42',
            'view_count' => 3,
            'baseline' => 0,
            'unique_views' => null,
            'logged_in' => 1,
            'bots' => 0,
            'first_viewed_at' => '2026-11-21T12:34:56.000000Z',
            'last_viewed_at' => null,
        ], json_decode(PostViewAggregate::first()->toJson(), true));
    }

    public function test_a_time_as_mysql_tells_it_is_one_in_utc(): void
    {
        $view = (new PostView())->setRawAttributes(['viewed_at' => '2026-11-21 12:34:56', 'received_at' => null]);
        self::assertSame(1795264496, $view->viewed_at->getTimestamp());
        self::assertNull($view->received_at);
    }

    public function test_rows_are_found_by_their_post_and_by_their_event(): void
    {
        self::assertCount(1, PostView::forPost(Post::known(42))->get());
        self::assertCount(0, PostView::forPost(4)->get());
        self::assertSame(3, (int) PostViewAggregate::forPost('42')->sum('view_count'));
        self::assertSame(1, PostView::withEventId(self::EVENT)->sole()->id);
        self::assertNull(PostView::withEventId('0192f3a4-7b1c-7d2e-8f30-000000000000')->first());
        self::assertSame(['42'], PostView::forPost(42)->getBindings());
    }

    public function test_an_id_of_a_post_is_bound_as_it_is_stored(): void
    {
        // Compared with a number, MySQL would also find 42abc.
        self::assertSame(['42'], PostView::where('post_uuid', 42)->getBindings());
        self::assertSame(['42', self::EVENT], PostView::whereIn('post_uuid', [42, strtoupper(self::EVENT)])->getBindings());
        self::assertSame(['4%'], PostView::where('post_uuid', 'like', '4%')->getBindings());
    }

    public function test_the_tables_and_their_connection_may_have_other_names(): void
    {
        config([
            'database.connections.analytics' => ['driver' => 'sqlite', 'database' => ':memory:'],
            'postviews.models' => ['connection' => 'analytics', 'post_views' => 'views'],
        ]);
        Schema::connection('analytics')->create('views', fn ($table) => $table->id());
        self::assertCount(0, PostView::all());
        self::assertSame(['views', 'post_view_aggregates'], [(new PostView())->getTable(), (new PostViewAggregate())->getTable()]);
        self::assertSame(1, PostView::on('blog')->from('post_views')->count());
    }

    public function test_times_of_mysql_are_read_in_a_session_in_utc_whatever_the_connection_of_the_application_is_in(): void
    {
        foreach (['mysql', 'mariadb'] as $driver) {
            config(['database.connections.blog' => ['driver' => $driver, 'host' => 'db', 'timezone' => '+01:00']]);
            self::assertSame('blog-in-utc', (new PostView())->getConnectionName());
            self::assertSame(
                ['timezone' => '+00:00', 'driver' => $driver, 'host' => 'db'],
                config('database.connections.blog-in-utc'),
            );
            config(['database.connections.blog.timezone' => '+00:00']);
            self::assertSame('blog', (new PostView())->getConnectionName());
        }
    }

    /** Each query finds the view of 12:34:56 UTC, and not the one an hour later. */
    #[DataProvider('waysToAskForTimes')]
    public function test_rows_are_found_by_their_times_in_any_zone(callable $query): void
    {
        date_default_timezone_set('Europe/Berlin');
        $hourLater = 1795264496 + 3_600;
        DB::insert('INSERT INTO post_views (post_uuid, viewed_at, received_at, day) VALUES (?, ?, ?, ?)', ['43', $hourLater, $hourLater, '2026-11-22']);
        self::assertSame(['42'], $query(PostView::query())->pluck('post_uuid')->all());
    }

    /** @return array<string, array{callable(EloquentBuilder): EloquentBuilder}> */
    public static function waysToAskForTimes(): array
    {
        $time = static fn (string $time): CarbonImmutable => CarbonImmutable::parse("2026-11-21 $time", 'Europe/Berlin');

        return [
            'a time of the application' => [fn ($query) => $query->where('viewed_at', $time('13:34:56'))],
            'an operator' => [fn ($query) => $query->where('viewed_at', '<', $time('13:50:00'))],
            'with the name of the table' => [fn ($query) => $query->where('post_views.viewed_at', '<=', $time('13:34:56'))],
            'a time in New York' => [fn ($query) => $query->where('viewed_at', new DateTime('2026-11-21 07:34:56', new DateTimeZone('America/New_York')))],
            'a text, which is in UTC' => [fn ($query) => $query->where('viewed_at', '<', '2026-11-21 12:50:00')],
            'a text with an offset' => [fn ($query) => $query->where('viewed_at', '<', '2026-11-21T13:50:00+01:00')],
            'Unix seconds' => [fn ($query) => $query->where('viewed_at', 1795264496)],
            'an array' => [fn ($query) => $query->where(['viewed_at' => $time('13:34:56')])],
            'a dynamic method' => [fn ($query) => $query->whereViewedAt($time('13:34:56'))],
            'not' => [fn ($query) => $query->whereNot('viewed_at', '>', $time('13:50:00'))],
            'or' => [fn ($query) => $query->where('id', 99)->orWhere('viewed_at', '<', $time('13:50:00'))],
            'nested' => [fn ($query) => $query->where(fn ($nested) => $nested->where('id', 99)->orWhere('received_at', '<', $time('13:50:00')))],
            'between' => [fn ($query) => $query->whereBetween('viewed_at', [$time('13:00:00'), $time('14:00:00')])],
            'between, not' => [fn ($query) => $query->whereNotBetween('viewed_at', [$time('14:00:00'), $time('15:00:00')])],
            'between the ends of a period' => [fn ($query) => $query->whereBetween('viewed_at', CarbonPeriod::between($time('13:00:00'), $time('14:00:00'))->minutes())],
            'in' => [fn ($query) => $query->whereIn('viewed_at', [$time('13:34:56'), $time('20:00:00')])],
            'not in' => [fn ($query) => $query->whereNotIn('viewed_at', [$time('14:34:56')])],
            'any of some columns' => [fn ($query) => $query->whereAny(['viewed_at', 'received_at'], '<', $time('13:50:00'))],
            'raw' => [fn ($query) => $query->whereRaw('viewed_at < ?', [$time('13:50:00')])],
            'having' => [fn ($query) => $query->select('post_uuid')->groupBy('post_uuid')->havingRaw('max(viewed_at) < ?', [$time('13:50:00')])],
            'having, by another name' => [fn ($query) => $query->selectRaw('post_uuid, max(viewed_at) as latest')
                ->groupBy('post_uuid')->having('latest', '<', $time('13:50:00'))],
            'a sub-query' => [fn ($query) => $query->whereIn('id', PostView::select('id')->where('viewed_at', '<', $time('13:50:00')))],
            'a day' => [fn ($query) => $query->where('day', $time('00:00:00'))],
            'a day, as of a date' => [fn ($query) => $query->whereDate('day', $time('00:00:00'))],
            'days' => [fn ($query) => $query->whereBetween('day', [$time('00:00:00')->subDay(), $time('23:59:59')])],
        ];
    }

    public function test_the_days_of_aggregates_are_found_by_dates_too(): void
    {
        self::assertCount(1, PostViewAggregate::where('date', CarbonImmutable::parse('2026-11-21', 'Europe/Berlin'))->get());
        self::assertCount(1, PostViewAggregate::whereBetween('date', ['2026-11-01', '2026-11-30'])->get());
        self::assertCount(1, PostViewAggregate::where('first_viewed_at', '<=', CarbonImmutable::createFromTimestamp(1795264496))->get());
        self::assertCount(0, PostViewAggregate::where('first_viewed_at', '<', CarbonImmutable::createFromTimestamp(1795264496))->get());
    }

    /** @param callable(EloquentBuilder): mixed $ask */
    #[DataProvider('questionsThatHaveNoAnswer')]
    public function test_what_would_silently_find_the_wrong_rows_is_refused_with_what_to_use(callable $ask, string $told): void
    {
        try {
            $ask(PostView::query());
            self::fail('it was asked');
        } catch (LogicException $error) {
            self::assertStringContainsString($told, $error->getMessage());
        }
    }

    /** @return array<string, array{callable(EloquentBuilder): mixed, string}> */
    public static function questionsThatHaveNoAnswer(): array
    {
        $day = 'use the column day';

        return [
            'a date' => [fn ($query) => $query->whereDate('viewed_at', '2026-11-21'), $day],
            'a date, or' => [fn ($query) => $query->orWhereDate('viewed_at', '>', now()), $day],
            'a time of day' => [fn ($query) => $query->whereTime('received_at', '12:00'), $day],
            'a year' => [fn ($query) => $query->whereYear('viewed_at', 2026), $day],
            'a month' => [fn ($query) => $query->whereMonth('viewed_at', 11), $day],
            'like' => [fn ($query) => $query->where('viewed_at', 'like', '2026-11%'), 'not a time'],
            'whereLike' => [fn ($query) => $query->whereLike('viewed_at', '2026-11%'), 'not a time'],
            'a text that is no time' => [fn ($query) => $query->where('viewed_at', 'yesterday evening'), 'not a time'],
            'the text of a UUID' => [fn ($query) => $query->where('event_id', self::EVENT), 'withEventId'],
            'texts of UUIDs' => [fn ($query) => $query->whereIn('event_id', [self::EVENT]), 'withEventId'],
            'a number as a text' => [fn ($query) => $query->where('viewed_at', '2026'), 'not a time'],
        ];
    }

    #[DataProvider('waysToWrite')]
    public function test_nothing_is_ever_written(callable $write): void
    {
        $rows = DB::table('post_views')->get();
        try {
            $write(PostView::first());
            self::fail('it was written');
        } catch (LogicException $error) {
            self::assertStringContainsString('read-only', $error->getMessage());
        }
        self::assertEquals($rows, DB::table('post_views')->get());
    }

    /** @return array<string, array{callable(PostView): mixed}> */
    public static function waysToWrite(): array
    {
        return [
            'save' => [fn (PostView $view) => $view->forceFill(['ip' => null])->save()],
            'save, quietly' => [fn (PostView $view) => $view->forceFill(['ip' => null])->saveQuietly()],
            'create' => [fn () => (new PostView())->forceFill(['post_uuid' => '42', 'viewed_at' => now()])->save()],
            'increment' => [fn (PostView $view) => $view->increment('slice')],
            'delete' => [fn (PostView $view) => $view->delete()],
            'delete, quietly' => [fn (PostView $view) => $view->deleteQuietly()],
            'destroy' => [fn () => PostView::destroy(1)],
            'truncate' => [fn () => PostView::truncate()],
            'update of many' => [fn () => PostView::where('id', 1)->update(['ip' => null])],
            'delete of many' => [fn () => PostView::where('id', 1)->delete()],
            'insert' => [fn () => PostView::insert(['post_uuid' => '42', 'viewed_at' => 1])],
            'upsert' => [fn () => PostView::upsert(['post_uuid' => '42', 'viewed_at' => 1], ['id'])],
            'of the query below' => [fn () => PostView::query()->toBase()->delete()],
        ];
    }

    public function test_no_way_to_write_that_laravel_gains_is_forgotten(): void
    {
        $writing = [];
        foreach ((new ReflectionClass(Builder::class))->getMethods() as $method) {
            if ($method->isPublic() && preg_match('/^(insert|update|upsert|increment|decrement|delete|truncate)/', $method->name)) {
                $writing[] = $method->name;
            }
        }
        self::assertGreaterThan(12, count($writing));
        foreach ($writing as $name) {
            try {
                (new PostView())->newQuery()->getQuery()->$name([], [], []);
                self::fail("$name wrote");
            } catch (LogicException $error) {
                self::assertStringContainsString('read-only', $error->getMessage(), $name);
            }
        }
    }
}
