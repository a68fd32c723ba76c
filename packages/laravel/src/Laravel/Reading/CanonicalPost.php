<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use Postviews\Laravel\InvalidPost;
use Postviews\Laravel\PostId;

/** A post's id in the spelling of the internal API. */
final class CanonicalPost
{
    /**
     * @param mixed $post a model, its id or its UUID (see PostId)
     * @throws InvalidPost with the rule, but without the value
     */
    public static function of(mixed $post): string
    {
        $id = PostId::of($post);
        $canonical = is_int($id) && $id <= 0 ? null : self::spelling((string) $id);

        return $canonical ?? throw new InvalidPost(
            'a post is a UUID, 1 to 36 characters of A-Z a-z 0-9 _ -, or a positive integer; pass its id, not its slug or title',
        );
    }

    /** A UUID in lower case, any other id unchanged; null if it is not an id. */
    public static function spelling(string $id): ?string
    {
        return match (true) {
            preg_match('/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/Di', $id) === 1 => strtolower($id),
            preg_match('/^[A-Za-z0-9_-]{1,36}$/D', $id) === 1 => $id,
            default => null,
        };
    }
}
