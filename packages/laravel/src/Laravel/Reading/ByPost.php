<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use Illuminate\Support\Collection;
use Throwable;

/**
 * What was read of many posts, in the order of the posts. Ask it by the post:
 *
 *     $counts = Postviews::many($posts);
 *     $counts->of($post)?->views
 *
 * The keys are the ids by which posts are counted: of a model with a uuid that uuid, in lower case. What is no post is null: under
 * itself if it is a text or an integer, else under its place, `#0`, `#1`, ….
 *
 * @template TValue
 * @extends Collection<array-key, TValue>
 */
final class ByPost extends Collection
{
    /**
     * @param mixed $post a model, its id or its UUID
     * @return TValue|null null also for what is no post, or was not asked for
     */
    public function of(mixed $post): mixed
    {
        try {
            return $this->get(CanonicalPost::of($post));
        } catch (Throwable) {
            // Asking for it has told so.
            return null;
        }
    }
}
