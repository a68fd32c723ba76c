<?php

declare(strict_types=1);

namespace Postviews\Laravel\Console;

/** The result of one check. */
final readonly class Finding
{
    private function __construct(
        public string $name,
        /** `ok`, `warning`, `failed`; `skipped` if a check that this one depends on has failed or was skipped. */
        public string $status,
        public string $detail,
        /** How to fix it; null if there is nothing to fix. */
        public ?string $todo,
    ) {
    }

    public static function ok(string $name, string $detail): self
    {
        return new self($name, 'ok', $detail, null);
    }

    /** It may be intended, so the exit code stays 0. */
    public static function warning(string $name, string $detail, string $todo): self
    {
        return new self($name, 'warning', $detail, $todo);
    }

    public static function failed(string $name, string $detail, string $todo): self
    {
        return new self($name, 'failed', $detail, $todo);
    }

    /** For an optional feature: a failure is only a warning. */
    public function orWarning(): self
    {
        return $this->status === 'failed' ? self::warning($this->name, $this->detail, (string) $this->todo) : $this;
    }

    public static function skipped(string $name, string $detail): self
    {
        return new self($name, 'skipped', $detail, null);
    }
}
