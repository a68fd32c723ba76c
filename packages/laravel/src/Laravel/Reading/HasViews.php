<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

/**
 * For a model whose views are counted:
 *
 *     $post->loadViews()->views   // ?int
 *
 * Collections have `loadViews()` without this trait.
 */
trait HasViews
{
    /** Sets `views` and `unique_views`, or the attributes named by `$as`. Null: unknown. */
    public function loadViews(string $as = 'views'): static
    {
        app(LoadsViews::class)->onto([$this], $as);

        return $this;
    }
}
