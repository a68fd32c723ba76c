<?php

declare(strict_types=1);

namespace Postviews\Laravel\Tracking;

use Closure;
use Illuminate\Http\Request;
use Symfony\Component\HttpFoundation\Response;

/**
 * The middleware `track.view`: tracks a view of the post that a route shows.
 *
 *     Route::get('/posts/{post}', [PostController::class, 'show'])->middleware('track.view:post');
 *
 * `track.view:post` tracks the post in the route's parameter `post`. A GET with the answer 2xx or 304 is a view, unless the
 * browser prefetches the page or a `Postviews::except` leaves the view out.
 */
final class TrackView
{
    public function __construct(private readonly PageViews $pageViews)
    {
    }

    public function handle(Request $request, Closure $next, string $parameter = 'post'): Response
    {
        $response = $next($request);
        if ($request->isMethod('GET') && self::showsPost($response)) {
            $post = $request->route()?->parameter($parameter);
            if ($post === null) {
                PageViews::tell('view.invalid', "the route {$request->route()?->uri()} has no parameter $parameter");
            } else {
                $this->pageViews->track($request, $post);
            }
        }

        return $response;
    }

    /** With 304, the reader's browser shows its cached copy. */
    private static function showsPost(Response $response): bool
    {
        return $response->isSuccessful() || $response->getStatusCode() === Response::HTTP_NOT_MODIFIED;
    }
}
