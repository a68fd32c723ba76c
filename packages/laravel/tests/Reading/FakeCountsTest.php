<?php

declare(strict_types=1);

namespace Postviews\Tests\Reading;

use Illuminate\Support\Facades\Blade;
use Illuminate\Support\Facades\Http;
use Postviews\Laravel\Facades\Postviews;
use Postviews\Tests\Post;
use Postviews\Tests\TestCase;

final class FakeCountsTest extends TestCase
{
    private const UUID = '0F8FAD5B-d9cb-469f-a165-70867728950e';

    public function test_the_counts_are_those_that_a_test_names(): void
    {
        Http::preventStrayRequests();
        Postviews::fake([42 => 1234, self::UUID => 5, 'aB1' => 7]);
        self::assertSame(1234, Postviews::views(Post::known(42)));
        self::assertSame([5, 7, 0, 0], Postviews::many([self::UUID, 'aB1', 'Ab1', 43])->pluck('views')->values()->all());
        self::assertSame([0, 0, 1234], Postviews::daily(42, days: 3)->days->pluck('views')->all());
        self::assertSame(1234, Postviews::daily(42, from: now()->subYear())->views());
        self::assertSame(['42', 'aB1'], Postviews::top(limit: 2)->posts->pluck('post')->all());
        self::assertSame(3, Postviews::top()->total);
        self::assertStringContainsString('1,234', Blade::render('<x-postviews-count :post="42" />'));
        self::assertSame([], $this->logged);
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
}
