<?php

declare(strict_types=1);

namespace Postviews\Laravel\Models;

use Illuminate\Database\Query\Builder;
use LogicException;

/**
 * A query that can only read. postviews writes these tables; rows that others add or change make its numbers wrong.
 *
 * Every write of Eloquent (`save`, `create`, `increment`, `delete`, quietly or not) ends in one of these methods. They accept any
 * arguments, because their parameters differ between Laravel 11 and 13.
 *
 * @internal
 */
final class ReadOnlyQuery extends Builder
{
    use BindsAsStored;

    public function insert(...$arguments)
    {
        throw self::readOnly();
    }

    public function insertOrIgnore(...$arguments)
    {
        throw self::readOnly();
    }

    public function insertOrIgnoreReturning(...$arguments)
    {
        throw self::readOnly();
    }

    public function insertGetId(...$arguments)
    {
        throw self::readOnly();
    }

    public function insertUsing(...$arguments)
    {
        throw self::readOnly();
    }

    public function insertOrIgnoreUsing(...$arguments)
    {
        throw self::readOnly();
    }

    public function update(...$arguments)
    {
        throw self::readOnly();
    }

    public function updateFrom(...$arguments)
    {
        throw self::readOnly();
    }

    public function updateOrInsert(...$arguments)
    {
        throw self::readOnly();
    }

    public function upsert(...$arguments)
    {
        throw self::readOnly();
    }

    public function increment(...$arguments)
    {
        throw self::readOnly();
    }

    public function incrementEach(...$arguments)
    {
        throw self::readOnly();
    }

    public function decrement(...$arguments)
    {
        throw self::readOnly();
    }

    public function decrementEach(...$arguments)
    {
        throw self::readOnly();
    }

    public function delete(...$arguments)
    {
        throw self::readOnly();
    }

    public function truncate(...$arguments)
    {
        throw self::readOnly();
    }

    private static function readOnly(): LogicException
    {
        return new LogicException('the tables of postviews are read-only here: track a view instead, the service counts it');
    }
}
