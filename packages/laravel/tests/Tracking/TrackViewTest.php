<?php

declare(strict_types=1);

namespace Postviews\Tests\Tracking;

use Illuminate\Auth\GenericUser;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Route;
use PHPUnit\Framework\Attributes\DataProvider;
use Postviews\Laravel\AnalyticsApi as AnalyticsApiContract;
use Postviews\Laravel\Facades\AnalyticsApi;
use Postviews\Laravel\Facades\Postviews;
use Postviews\Laravel\Tracking\RequestView;
use Postviews\Tests\Post;
use Postviews\Tests\TestCase;
use RuntimeException;

final class TrackViewTest extends TestCase
{
    private const UUID = '0f8fad5b-d9cb-469f-a165-70867728950e';

    protected function setUp(): void
    {
        parent::setUp();
        AnalyticsApi::fake();
        Route::middleware([\Illuminate\Routing\Middleware\SubstituteBindings::class, 'track.view:post'])
            ->match(['GET', 'POST'], '/posts/{post}', function (Post $post, Request $request) {
                if ($request->has('early')) {
                    return 'an early return';
                }
                abort_if($request->has('missing'), 404);
                if ($request->has('known')) {
                    return response("post $post->id")->setNotModified();
                }
                throw_if($request->has('broken'), new RuntimeException('broken'));

                return $request->has('moved') ? redirect('/') : "post $post->id";
            });
        Route::get('/unbound/{slug}', fn () => 'shown')->middleware('track.view:slug');
        Route::get('/other', fn () => 'shown')->middleware('track.view:post');
        Route::get('/called', function (): string {
            Post::known(7, self::UUID)->trackView();

            return 'called';
        });
    }

    public function test_a_page_of_a_post_is_a_view_with_what_the_request_says(): void
    {
        $this->get('/posts/7?utm_source=news&token=secret', [
            'User-Agent' => 'Firefox',
            'Referer' => 'https://news.example/today',
        ])->assertOk();
        AnalyticsApi::assertTrackedTimes(Post::known(7), 1);
        [$view] = AnalyticsApi::tracked();
        unset($view['event_id'], $view['timestamp']);
        self::assertSame([
            'post_uuid' => '7',
            'user_id' => null,
            'logged_in' => false,
            'ip' => '127.0.0.1',
            'user_agent' => 'Firefox',
            'referer' => 'https://news.example/today',
            'url' => 'http://localhost/posts/7?utm_source=news',
        ], $view);
    }

    #[DataProvider('otherRequests')]
    public function test_what_shows_the_post_to_nobody_is_no_view(string $method, string $uri, array $headers): void
    {
        $this->call($method, $uri, server: $this->transformHeadersToServerVars($headers));
        AnalyticsApi::assertNothingTracked();
    }

    /** @return iterable<string, array{string, string, array<string, string>}> */
    public static function otherRequests(): iterable
    {
        yield 'HEAD' => ['HEAD', '/posts/7', []];
        yield 'POST' => ['POST', '/posts/7', []];
        yield 'a redirect' => ['GET', '/posts/7?moved', []];
        yield 'a page that is not there' => ['GET', '/posts/7?missing', []];
        yield 'a page that fails' => ['GET', '/posts/7?broken', []];
        yield 'a prefetch of Chromium' => ['GET', '/posts/7', ['Sec-Purpose' => 'prefetch;prerender']];
        yield 'a prefetch of Firefox' => ['GET', '/posts/7', ['X-Moz' => 'prefetch']];
        yield 'an older prefetch' => ['GET', '/posts/7', ['Purpose' => 'prefetch']];
        yield 'a preview' => ['GET', '/posts/7', ['X-Purpose' => 'preview']];
        yield 'HEAD by the trait' => ['HEAD', '/called', []];
        yield 'a prefetch by the trait' => ['GET', '/called', ['Sec-Purpose' => 'prefetch']];
    }

    public function test_a_controller_that_returned_early_is_counted_too(): void
    {
        $this->get('/posts/7?early')->assertSee('an early return');
        AnalyticsApi::assertTracked(Post::known(7));
    }

    public function test_a_reader_whose_browser_shows_the_copy_it_has_is_a_view(): void
    {
        $this->get('/posts/7?known')->assertStatus(304);
        AnalyticsApi::assertTrackedTimes(7, 1);
    }

