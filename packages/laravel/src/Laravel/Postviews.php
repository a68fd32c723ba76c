<?php

declare(strict_types=1);

namespace Postviews\Laravel;

use Closure;
use Illuminate\Http\Request;
use Postviews\Laravel\Reading\ReadsViews;
use Throwable;

/** What the facade `Postviews` offers. */
final class Postviews
{
    use ReadsViews;

    /** @var list<Closure(Request, mixed): bool> */
    private array $exceptions = [];

    /**
     * Leaves views out: those of an author on a post of their own, say. Call it in a provider's `boot`.
     *
     *     Postviews::except(fn (Request $request, $post) => $request->user() !== null
     *         && $request->user()->id === $post->user_id);
     *
     * Asked by the middleware `track.view` and by `$post->trackView()`, before anything is tracked.
     *
     * @param callable(Request, mixed): bool $callback true: this is no view
     */
    public function except(callable $callback): void
    {
        $this->exceptions[] = Closure::fromCallable($callback);
    }

    /**
     * Whether one of the callbacks leaves this view out. A callback that throws is reported, and leaves nothing out.
     */
    public function leavesOut(Request $request, mixed $post): bool
    {
        foreach ($this->exceptions as $isNoView) {
            try {
                if ($isNoView($request, $post)) {
                    return true;
                }
            } catch (Throwable $error) {
                report($error);
            }
        }

        return false;
    }
}
