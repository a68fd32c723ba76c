<?php

declare(strict_types=1);

namespace Postviews\Laravel\Console;

/** What the doctor says of one thing. */
final readonly class Finding
{
    private function __construct(
        public string $name,
        /** `ok`, `warning`, `failed`, or `skipped`: something that it needs has failed, or is not known. */
        public string $status,
        public string $detail,
        /** What to do; null if nothing is to be done. */
        public ?string $todo,
    ) {
    }

    public static function ok(string $name, string $detail): self
    {
        return new self($name, 'ok', $detail, null);
    }

    /** It may be meant so; the exit code stays 0. */
    public static function warning(string $name, string $detail, string $todo): self
    {
        return new self($name, 'warning', $detail, $todo);
    }

    public static function failed(string $name, string $detail, string $todo): self
    {
        return new self($name, 'failed', $detail, $todo);
    }

    /** Of what works without it. */
    public function orWarning(): self
    {
        return $this->status === 'failed' ? self::warning($this->name, $this->detail, (string) $this->todo) : $this;
    }

    public static function skipped(string $name, string $detail): self
    {
        return new self($name, 'skipped', $detail, null);
    }
}
