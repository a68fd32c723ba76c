<?php

declare(strict_types=1);

namespace Postviews\Tests\Reading;

use BadMethodCallException;
use Illuminate\Database\Eloquent\Collection;
use Illuminate\Database\Eloquent\Model;
use Illuminate\Database\Schema\Blueprint;
use Illuminate\Pagination\LengthAwarePaginator;
use Illuminate\Support\Facades\Http;
use Illuminate\Support\Facades\Schema;
use Postviews\Laravel\Facades\Postviews;
use Postviews\Laravel\Reading\HasViews;
use Postviews\Tests\Post;

final class LoadsViewsTest extends ReadingTestCase
{
    private const UUID = '0f8fad5b-d9cb-469f-a165-70867728950e';

    protected function setUp(): void
    {
        parent::setUp();
        config(['database.default' => 'blog', 'database.connections.blog' => ['driver' => 'sqlite', 'database' => ':memory:']]);
        Schema::create('posts', function (Blueprint $table): void {
            $table->id();
            $table->string('title');
            $table->uuid()->nullable();
            $table->timestamps();
        });
        foreach (['First', 'Second', 'Third'] as $title) {
            Post::create(['title' => $title, 'uuid' => $title === 'Second' ? strtoupper(self::UUID) : null]);
        }
    }

    public function test_a_collection_gets_its_counts_in_one_question(): void
    {
        $this->fakeViews([1 => 10, self::UUID => 20]);
        $posts = Post::orderBy('id')->get()->loadViews();
        self::assertInstanceOf(Collection::class, $posts);
        self::assertSame([10, 20, 0], $posts->pluck('views')->all());
        self::assertSame([5, 10, 0], $posts->pluck('unique_views')->all());
        Http::assertSentCount(1);
        // The components then need no request.
        self::assertSame(20, Postviews::views($posts[1]));
        Http::assertSentCount(1);
    }

    public function test_a_collection_that_is_not_of_models_says_so(): void
    {
        $this->expectException(BadMethodCallException::class);
        $this->expectExceptionMessage('loadViews is a method of Eloquent collections');
        collect([Post::find(1)])->loadViews();
    }

    public function test_a_model_with_the_trait_loads_its_own(): void
    {
        $this->fakeViews([1 => 10]);
        $post = new class extends Model {
            use HasViews;
        };
        self::assertSame(10, $post->forceFill(['id' => 1])->loadViews()->views);
        self::assertSame(5, $post->loadViews(as: 'reads')->unique_reads);
    }

    public function test_a_count_that_is_not_known_is_null(): void
    {
        $this->fakeAway();
        $posts = Post::all()->push(new Post())->loadViews();
        self::assertSame([null, null, null, null], $posts->pluck('views')->all());
    }

    public function test_a_page_of_a_paginator_gets_them_too(): void
    {
        $this->fakeViews([1 => 10]);
        $page = Post::orderBy('id')->paginate(2);
        $page->loadViews();
        self::assertInstanceOf(LengthAwarePaginator::class, $page);
        self::assertSame([10, 0], collect($page->items())->pluck('views')->all());
    }

    public function test_a_model_that_is_saved_afterwards_writes_no_count(): void
    {
        $this->fakeViews([1 => 10]);
        $post = Post::all()->loadViews()->first();
        self::assertFalse($post->isDirty());
        $post->update(['title' => 'Another title']);
        self::assertSame('Another title', Post::find(1)->title);
    }

    public function test_the_attribute_may_have_another_name(): void
    {
        $this->fakeViews([1 => 10]);
        $post = Post::all()->loadViews(as: 'reads')->first();
        self::assertSame([10, 5, null], [$post->reads, $post->unique_reads, $post->views]);
    }

    public function test_days_that_are_loaded_are_not_asked_for_again(): void
    {
        $this->fakeViews([]);
        $posts = Post::all()->loadViews(days: 30);
        Http::assertSentCount(2);
        self::assertCount(30, Postviews::daily($posts[0], 30));
        Http::assertSentCount(2);
    }

    public function test_the_models_of_the_top_posts_in_their_order_with_the_counts_of_the_period(): void
    {
        $this->fake(fn () => Http::response(['period' => '7d', 'from' => '2026-11-15', 'to' => '2026-11-21', 'total' => 3,
            'as_of' => '2026-11-21T12:00:00.000Z', 'posts' => [
                ['post_uuid' => '3', 'views' => 9, 'unique_views' => 8],
                ['post_uuid' => '4711', 'views' => 7, 'unique_views' => 7],
                ['post_uuid' => '1', 'views' => 5, 'unique_views' => null],
            ]]));
        $top = Postviews::top(limit: 3, period: '7d');
        self::assertSame([3, 3, '7d'], [$top->total, count($top), $top->period]);
        self::assertSame('4711', [...$top][1]->post);
        $posts = $top->models(Post::query());
        self::assertSame([[3, 9, 8], [1, 5, null]], $posts->map->only(['id', 'views', 'unique_views'])->map(array_values(...))->all());
        self::assertFalse($posts[0]->isDirty());
        self::assertCount(1, $top->models(Post::where('title', 'Third')));
    }

    public function test_the_models_of_the_top_posts_by_the_column_that_holds_their_ids(): void
    {
        $this->fake(fn () => Http::response(['period' => 'all', 'from' => null, 'to' => null, 'total' => 1,
            'as_of' => '2026-11-21T12:00:00.000Z', 'posts' => [['post_uuid' => self::UUID, 'views' => 9, 'unique_views' => 8]]]));
        $posts = Postviews::top()->models(Post::query(), by: 'uuid');
        // SQLite compares case-sensitively. Other databases would find a UUID in upper case.
        self::assertSame([], $posts->all());
        Post::query()->where('id', 2)->update(['uuid' => self::UUID]);
        self::assertSame([2], Postviews::top()->models(Post::query(), by: 'uuid')->pluck('id')->all());
    }
}
