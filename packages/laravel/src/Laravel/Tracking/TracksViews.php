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
 * Its views are counted by `getPostviewsId()`, if the model has that method, else by its attribute `uuid`, if it has
 * one, else by its primary key. Whichever it is, it should never change.
 */
trait TracksViews
{
    /**
     * Tracks a view by the reader of the current request; nothing if it shows the post to nobody, or if a
     * `Postviews::except` leaves it out. In a job or a command, where there is no reader, the view is one of an unknown
     * reader. Never throws.
     */
    public function trackView(): void
    {
        app(PageViews::class)->trackNow($this);
    }
}
