<?php

declare(strict_types=1);

namespace Postviews\Tests;

use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Http;
use Illuminate\Support\Facades\Schema;
use InvalidArgumentException;
use PHPUnit\Framework\Attributes\TestWith;
use Postviews\Laravel\Facades\AnalyticsApi;
use Postviews\Laravel\Facades\Postviews;
use Postviews\Laravel\PostId;
use Postviews\Laravel\UuidColumns;
use RuntimeException;

/** Which id a model is counted under, whatever part of its row was loaded. */
final class PostIdTest extends TestCase
{
    private const UUID = '0f8fad5b-d9cb-469f-a165-70867728950e';
    private const LOADED_WITHOUT = Post::class . ' was loaded without its column uuid';

    private string $database;

    protected function setUp(): void
    {
        parent::setUp();
        $this->database = (string) tempnam(sys_get_temp_dir(), 'postviews-');
        config([
            'database.default' => 'testing',
            'database.connections.testing' => ['driver' => 'sqlite', 'database' => $this->database],
        ]);
        $this->createPosts();
        DB::table('posts')->insert([
            ['id' => 1, 'uuid' => self::UUID, 'title' => 'With a UUID'],
            ['id' => 2, 'uuid' => null, 'title' => 'Without'],
        ]);
    }

    protected function tearDown(): void
    {
        unlink($this->database);
        parent::tearDown();
    }

    public function test_a_model_is_its_uuid_and_without_one_its_key(): void
    {
        self::assertSame(self::UUID, PostId::of(Post::find(1)));
        self::assertSame(2, PostId::of(Post::find(2)));
        self::assertSame(3, PostId::of(Post::known(3)));
    }

    #[TestWith([1])]
    #[TestWith([2])]
    public function test_a_model_loaded_without_its_uuid_is_no_other_post(int $id): void
    {
        AnalyticsApi::fake();
        Http::fake();
        $post = Post::select('id', 'title')->find($id);
        $post->trackView();
        AnalyticsApi::assertNothingTracked();
        self::assertStringContainsString(self::LOADED_WITHOUT, implode($this->loggedOf('view.invalid')));

        self::assertNull(Postviews::views($post));
        self::assertNull(Post::select('id')->get()->loadViews()->first()->views);
        self::assertStringContainsString(self::LOADED_WITHOUT, implode($this->loggedOf('read.invalid')));
        Http::assertNothingSent();
    }

    public function test_a_model_that_was_made_here_is_counted_as_its_row_is(): void
    {
        self::assertSame(3, PostId::of(Post::create(['title' => 'Without'])));
        DB::statement("CREATE TRIGGER makes_uuids AFTER INSERT ON posts BEGIN
            UPDATE posts SET uuid = '" . str_replace('0f8f', '1f8f', self::UUID) . "' WHERE id = new.id; END");
        self::assertSame(str_replace('0f8f', '1f8f', self::UUID), PostId::of(Post::create(['title' => 'With one'])));
    }

    public function test_a_table_without_uuids_costs_no_query_a_page(): void
    {
        Schema::drop('posts');
        $this->createPosts(hasUuid: false);
        DB::table('posts')->insert(['id' => 7, 'title' => 'A post']);
        $post = Post::find(7);
        self::assertSame(7, PostId::of($post));
        DB::flushQueryLog();
        DB::enableQueryLog();
        for ($page = 0; $page < 3; $page++) {
            // As in another process.
            $this->app->forgetInstance(UuidColumns::class);
            self::assertSame(7, PostId::of($post));
        }
        self::assertSame([], DB::getQueryLog());

        Schema::drop('posts');
        $this->createPosts();
        $this->travel(61)->seconds();
        $this->expectException(InvalidArgumentException::class);
        PostId::of($post);
    }

    public function test_a_folder_that_cannot_be_written_is_no_hindrance(): void
    {
        $columns = new UuidColumns('/nowhere/at/pvcol.json');
        self::assertTrue($columns->isColumnOf(Post::find(1)));
        DB::flushQueryLog();
        DB::enableQueryLog();
        self::assertTrue($columns->isColumnOf(Post::find(2)));
        self::assertCount(1, DB::getQueryLog());
        self::assertSame([], glob(sys_get_temp_dir() . '/pvcol*'));
    }

    public function test_what_the_database_does_not_say_is_not_guessed(): void
    {
        $post = Post::select('id')->find(1);
        config(['database.connections.testing.database' => '/nowhere/at/all.sqlite']);
        DB::purge();
        $this->expectExceptionMessage('the database cannot tell whether the table of ' . Post::class . ' has a column uuid');
        PostId::of($post);
    }

    public function test_what_a_model_says_when_it_fails_is_not_logged(): void
    {
        config(['postviews.api.in_tests' => true]);
        self::assertNull(Postviews::views(new class () {
            public function getPostviewsId(): never
            {
                throw new RuntimeException('no post of ada@example.org');
            }
        }));
        [$line] = $this->loggedOf('read.invalid');
        self::assertStringStartsWith('postviews: read.invalid: RuntimeException in PostIdTest.php:', $line);
    }

    private function createPosts(bool $hasUuid = true): void
    {
        Schema::create('posts', function ($table) use ($hasUuid): void {
            $table->id();
            $table->string('title');
            $table->timestamps();
            if ($hasUuid) {
                $table->uuid()->nullable();
            }
        });
    }
}
