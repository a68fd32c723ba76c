<?php

declare(strict_types=1);

namespace Postviews\Laravel\Tracking;

use Illuminate\Http\Request;
use Postviews\Laravel\PostId;
use Postviews\Publishing\PageRequest;

/** Gets the data of a view from a request. */
final class RequestView
{
    /** False if nobody sees the post: HEAD, a page that is prefetched or prerendered, a preview. */
    public static function isShown(Request $request): bool
    {
        // Not from `$_SERVER`, which some of Octane's servers do not set.
        return PageRequest::isShown(
            $request->getMethod(),
            static fn (string $name): string => implode(', ', $request->headers->all($name)),
        );
    }

    /**
     * The view of a post by the reader of this request, for `AnalyticsApi::trackView`.
     *
     *     $this->analyticsApi->trackView(RequestView::of($request, $post));
     *
     * `ip` is the reader's address only if `TrustProxies` knows the proxies in front of the application.
     *
     * @param mixed $post a model, its id or its UUID (see PostId)
     * @return array{post_uuid: int|string, user_id: int|string|null, logged_in: bool, ip: ?string, user_agent: ?string,
     *     referer: ?string, url: string}
     */
    public static function of(Request $request, mixed $post): array
    {
        $user = $request->user();

        return [
            'post_uuid' => PostId::of($post),
            'user_id' => $user?->getAuthIdentifier(),
            'logged_in' => $user !== null,
            'ip' => $request->ip(),
            'user_agent' => $request->userAgent(),
            'referer' => $request->headers->get('referer'),
            'url' => $request->fullUrl(),
        ];
    }
}
