<?php

declare(strict_types=1);

namespace Postviews\Laravel\Tracking;

use Illuminate\Http\Request;
use Illuminate\Support\Facades\Log;
use Postviews\Laravel\AnalyticsApi;
use Postviews\Laravel\InvalidPost;
use Postviews\Laravel\PostId;
use Postviews\Laravel\Postviews;
use Postviews\Publishing\InvalidView;
use Postviews\Publishing\PublishFailed;
use Throwable;

/** Decides whether a request is a view of a post, and tracks it. */
final class PageViews
{
    public function __construct(
        private readonly AnalyticsApi $analyticsApi,
        private readonly Postviews $postviews,
    ) {
    }

    /**
     * The reader is that of the current request; a job or a command has none, so the view is by an unknown reader. Never
     * throws.
     */
    public function trackNow(mixed $post): void
    {
        try {
            $request = app('request');
            if (app()->runningInConsole() && $request->route() === null) {
                $this->analyticsApi->trackView(['post_uuid' => PostId::of($post)]);
            } else {
                $this->track($request, $post);
            }
        } catch (Throwable $error) {
            self::tell('view.invalid', self::why($error));
        }
    }

    /** Never throws: a page must not fail because of a count. */
    public function track(Request $request, mixed $post): void
    {
        try {
            if (RequestView::isShown($request) && !$this->postviews->leavesOut($request, $post)) {
                $this->analyticsApi->trackView(RequestView::of($request, $post));
            }
        } catch (Throwable $error) {
            self::tell('view.invalid', self::why($error));
        }
    }

    /** A message that may be logged: other exceptions' messages may hold personal data, or the bindings of a query. */
    public static function why(Throwable $error): string
    {
        $isOurs = $error instanceof InvalidPost || $error instanceof InvalidView || $error instanceof PublishFailed;

        return $isOurs
            ? $error->getMessage()
            : get_debug_type($error) . ' in ' . basename($error->getFile()) . ':' . $error->getLine();
    }

    public static function tell(string $event, string $detail): void
    {
        try {
            Log::channel(config('postviews.log_channel'))->warning("postviews: $event: $detail");
        } catch (Throwable) {
            // Logging itself has failed, so this cannot be logged.
        }
    }
}