    public function test_the_parameter_may_be_an_id_and_a_route_without_it_is_told(): void
    {
        $this->get('/unbound/a-post');
        AnalyticsApi::assertTracked('a-post');
        $this->get('/other')->assertOk();
        self::assertSame(
            ['postviews: view.invalid: the route other has no parameter post'],
            $this->loggedOf('view.invalid'),
        );
    }

    public function test_a_reader_is_logged_in_whatever_their_key_is(): void
    {
        $this->actingAs(new GenericUser(['id' => 12, 'name' => 'Ada']))->get('/posts/7');
        $this->actingAs(new GenericUser(['id' => self::UUID, 'name' => 'Ada']))->get('/posts/7');
        self::assertSame([['12', true], [null, true]], array_map(
            fn (array $view) => [$view['user_id'], $view['logged_in']],
            AnalyticsApi::tracked(),
        ));
    }

    public function test_a_model_tracks_itself_by_its_uuid(): void
    {
        $this->get('/called', ['User-Agent' => 'Firefox']);
        AnalyticsApi::assertTracked(self::UUID);
        AnalyticsApi::assertTracked(
            fn (array $view) => $view['ip'] === '127.0.0.1' && $view['user_agent'] === 'Firefox',
        );
    }

    public function test_a_model_without_an_id_fails_no_page(): void
    {
        (new Post())->trackView();
        AnalyticsApi::assertNothingTracked();
        self::assertCount(1, $this->loggedOf('view.invalid'));
    }

    public function test_what_others_say_is_not_logged_as_it_may_be_personal(): void
    {
        $this->app['auth']->viaRequest('token', fn () => throw new RuntimeException('no user with a-secret-token'));
        config(['auth.guards.web' => ['driver' => 'token']]);
        $this->get('/posts/7')->assertOk();
        [$line] = $this->loggedOf('view.invalid');
        self::assertStringStartsWith('postviews: view.invalid: RuntimeException in TrackViewTest.php:', $line);
    }

    public function test_except_leaves_views_out(): void
    {
        Postviews::except(fn (Request $request, $post) => $post instanceof Post && $post->getKey() === 8);
        Postviews::except(fn (Request $request, $post) => $request->user()?->getAuthIdentifier() === 1);
        $this->get('/posts/7');
        $this->get('/posts/8');
        AnalyticsApi::assertTracked('7');
        AnalyticsApi::assertNotTracked('8');
        $this->actingAs(new GenericUser(['id' => 1]));
        $this->get('/posts/7');
        $this->get('/called');
        AnalyticsApi::assertTrackedTimes('7', 1);
        AnalyticsApi::assertNotTracked(self::UUID);
    }

    public function test_an_except_that_throws_fails_no_page(): void
    {
        Postviews::except(fn () => throw new RuntimeException('a mistake'));
        $this->get('/posts/7')->assertOk();
        AnalyticsApi::assertTracked('7');
        self::assertContains('a mistake', $this->logged);
    }

    public function test_a_controller_has_it_injected_as_the_article_writes_it(): void
    {
        $controller = new class (app(AnalyticsApiContract::class)) {
            public function __construct(private readonly AnalyticsApiContract $analyticsApi)
            {
            }

            public function show(Request $request): void
            {
                $this->analyticsApi->trackView(['post_id' => 42, 'ip' => $request->ip()]);
                $this->analyticsApi->trackView(RequestView::of($request, 43));
            }
        };
        $controller->show(Request::create('/'));
        AnalyticsApi::assertTracked(42);
        AnalyticsApi::assertTracked(43);
    }

    public function test_a_whole_user_passed_as_an_id_is_refused_without_name_and_address(): void
    {
        $this->app['config']->set('postviews.driver', 'null');
        AnalyticsApi::clearResolvedInstances();
        $this->app->forgetInstance(AnalyticsApiContract::class);
        $user = Post::known(1)->forceFill(['name' => 'Ada', 'email' => 'ada@example.org']);
        AnalyticsApi::trackView(['post_id' => 42, 'user_id' => $user]);
        [$line] = $this->loggedOf('view.invalid');
        self::assertStringContainsString('it is a whole Postviews\Tests\Post, pass its id', $line);
        self::assertStringNotContainsString('Ada', $line);
    }
}
