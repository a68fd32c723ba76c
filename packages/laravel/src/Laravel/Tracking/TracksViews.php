<?php

declare(strict_types=1);

namespace Postviews\Laravel\Tracking;

/**
 * For a model whose views are counted:
 *
 *     class Post extends Model
 *     {
 *         use TracksViews;
 *     }
 *
 *     $post->trackView();
 *
 * Its views are counted by `getPostviewsId()` if the model has that method, otherwise by its attribute `uuid` if it has one,
 * otherwise by its primary key. This id should never change.
 */
trait TracksViews
{
    /**
     * Tracks a view by the reader of the current request; does nothing if nobody sees the post, or if a `Postviews::except` leaves
     * the view out. A job or a command has no reader, so the view is by an unknown reader. Never throws.
     */
    public function trackView(): void
    {
        app(PageViews::class)->trackNow($this);
    }
}
