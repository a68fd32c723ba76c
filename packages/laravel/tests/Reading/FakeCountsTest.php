<?php

declare(strict_types=1);

namespace Postviews\Tests\Reading;

use Illuminate\Database\Eloquent\Collection;
use Illuminate\Support\Facades\Blade;
use Illuminate\Support\Facades\Http;
use LogicException;
use Postviews\Laravel\Facades\Postviews;
use Postviews\Tests\Post;
use Postviews\Tests\TestCase;

final class FakeCountsTest extends TestCase
{
    private const UUID = '0F8FAD5B-d9cb-469f-a165-70867728950e';

    public function test_the_counts_are_those_that_a_test_names(): void
    {
        Http::preventStrayRequests();
        Postviews::fake([42 => 1234, self::UUID => 5, 'aB1' => 7], others: 0);
        self::assertSame(1234, Postviews::views(Post::known(42)));
        self::assertSame([5, 7, 0, 0], Postviews::many([self::UUID, 'aB1', 'Ab1', 43])->pluck('views')->values()->all());
        self::assertSame([0, 0, 1234], Postviews::daily(42, days: 3)->days->pluck('views')->all());
        self::assertSame(1234, Postviews::daily(42, from: now()->subYear())->views());
        self::assertSame(['42', 'aB1'], Postviews::top(limit: 2)->posts->pluck('post')->all());
        self::assertSame(3, Postviews::top()->total);
        self::assertStringContainsString('1,234', Blade::render('<x-postviews-count :post="42" />'));
        self::assertSame([], $this->logged);
    }

    public function test_a_model_is_named_by_itself(): void
    {
        $post = Post::known(12, self::UUID);
        Postviews::fake()->views($post, 6)->views(43, 7);
        self::assertSame([6, 7, 0], Postviews::many([$post, 43, 44])->pluck('views')->values()->all());
        self::assertSame(6, Postviews::views($post));
        Postviews::fake([43 => 1])->views($post, 8);
        self::assertSame([8, 1], [Postviews::views($post), Postviews::views(43)]);
    }

    public function test_a_post_that_is_not_named_is_an_error_of_the_test_and_no_silent_0(): void
    {
        $post = Post::known(12, self::UUID);
        // Named by the primary key, although the model is counted by its uuid.
        Postviews::fake([$post->id => 6]);
        foreach (
            [
            fn () => Postviews::views($post),
            fn () => Postviews::daily($post, from: '2026-11-01'),
            fn () => (new Collection([$post]))->loadViews(),
            ] as $ask
        ) {
            try {
                $ask();
                self::fail('it has a count');
            } catch (LogicException $error) {
                self::assertStringContainsString(strtolower(self::UUID), $error->getMessage());
                self::assertStringContainsString('Postviews::fake()->views($post, 6)', $error->getMessage());
            }
        }
        self::assertSame(6, Postviews::views(12));
    }

    public function test_without_a_name_all_have_none(): void
    {
        Postviews::fake();
        self::assertSame(0, Postviews::views(Post::known(12, self::UUID)));
        self::assertSame(0, Postviews::top()->total);
    }

    public function test_a_later_one_takes_the_place_of_the_one_before(): void
    {
        Postviews::fake([42 => 1]);
        self::assertSame(1, Postviews::views(42));
        Postviews::fake([42 => 2]);
        self::assertSame(2, Postviews::views(42));
        Postviews::fake(null);
        self::assertNull(Postviews::views(42));
        self::assertNull(Postviews::top());
    }

    public function test_who_read_a_post_is_what_a_test_names_and_the_rest_has_no_value(): void
    {
        Http::preventStrayRequests();
        $this->travelTo('2026-11-21T12:30:00Z');
        $post = Post::known(12, self::UUID);
        Postviews::fake()->views($post, 10)
            ->breakdown($post, 'source', ['Hacker News' => 6, 'Google' => 1])
            ->breakdown(43, 'source', ['Google' => 2])
            ->breakdown(43, 'purpose', ['feed' => 1]);
        $pairs = fn ($breakdown) => $breakdown->values->map(fn ($value) => [$value->value, $value->views])->all();
        $sources = Postviews::breakdown($post, 'source', limit: 2);
        self::assertSame([['Hacker News', 6], [null, 3]], $pairs($sources));
        self::assertSame([10, 3, 1, 0], [$sources->views, $sources->total, $sources->otherViews, $sources->unknownViews]);
        self::assertSame([['Hacker News', 6], ['Google', 3], [null, 3]], $pairs(Postviews::siteBreakdown('source')));
        self::assertSame([[null, 10]], $pairs(Postviews::breakdown($post, 'country')));
        self::assertSame([], $pairs(Postviews::breakdown($post, 'bot')));
        self::assertSame(1, Postviews::siteBreakdown('purpose')->values[0]->bots);
        self::assertSame([], $pairs(Postviews::breakdown($post, 'source', from: '2026-11-01', to: '2026-11-20')));

        self::assertSame([0, 6], Postviews::valueDaily($post, 'source', 'Hacker News', days: 2)->days->pluck('views')->all());
        self::assertSame(3, Postviews::siteValueDaily('source', null, days: 1)->views());
        $hours = Postviews::hourly($post);
        self::assertSame([0, 10, null], [$hours->hours[11]->views, $hours->hours[12]->views, $hours->hours[13]->views]);
        self::assertSame(12, Postviews::siteHourly(days: 2)->hours[36]->views);
        self::assertSame(2, Postviews::views(43));

        Postviews::fake([42 => 1]);
        $this->expectException(LogicException::class);
        Postviews::breakdown(43, 'source');
    }
}
