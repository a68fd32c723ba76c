<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use Illuminate\Support\Collection;
use Throwable;

/**
 * The results for many posts, in their order. Look a result up by its post:
 *
 *     $counts = Postviews::many($posts);
 *     $counts->of($post)?->views
 *
 * The keys are the ids under which posts are counted: for a model with a uuid, that uuid in lower case. A value that is not a
 * post has the result null. Its key is itself if it is a text or an integer, otherwise its position: `#0`, `#1`, ….
 *
 * @template TValue
 * @extends Collection<array-key, TValue>
 */
final class ByPost extends Collection
{
    /**
     * @param mixed $post a model, its id or its UUID
     * @return TValue|null also null for a value that is not a post, or was not requested
     */
    public function of(mixed $post): mixed
    {
        try {
            return $this->get(CanonicalPost::of($post));
        } catch (Throwable) {
            // The request for this post has already logged that.
            return null;
        }
    }
}
