<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use Closure;
use Illuminate\Contracts\Cache\Repository;
use Illuminate\Support\Facades\Date;
use Throwable;

/**
 * Answers of the internal API, in one of Laravel's caches.
 *
 * | the cached answer | the API answers | it does not |
 * |---|---|---|
 * | is younger than `freshSeconds` | the cached one, without a request | the same |
 * | is older, up to `staleSeconds` | the new one | the cached one, with `isStale` |
 * | does not exist | the new one | null |
 *
 * After a failure, no process sends a request for `restSeconds`. Then one process does, and the others use what they have. So a
 * page waits for a timeout only once, however many counts it shows. A failing cache costs a request, but never a page.
 */
final class Answers
{
    /** How long one process may test whether the API is back, before another one does. */
    private const PROBE_SECONDS = 10;
    /** The same failure is logged once per this time. */
    private const TELL_SECONDS = 60;

    private int $restsUntil = 0;
    private bool $isProbing = false;
    /** @var array<string, int> */
    private array $told = [];

    /**
     * @param string $scope separates the answers of different services
     * @param Closure(string $event, string $detail): void $log
     */
    public function __construct(
        private readonly Repository $cache,
        private readonly string $scope,
        private readonly int $freshSeconds,
        private readonly int $staleSeconds,
        private readonly int $restSeconds,
        private readonly Closure $log,
    ) {
    }

    /**
     * @param list<string> $names of answers, without duplicates
     * @param callable(list<string>): array<string, Answer> $ask requests some of them: returns all of these, or throws ApiFailed
     * @param positive-int $atOnce how many names `$ask` gets at most
     * @return array<string, ?Answer> in the order of `$names`
     */
    public function of(array $names, callable $ask, int $atOnce = 1): array
    {
        $kept = $this->kept($names);
        $now = $this->now();
        $isFresh = fn (string $name): bool => isset($kept[$name]) && abs($now - $kept[$name]['at']) < $this->freshSeconds;
        $found = [];
        foreach (array_chunk(array_values(array_filter($names, fn ($name) => !$isFresh($name))), $atOnce) as $some) {
            $found += $this->ask($some, $ask);
        }

        return array_combine($names, array_map(
            static fn (string $name): ?Answer => $found[$name]
                ?? (isset($kept[$name]) ? new Answer($kept[$name]['fields'], !$isFresh($name)) : null),
            $names,
        ));
    }

    /** Logs the same detail once a minute, across all processes that share the cache. Never throws. */
    public function tell(string $event, string $detail): void
    {
        $now = $this->now();
        if (($this->told[$event . $detail] ?? PHP_INT_MIN) > $now - self::TELL_SECONDS) {
            return;
        }
        $this->told[$event . $detail] = $now;
        try {
            $isFirst = $this->cache->add($this->key("told $event $detail"), true, self::TELL_SECONDS);
        } catch (Throwable) {
            $isFirst = true;
        }
        if ($isFirst) {
            ($this->log)($event, $detail);
        }
    }

    /**
     * @param list<string> $names
     * @param callable(list<string>): array<string, Answer> $ask
     * @return array<string, Answer>
     */
    private function ask(array $names, callable $ask): array
    {
        if (!$this->mayAsk()) {
            return [];
        }
        try {
            $answers = $ask($names);
        } catch (ApiFailed $error) {
            $this->tell($error->isWrongQuestion ? 'read.invalid' : 'api.unavailable', $error->getMessage());
            if (!$error->isWrongQuestion) {
                $this->rest();
            }

            return [];
        }
        $this->keep($answers);

        return $answers;
    }

    private function mayAsk(): bool
    {
        $now = $this->now();
        if ($now < $this->restsUntil) {
            return false;
        }
        try {
            $until = $this->cache->get($this->key('rest'));

            $this->isProbing = $until !== null
                && $now >= $until && $this->cache->add($this->key('probe'), true, self::PROBE_SECONDS);

            return $until === null || $this->isProbing;
        } catch (Throwable) {
            return true;
        }
    }

    private function rest(): void
    {
        $this->restsUntil = $this->now() + $this->restSeconds;
        $this->tryCache(function (): void {
            // The entry outlives the rest, because while it exists only one process tries Analytics again. Without it, all of
            // them would try at once.
            $this->cache->put($this->key('rest'), $this->restsUntil, $this->restSeconds + self::TELL_SECONDS);
            $this->cache->forget($this->key('probe'));
        });
    }

    /**
     * @param list<string> $names
     * @return array<string, array{at: int, fields: array<string, mixed>}>
     */
    private function kept(array $names): array
    {
        $keys = array_combine($names, array_map($this->key(...), $names));
        $values = $this->tryCache(fn (): iterable => $this->cache->many(array_values($keys))) ?? [];
        $kept = [];
        foreach ($keys as $name => $key) {
            $value = $values[$key] ?? null;
            if (is_array($value) && is_int($value['at'] ?? null) && is_array($value['fields'] ?? null)) {
                $kept[$name] = $value;
            }
        }

        return $kept;
    }

    /** @param array<string, Answer> $answers */
    private function keep(array $answers): void
    {
        $now = $this->now();
        $values = [];
        foreach ($answers as $name => $answer) {
            // As arrays, because Laravel 13 does not unserialize objects from a cache.
            $values[$this->key($name)] = ['at' => $now, 'fields' => $answer->fields];
        }
        $this->tryCache(function () use ($values): void {
            $this->cache->putMany($values, max($this->staleSeconds, $this->freshSeconds));
            if ($this->isProbing) {
                $this->cache->deleteMultiple([$this->key('rest'), $this->key('probe')]);
                $this->isProbing = false;
            }
        });
    }

    /** Hashed, because ids that differ only in case are two posts, but one key in a MySQL cache. */
    private function key(string $name): string
    {
        return 'postviews:1:' . hash('xxh128', "$this->scope $name");
    }

    private function tryCache(callable $use): mixed
    {
        try {
            return $use();
        } catch (Throwable $error) {
            $this->tell('cache.failed', $error->getMessage());

            return null;
        }
    }

    /** Laravel's clock, which a test may change. */
    private function now(): int
    {
        return Date::now()->getTimestamp();
    }
}
