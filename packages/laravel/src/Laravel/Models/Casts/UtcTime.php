<?php

declare(strict_types=1);

namespace Postviews\Laravel\Models\Casts;

use Carbon\CarbonImmutable;
use DateTimeInterface;
use Illuminate\Contracts\Database\Eloquent\CastsAttributes;
use Illuminate\Database\Eloquent\Model;

/**
 * A time as postviews stores it: in UTC, whatever the application's time zone. A TIMESTAMP on MariaDB and MySQL, Unix seconds
 * on SQLite.
 *
 * @implements CastsAttributes<CarbonImmutable, DateTimeInterface>
 */
final class UtcTime implements CastsAttributes
{
    /** Read-only models have nothing to write back. */
    public bool $withoutObjectCaching = true;

    /** @param int|string|null $value */
    public function get(Model $model, string $key, mixed $value, array $attributes): ?CarbonImmutable
    {
        return match (true) {
            $value === null => null,
            is_numeric($value) => CarbonImmutable::createFromTimestampUTC((int) $value),
            default => CarbonImmutable::parse($value, 'UTC'),
        };
    }

    /** @param ?DateTimeInterface $value */
    public function set(Model $model, string $key, mixed $value, array $attributes): ?string
    {
        return $value === null
            ? null
            : CarbonImmutable::instance($value)->setTimezone('UTC')->format('Y-m-d H:i:s');
    }
}
