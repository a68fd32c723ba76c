<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use Closure;
use Throwable;

/**
 * After a failure a broker is left alone for a while, by every process of this machine that shares a folder; then
 * one of them tries, and the others wait for what it finds.
 *
 * | the file | this process |
 * |---|---|
 * | is not there | tries: nobody has seen the broker away |
 * | says that the broker was away a moment ago | does not try |
 * | is older than that | tries if it gets the lock beside the file; else another one is trying |
 * | says 0: it is away, and to see that takes no time | tries |
 *
 * The file's name holds the user of this process: what root has made (a command, a cron job) stands in nobody's way.
 * It also holds a hash of where the broker is: applications with different brokers do not hear of each other.
 */
final class SharedRest
{
    /** In the place of a time: a failure that costs nothing, so that everybody may try. */
    private const AT_ONCE = 0.0;

    /** By this machine's monotonic clock, in seconds: a clock that is set back must not make a rest longer. */
    private float $restsUntil = 0.0;
    private ?string $file = null;
    /** @var resource|null */
    private $lock = null;
    private bool $isUnshared = false;
    /** When a try failed last, as far as this process knows; null once one has succeeded since. */
    private ?float $failedAt = null;

    /**
     * @param ?string $folder null: this process finds out by itself
     * @param string $broker where the broker is; without the password, for a hash can be guessed
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

    /** Whether no failure is known, so that a try costs nothing and concerns nobody. */
    public function isWell(): bool
    {
        return $this->failedAt === null && $this->lastFailure() === null;
    }

    /** Whether this process may try now. After a true, say `failed` or `succeeded`, or at last `release`. */
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
     * Whether another try had failed, in whichever process, and none has succeeded since. To be asked before `failed`.
     */
    public function wasAway(): bool
    {
        // Two that tried at the same time: the other one was quicker.
        return $this->failedAt !== null || (!$this->isUnshared && $this->lastFailure() !== null);
    }

    /** @param bool $needsRest false: to see it fail takes no time, so everybody may try */
    public function failed(bool $needsRest = true): void
    {
        $isSaid = $this->failedAt === self::AT_ONCE && !$needsRest;
        $this->failedAt = $needsRest ? microtime(true) : self::AT_ONCE;
        $this->restsUntil = $needsRest ? hrtime(true) / 1e9 + $this->seconds : 0.0;
        if ($this->file !== null && !$isSaid && !$this->write(sprintf('%.6F', $this->failedAt)) && !$this->isUnshared) {
            $this->isUnshared = true;
            $this->tell('the folder of the rest file cannot be written: other processes will try for themselves');
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

    /** Unix time of what any process of this machine has seen last. */
    private function lastFailure(): ?float
    {
        $time = $this->file === null ? false : @file_get_contents($this->file);

        return is_string($time) && is_numeric($time) ? (float) $time : null;
    }

    private function isRecent(float $failedAt): bool
    {
        $age = microtime(true) - $failedAt;

        // A clock that was set back must not make this a rest for ever.
        return $age > -1.0 && $age < $this->seconds;
    }

    /** True for the process that tries for all. The kernel takes its lock when it dies. */
    private function isFirst(): bool
    {
        $lock = @fopen("$this->file.lock", 'c');
        if ($lock === false) {
            // Nobody here can lock, so nobody waits for anybody.
            return true;
        }
        if (!flock($lock, LOCK_EX | LOCK_NB)) {
            fclose($lock);

            return false;
        }
        $this->lock = $lock;
        // Another one may have tried between the look at the file and the lock.
        $failedAt = $this->lastFailure();
        if ($failedAt !== null && $this->isRecent($failedAt)) {
            $this->release();

            return false;
        }

        return true;
    }

    /** By renaming: others read the old file or the new one, whole, and a file that somebody else owns is replaced. */
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
            // There is nobody to tell: telling is what failed.
        }
    }
}
