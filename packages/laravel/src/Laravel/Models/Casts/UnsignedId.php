<?php

declare(strict_types=1);

namespace Postviews\Laravel\Models\Casts;

use Illuminate\Contracts\Database\Eloquent\CastsAttributes;
use Illuminate\Database\Eloquent\Model;

/**
 * A BIGINT UNSIGNED: an integer if it fits into PHP's, otherwise its digits. The cast `integer` would map the whole upper half to
 * one id.
 *
 * @implements CastsAttributes<int|string, int|string>
 */
final class UnsignedId implements CastsAttributes
{
    /** @param int|string|null $value */
    public function get(Model $model, string $key, mixed $value, array $attributes): int|string|null
    {
        return $value === null || (string) (int) $value !== (string) $value ? $value : (int) $value;
    }

    /** @param int|string|null $value */
    public function set(Model $model, string $key, mixed $value, array $attributes): int|string|null
    {
        return $value;
    }
}
