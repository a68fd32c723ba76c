<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

/**
 * For a model whose views are counted:
 *
 *     $post->loadViews()->views   // ?int
 *
 * A collection has `loadViews()` without it.
 */
trait HasViews
{
    /** Sets `views` and `unique_views`, or the attributes that `$as` names. Null: not known. */
    public function loadViews(string $as = 'views'): static
    {
        app(LoadsViews::class)->onto([$this], $as);

        return $this;
    }
}
