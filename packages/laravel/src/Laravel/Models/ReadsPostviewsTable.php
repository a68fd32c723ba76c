<?php

declare(strict_types=1);

namespace Postviews\Laravel\Models;

use Illuminate\Database\Query\Builder;

/**
 * The common part of the models of postviews' tables: where the tables are, and that they are read-only.
 *
 * MariaDB and MySQL convert a TIMESTAMP to the session's time zone. So if the connection is configured without
 * `'timezone' => '+00:00'`, the models read through a connection of their own with that setting.
 *
 * @internal
 */
trait ReadsPostviewsTable
{
    public function getConnectionName()
    {
        $name = $this->connection ?? config('postviews.models.connection') ?? config('database.default');
        $connection = (array) config("database.connections.$name");
        $isInUtc = in_array($connection['timezone'] ?? null, ['+00:00', 'UTC'], true);
        if ($isInUtc || !in_array($connection['driver'] ?? null, ['mysql', 'mariadb'], true)) {
            return $name;
        }
        config(["database.connections.$name-in-utc" => ['timezone' => '+00:00'] + $connection]);

        return "$name-in-utc";
    }

    public function getTable()
    {
        return config('postviews.models.' . self::TABLE) ?? self::TABLE;
    }

    protected function newBaseQueryBuilder(): Builder
    {
        $connection = $this->getConnection();

        return new ReadOnlyQuery($connection, $connection->getQueryGrammar(), $connection->getPostProcessor());
    }
}
