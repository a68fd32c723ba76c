<?php

declare(strict_types=1);

namespace Postviews\Laravel\Models\Casts;

use Illuminate\Contracts\Database\Eloquent\CastsAttributes;
use Illuminate\Database\Eloquent\Model;

/**
 * A UUID that is stored as its 16 bytes, which JSON cannot represent.
 *
 * @implements CastsAttributes<string, string>
 */
final class BinaryUuid implements CastsAttributes
{
    /** @param ?string $value */
    public function get(Model $model, string $key, mixed $value, array $attributes): ?string
    {
        return $value === null ? null : vsprintf('%s%s-%s-%s-%s-%s%s%s', str_split(bin2hex($value), 4));
    }

    /** @param ?string $value */
    public function set(Model $model, string $key, mixed $value, array $attributes): ?string
    {
        return $value === null ? null : (string) hex2bin(str_replace('-', '', $value));
    }
}
