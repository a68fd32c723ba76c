<?php

declare(strict_types=1);

namespace Postviews\Laravel\Tracking;

use Illuminate\Contracts\Bus\Dispatcher;
use Illuminate\Contracts\Container\Container;
use Postviews\Publishing\EncodedView;
use Throwable;

/** The queue of `postviews.queue`, for views that the broker does not take. */
final class ViewsQueue
{
    /** About 90 KB after encryption: several queues accept at most 256 KB. */
    private const VIEWS_PER_JOB = 100;
    /** These run a job in this process, at once or a little later. */
    private const KEEPS_NOTHING = ['sync', 'deferred', 'background', 'null'];

    public function __construct(private readonly Container $container)
    {
    }

    /**
     * @param non-empty-list<EncodedView> $views
     * @return bool false: no queue is configured that keeps them
     * @throws Throwable any error of the queue
     */
    public function take(string $driver, array $views): bool
    {
        $connection = $this->connection();
        if ($connection === null || $this->isUndoneByRollback($connection)) {
            return false;
        }
        foreach (array_chunk($views, self::VIEWS_PER_JOB) as $some) {
            $job = FlushViews::of($driver, $some);
            $job->onConnection($connection);
            $job->onQueue($this->setting('postviews.queue.queue') ?: null);
            // A rollback must not remove a view: its page was read.
            $job->beforeCommit();
            $this->container->make(Dispatcher::class)->dispatch($job);
        }

        return true;
    }

    /** The named connection. If it fails over to a queue that keeps nothing: its first connection that keeps jobs. */
    private function connection(): ?string
    {
        $named = $this->setting('postviews.queue.connection');
        if ($named === null || $named === '') {
            return null;
        }
        $all = $this->connectionsOf($named);
        $keeping = array_values(array_filter($all, fn (string $connection): bool => !in_array(
            $this->setting("queue.connections.$connection.driver"),
            self::KEEPS_NOTHING,
            true,
        )));

        return $keeping === $all ? $named : $keeping[0] ?? null;
    }

    /** @return list<string> the connection itself, or those that it fails over to */
    private function connectionsOf(string $named): array
    {
        $isFailover = $this->setting("queue.connections.$named.driver") === 'failover';

        return $isFailover ? array_values($this->setting("queue.connections.$named.connections") ?? []) : [$named];
    }

    /** Whether the jobs table is part of an open transaction, whose rollback would remove the jobs. */
    private function isUndoneByRollback(string $named): bool
    {
        foreach ($this->connectionsOf($named) as $connection) {
            $queue = $this->setting("queue.connections.$connection");
            if (
                ($queue['driver'] ?? null) === 'database'
                && $this->container->make('db')->connection($queue['connection'] ?? null)->transactionLevel() > 0
            ) {
                return true;
            }
        }

        return false;
    }

    private function setting(string $name): mixed
    {
        return $this->container->make('config')->get($name);
    }
}
