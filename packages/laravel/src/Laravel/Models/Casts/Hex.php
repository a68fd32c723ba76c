<?php

declare(strict_types=1);

namespace Postviews\Laravel\Models\Casts;

use Illuminate\Contracts\Database\Eloquent\CastsAttributes;
use Illuminate\Database\Eloquent\Model;

/**
 * Bytes as hexadecimal digits, because JSON cannot represent bytes.
 *
 * @implements CastsAttributes<string, string>
 */
final class Hex implements CastsAttributes
{
    /** @param ?string $value */
    public function get(Model $model, string $key, mixed $value, array $attributes): ?string
    {
        return $value === null ? null : bin2hex($value);
    }

    /** @param ?string $value */
    public function set(Model $model, string $key, mixed $value, array $attributes): ?string
    {
        return $value === null ? null : (string) hex2bin($value);
    }
}
