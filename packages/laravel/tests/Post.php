<?php

declare(strict_types=1);

namespace Postviews\Tests;

use Illuminate\Database\Eloquent\Model;
use Postviews\Laravel\Tracking\TracksViews;

final class Post extends Model
{
    use TracksViews;

    protected $guarded = [];

    /** A post with this key, made without a database. */
    public static function known(int $id, ?string $uuid = null): self
    {
        return (new self())->forceFill(['id' => $id, 'title' => 'A title'] + ($uuid === null ? [] : ['uuid' => $uuid]));
    }

    /** @param mixed $value */
    public function resolveRouteBinding($value, $field = null): self
    {
        return self::known((int) $value);
    }
}
