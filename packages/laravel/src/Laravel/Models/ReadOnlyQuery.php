<?php

declare(strict_types=1);

namespace Postviews\Laravel\Models;

use Illuminate\Database\Query\Builder;
use LogicException;

/**
 * A query that only reads. postviews writes these tables: a row that is added or changed beside it makes its numbers wrong.
 *
 * Every way of Eloquent to write (`save`, `create`, `increment`, `delete`, quietly or not) ends in one of these methods. They
 * take anything, because their parameters differ between Laravel 11 and 13.
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
