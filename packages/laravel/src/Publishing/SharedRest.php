<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use Closure;
use Throwable;

/**
 * After a failure, a broker is left alone for a while by all processes of this machine that share a folder. Then one of them
 * tries, and the others wait for its result.
 *
 * | the file | this process |
 * |---|---|
 * | does not exist | tries: no process has seen the broker away |
 * | says that the broker was away a moment ago | does not try |
 * | is older than that | tries if it gets the lock beside the file; otherwise another one is trying |
 * | says 0: the broker is away, and trying takes no time | tries |
 *
 * The file's name contains the user of this process, so that files which root created (a command, a cron job) block nobody. It also
 * has a hash of the broker's address: applications with different brokers do not affect each other.
 */
final class SharedRest
{
    /** Recorded in place of a time when the failure cost nothing, so that every process may try. */
    private const AT_ONCE = 0.0;

    /** By this machine's monotonic clock, in seconds: setting the clock back must not prolong a rest. */
    private float $restsUntil = 0.0;
    private ?string $file = null;
    /** @var resource|null */
    private $lock = null;
    private bool $isUnshared = false;
    /** When a try last failed, as far as this process knows; null after a success. */
    private ?float $failedAt = null;

    /**
     * @param ?string $folder null: not shared with other processes
     * @param string $broker the broker's address; without the password, because a hash can be guessed
     * @param float $seconds how long the broker is left alone
     * @param ?Closure(string $event, string $detail): void $log
     */
    public function __construct(
        ?string $folder,
        string $broker,
        private readonly float $seconds,
        private readonly ?Closure $log = null,
    ) {
        if ($folder !== null) {
            $user = function_exists('posix_geteuid') ? posix_geteuid() : get_current_user();
            $this->file = rtrim($folder, '/') . "/postviews-rest-$user-" . substr(hash('sha256', $broker), 0, 16);
        }
    }

    /** Whether no failure is known: then a try needs no coordination. */
    public function isWell(): bool
    {
        return $this->failedAt === null && $this->lastFailure() === null;
    }

    /** Whether this process may try now. After true, call `failed` or `succeeded`, or at least `release`. */
    public function mayTry(): bool
    {
        if ($this->lock !== null) {
            return true;
        }
        if (hrtime(true) / 1e9 < $this->restsUntil) {
            return false;
        }
        if ($this->file === null || $this->isUnshared) {
            return true;
        }
        $this->failedAt = $this->lastFailure();

        return $this->failedAt === null
            || $this->failedAt === self::AT_ONCE
            || (!$this->isRecent($this->failedAt) && $this->isFirst());
    }

    /**
     * Whether a try has failed in any process, and none has succeeded since. Call it before `failed`.
     */
    public function wasAway(): bool
    {
        // If two processes tried at the same time, the other may have been faster.
        return $this->failedAt !== null || (!$this->isUnshared && $this->lastFailure() !== null);
    }

    /** @param bool $needsRest false: a failing try takes no time, so every process may try */
    public function failed(bool $needsRest = true): void
    {
        $isSaid = $this->failedAt === self::AT_ONCE && !$needsRest;
        $this->failedAt = $needsRest ? microtime(true) : self::AT_ONCE;
        $this->restsUntil = $needsRest ? hrtime(true) / 1e9 + $this->seconds : 0.0;
        if ($this->file !== null && !$isSaid && !$this->write(sprintf('%.6F', $this->failedAt)) && !$this->isUnshared) {
            $this->isUnshared = true;
            $this->tell('the folder of rest_path cannot be written: other processes will not know of the pause, and will try for themselves');
        }
        $this->release();
    }

    public function succeeded(): void
    {
        if ($this->file !== null && $this->failedAt !== null) {
            @unlink($this->file);
        }
        $this->failedAt = null;
        $this->restsUntil = 0.0;
        $this->release();
    }

    /** Lets another process try. */
    public function release(): void
    {
        if ($this->lock !== null) {
            fclose($this->lock);
            $this->lock = null;
        }
    }

    /** Unix time of the last failure that any process of this machine has recorded. */
    private function lastFailure(): ?float
    {
        $time = $this->file === null ? false : @file_get_contents($this->file);

        return is_string($time) && is_numeric($time) ? (float) $time : null;
    }

    private function isRecent(float $failedAt): bool
    {
        $age = microtime(true) - $failedAt;

        // Setting the clock back must not make this rest last for ever.
        return $age > -1.0 && $age < $this->seconds;
    }

    /** True for the one process that tries for all. The kernel releases its lock when it dies. */
    private function isFirst(): bool
    {
        $lock = @fopen("$this->file.lock", 'c');
        if ($lock === false) {
            // No process can lock here, so none waits for another.
            return true;
        }
        if (!flock($lock, LOCK_EX | LOCK_NB)) {
            fclose($lock);

            return false;
        }
        $this->lock = $lock;
        // Another process may have tried between reading the file and getting the lock.
        $failedAt = $this->lastFailure();
        if ($failedAt !== null && $this->isRecent($failedAt)) {
            $this->release();

            return false;
        }

        return true;
    }

    /** By renaming: others read either the old or the new file, never half of it. It also replaces another user's file. */
    private function write(string $text): bool
    {
        $new = "$this->file." . bin2hex(random_bytes(4));
        if (@file_put_contents($new, $text) !== strlen($text)) {
            @unlink($new);

            return false;
        }
        if (!@rename($new, (string) $this->file)) {
            @unlink($new);

            return false;
        }

        return true;
    }

    private function tell(string $detail): void
    {
        try {
            if ($this->log !== null) {
                ($this->log)('rest.unshared', $detail);
            }
        } catch (Throwable) {
            // Logging itself has failed, so this cannot be logged.
        }
    }
}
