<?php

declare(strict_types=1);

namespace Postviews\Laravel;

use Illuminate\Database\Eloquent\Model;
use Illuminate\Filesystem\Filesystem;
use Throwable;

/**
 * Which tables have a column `uuid`. Needed for models that lack the attribute, among them every model of a table without the
 * column. Answers are kept for a minute, in a file for all processes of this machine, so that a page under PHP-FPM costs no
 * query.
 */
final class UuidColumns
{
    private const SECONDS = 60;

    /** @var ?array<string, array{bool, int}> by table: the answer, and the Unix time when it was given */
    private ?array $answers = null;

    /** @param string $file where answers are kept; if it cannot be written, each process queries for itself */
    public function __construct(private readonly string $file)
    {
    }

    /** @throws Throwable any error of the database */
    public function isColumnOf(Model $model): bool
    {
        $connection = $model->getConnection();
        $database = $connection->getDatabaseName();
        $table = hash('sha256', json_encode(
            [$connection->getName(), $database, $connection->getTablePrefix(), $model->getTable()],
            JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE,
        ));
        $this->answers ??= $this->read();
        [$isColumn, $time] = $this->answers[$table] ?? [false, 0];
        if (!self::isRecent($time)) {
            $isColumn = $connection->getSchemaBuilder()->hasColumn($model->getTable(), 'uuid');
            // An in-memory database differs in each process.
            if ($database !== ':memory:') {
                $this->remember($table, $isColumn);
            }
        }

        return $isColumn;
    }

    private function remember(string $table, bool $isColumn): void
    {
        $this->answers = [$table => [$isColumn, now()->getTimestamp()]] + $this->read() + $this->answers;
        try {
            // Otherwise PHP would create a file in the system's temporary folder.
            if (is_writable(dirname($this->file))) {
                (new Filesystem())->replace($this->file, json_encode($this->answers, JSON_THROW_ON_ERROR));
            }
        } catch (Throwable) {
            // The next process queries for itself.
        }
    }

    /** @return array<string, array{bool, int}> recent answers; none if the file is not ours */
    private function read(): array
    {
        $answers = json_decode((string) @file_get_contents($this->file), true);

        return array_filter(is_array($answers) ? $answers : [], static fn (mixed $answer): bool => is_array($answer)
            && is_bool($answer[0] ?? null) && is_int($answer[1] ?? null) && self::isRecent($answer[1]));
    }

    /** After the clock was set back, an answer must not stay for ever. */
    private static function isRecent(int $time): bool
    {
        return abs(now()->getTimestamp() - $time) < self::SECONDS;
    }
}
