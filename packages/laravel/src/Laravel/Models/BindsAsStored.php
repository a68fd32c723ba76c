<?php

declare(strict_types=1);

namespace Postviews\Laravel\Models;

use Carbon\CarbonImmutable;
use DateTimeInterface;
use Illuminate\Contracts\Database\Query\Expression;
use Illuminate\Contracts\Support\Arrayable;
use InvalidArgumentException;
use LogicException;
use Postviews\Laravel\Reading\CanonicalPost;
use Throwable;

/**
 * Binds a query's values in the form in which postviews stores them, or refuses those that would silently find other rows. Times
 * are stored in UTC on MariaDB and MySQL, and as Unix seconds on SQLite. Laravel would bind the clock time in the value's own
 * zone.
 *
 * | column | compared with | is bound as |
 * |---|---|---|
 * | a time | a `DateTimeInterface` | its moment |
 * | a time | a text `YYYY-MM-DD…` | that time in UTC, unless it names an offset |
 * | a time | an integer | Unix seconds |
 * | a time | anything else | not at all: an exception |
 * | `day`, `date` | a `DateTimeInterface` | its date |
 * | `post_uuid` | an id | a text; a UUID in lower case |
 * | `event_id` | the text of a UUID | not at all: an exception |
 * | unknown (raw SQL, an alias) | a `DateTimeInterface` | its moment |
 *
 * @internal
 */
trait BindsAsStored
{
    private const TIMES = ['viewed_at', 'received_at', 'first_viewed_at', 'last_viewed_at'];
    private const UUID_BYTES = 16;
    private const DAYS = ['day', 'date'];

    public function where($column, $operator = null, $value = null, $boolean = 'and')
    {
        if (!is_string($column)) {
            return parent::where(...func_get_args());
        }

        return parent::where($column, ...$this->comparison($column, $operator, $value, func_num_args() === 2), boolean: $boolean);
    }

    public function having($column, $operator = null, $value = null, $boolean = 'and')
    {
        if (!is_string($column)) {
            return parent::having(...func_get_args());
        }

        return parent::having($column, ...$this->comparison($column, $operator, $value, func_num_args() === 2), boolean: $boolean);
    }

    public function whereIn($column, $values, $boolean = 'and', $not = false)
    {
        return parent::whereIn($column, $this->bound($column, $values), $boolean, $not);
    }

    public function whereBetween($column, iterable $values, $boolean = 'and', $not = false)
    {
        return parent::whereBetween($column, $this->bound($column, self::ends($values)), $boolean, $not);
    }

    public function havingBetween($column, iterable $values, $boolean = 'and', $not = false)
    {
        return parent::havingBetween($column, $this->bound($column, self::ends($values)), $boolean, $not);
    }

    public function whereLike($column, $value, ...$more)
    {
        return parent::whereLike($column, $this->bound($column, $value), ...$more);
    }

    public function whereNullSafeEquals($column, $value, ...$more)
    {
        return parent::whereNullSafeEquals($column, $this->bound($column, $value), ...$more);
    }

    public function addBinding($value, $type = 'where')
    {
        return parent::addBinding(is_array($value) ? array_map($this->moment(...), $value) : $this->moment($value), $type);
    }

    /** `whereDate`, `whereTime`, `whereDay`, `whereMonth` and `whereYear`. */
    protected function addDateBasedWhere($type, $column, $operator, $value, $boolean = 'and')
    {
        if (in_array($this->ownColumn($column), self::TIMES, true)) {
            throw new LogicException(
                "where$type of $column depends on a time zone, which the query does not have: use the column day (of "
                    . 'PostViewAggregate: date), a day in the STATS_TIMEZONE of the service, or compare with two times, from '
                    . "where('$column', '>=', …) to where('$column', '<', …)",
            );
        }

        return parent::addDateBasedWhere($type, $column, $operator, $value, $boolean);
    }

    /** @return array{operator: mixed, value: mixed} the normalized arguments, of which the caller may have passed only two */
    private function comparison(string $column, mixed $operator, mixed $value, bool $hasTwo): array
    {
        [$value, $operator] = $this->prepareValueAndOperator($value, $operator, $hasTwo);
        if ($this->invalidOperator($operator)) {
            [$value, $operator] = [$operator, '='];
        }

        return ['operator' => $operator, 'value' => $this->bound($column, $value)];
    }

    /** The first and the last time of a period (PHP's or Carbon's), instead of all times in it. */
    private static function ends(iterable $values): iterable
    {
        return is_object($values) && method_exists($values, 'getStartDate')
            ? [$values->getStartDate(), $values->getEndDate() ?? collect($values)->last()]
            : $values;
    }

    private function bound(mixed $column, mixed $value): mixed
    {
        if ($value === null || $value instanceof Expression || $this->isQueryable($value)) {
            return $value;
        }
        if (!$value instanceof DateTimeInterface && (is_iterable($value) || $value instanceof Arrayable)) {
            return array_map(fn (mixed $one): mixed => $this->bound($column, $one), collect($value)->all());
        }
        $name = $this->ownColumn($column);

        return match (true) {
            in_array($name, self::TIMES, true) => $this->moment($this->time($column, $value)),
            $name === 'post_uuid' && (is_int($value) || is_string($value))
                => CanonicalPost::spelling((string) $value) ?? $value,
            $name === 'event_id' && is_string($value) && strlen($value) !== self::UUID_BYTES
                => throw new InvalidArgumentException('event_id holds the bytes of a UUID: use withEventId($uuid)'),
            !$value instanceof DateTimeInterface => $value,
            in_array($name, self::DAYS, true) => $value->format('Y-m-d'),
            // A column of another table, whose times are as the application writes them.
            $name === null => $value->format($this->grammar->getDateFormat()),
            default => $this->moment($value),
        };
    }

    /** The column without its table's name; null for a column of another, joined table. */
    private function ownColumn(mixed $column): ?string
    {
        if (!is_string($column)) {
            return '';
        }
        $names = explode('.', $column);
        $name = array_pop($names);
        $from = preg_split('/\s+as\s+/i', (string) $this->from) ?: [];

        return $names === [] || in_array(implode('.', $names), $from, true) ? $name : null;
    }

    private function time(string $column, mixed $value): DateTimeInterface
    {
        if ($value instanceof DateTimeInterface) {
            return $value;
        }
        try {
            return match (true) {
                is_int($value) => CarbonImmutable::createFromTimestampUTC($value),
                is_string($value) && preg_match('/^\d{4}-\d{2}-\d{2}/', $value) === 1 => CarbonImmutable::parse($value, 'UTC'),
                default => throw new InvalidArgumentException(),
            };
        } catch (Throwable) {
            throw new InvalidArgumentException(
                "$column is compared with something that is not a time: use a DateTimeInterface (now()->subHour()), a text YYYY-MM-DD HH:MM:SS "
                    . 'in UTC, or Unix seconds',
            );
        }
    }

    /** Converts a time to the database's form; returns anything else unchanged. */
    private function moment(mixed $value): mixed
    {
        return match (true) {
            !$value instanceof DateTimeInterface => $value,
            $this->connection->getDriverName() === 'sqlite' => $value->getTimestamp(),
            default => CarbonImmutable::instance($value)->setTimezone('UTC')->format('Y-m-d H:i:s'),
        };
    }
}
