<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use Carbon\CarbonImmutable;
use Throwable;

/**
 * One JSON object of the internal API, read field by field. A field of the wrong type is an error and is not converted: a proxy's
 * error page has no views, which is not 0 views.
 */
final readonly class Answer
{
    /**
     * @param array<string, mixed> $fields
     * @param bool $isStale the API is unavailable: this is its last answer
     */
    public function __construct(
        public array $fields,
        public bool $isStale = false,
    ) {
    }

    /** @throws ApiFailed */
    public function count(string $name): int
    {
        return $this->knownCount($name) ?? throw ApiFailed::notTheApi();
    }

    /**
     * @return ?int null if unknown in the data
     * @throws ApiFailed
     */
    public function knownCount(string $name): ?int
    {
        $value = $this->field($name);
        if ($value !== null && (!is_int($value) || $value < 0)) {
            throw ApiFailed::notTheApi();
        }

        return $value;
    }

    /** @throws ApiFailed */
    public function text(string $name): string
    {
        $value = $this->field($name);

        return is_string($value) ? $value : throw ApiFailed::notTheApi();
    }

    /**
     * @return ?string null if there is none
     * @throws ApiFailed
     */
    public function knownText(string $name): ?string
    {
        return $this->field($name) === null ? null : $this->text($name);
    }

    /** @throws ApiFailed */
    public function time(string $name): CarbonImmutable
    {
        try {
            return CarbonImmutable::parse($this->text($name), 'UTC');
        } catch (Throwable) {
            throw ApiFailed::notTheApi();
        }
    }

    /** @throws ApiFailed */
    public function knownTime(string $name): ?CarbonImmutable
    {
        return $this->field($name) === null ? null : $this->time($name);
    }

    public function has(string $name): bool
    {
        return isset($this->fields[$name]);
    }

    /** @throws ApiFailed */
    public function object(string $name): self
    {
        $fields = $this->field($name);

        return is_array($fields) && !array_is_list($fields) ? new self($fields, $this->isStale) : throw ApiFailed::notTheApi();
    }

    /**
     * @return list<self> a list of objects
     * @throws ApiFailed
     */
    public function list(string $name): array
    {
        $list = $this->field($name);
        if (!is_array($list) || !array_is_list($list)) {
            throw ApiFailed::notTheApi();
        }

        return array_map(
            fn (mixed $fields): self => is_array($fields) ? new self($fields, $this->isStale) : throw ApiFailed::notTheApi(),
            $list,
        );
    }

    /** @throws ApiFailed */
    private function field(string $name): mixed
    {
        return array_key_exists($name, $this->fields) ? $this->fields[$name] : throw ApiFailed::notTheApi();
    }
}
