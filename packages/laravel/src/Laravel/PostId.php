<?php

declare(strict_types=1);

namespace Postviews\Laravel;

use Illuminate\Contracts\Routing\UrlRoutable;
use Illuminate\Database\Eloquent\Model;
use Stringable;
use Throwable;

/**
 * The id under which a post's views are counted. Tracking and reading both use it, so that they mean the same post.
 *
 * | of | the first one that exists |
 * |---|---|
 * | an object with `getPostviewsId()` | what that returns |
 * | an Eloquent model | its attribute `uuid`; its primary key |
 * | anything else that a route can be bound to | `getRouteKey()` |
 * | an integer, a text, a UUID object | itself |
 *
 * A slug is never used: an editor may change it, and the post's count would start again at 0.
 *
 * A model that was loaded without its column `uuid` (`Post::select('id', 'title')`) has no id: its primary key could be
 * the id of another post's views.
 */
final class PostId
{
    /** @throws InvalidPost without the value: it may hold names and addresses */
    public static function of(mixed $post): int|string
    {
        $id = match (true) {
            is_object($post) && method_exists($post, 'getPostviewsId') => $post->getPostviewsId(),
            $post instanceof Model => self::ofModel($post),
            $post instanceof UrlRoutable => $post->getRouteKey(),
            default => $post,
        };
        if ($id instanceof Stringable && !$id instanceof Model) {
            $id = (string) $id;
        }
        if (!is_int($id) && !is_string($id)) {
            throw new InvalidPost(
                'a post is a model, its id or its UUID; this is ' . get_debug_type($id),
            );
        }

        return $id;
    }

    private static function ofModel(Model $post): mixed
    {
        $attributes = $post->getAttributes();
        if (array_key_exists('uuid', $attributes) || !$post->exists || !self::hasUuidColumn($post)) {
            return isset($attributes['uuid']) ? $post->getAttribute('uuid') : $post->getKey();
        }
        if (!$post->wasRecentlyCreated) {
            throw new InvalidPost(
                get_debug_type($post) . ' was loaded without its column uuid, by which its views are counted; select it too',
            );
        }
        // Its row was inserted here but not read, and the database may have set the UUID.
        $row = $post->newModelQuery()->useWritePdo()->whereKey($post->getKey())->first(['uuid']);

        return $row?->getAttribute('uuid') ?? $post->getKey();
    }

    private static function hasUuidColumn(Model $post): bool
    {
        try {
            return app(UuidColumns::class)->isColumnOf($post);
        } catch (Throwable) {
            // The previous exception is left out because it names the database's host.
            throw new InvalidPost(
                'the database cannot tell whether the table of ' . get_debug_type($post)
                    . ' has a column uuid, by which its views would be counted; getPostviewsId() of the model may say their id',
            );
        }
    }
}
