<?php

declare(strict_types=1);

namespace Postviews\Laravel;

use Closure;
use Illuminate\Http\Request;
use Postviews\Laravel\Reading\ReadsViews;
use Throwable;

/** The methods behind the facade `Postviews`. */
final class Postviews
{
    use ReadsViews;

    /** @var list<Closure(Request, mixed): bool> */
    private array $exceptions = [];

    /**
     * Leaves views out, for example those of authors on their own posts. Call it in a provider's `boot`.
     *
     *     Postviews::except(fn (Request $request, $post) => $request->user() !== null
     *         && $request->user()->id === $post->user_id);
     *
     * The middleware `track.view` and `$post->trackView()` call it before they track anything.
     *
     * @param callable(Request, mixed): bool $callback true: this is not a view
     */
    public function except(callable $callback): void
    {
        $this->exceptions[] = Closure::fromCallable($callback);
    }

    /**
     * Whether one of the callbacks leaves this view out. If a callback throws, the error is reported and the view counts.
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
