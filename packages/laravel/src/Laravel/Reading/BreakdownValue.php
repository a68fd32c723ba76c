<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use Illuminate\Contracts\Support\Arrayable;
use JsonSerializable;

/**
 * The views of one value of a dimension, such as those from one country.
 *
 * @implements Arrayable<string, mixed>
 */
final readonly class BreakdownValue implements Arrayable, JsonSerializable
{
    private function __construct(
        /** Null: these views have no value, or nobody told. */
        public ?string $value,
        public int $views,
        /** Those of them that were by bots. Null: unknown in adopted data. */
        public ?int $bots,
    ) {
    }

    /** @throws ApiFailed */
    public static function from(Answer $answer): self
    {
        return new self($answer->knownText('value'), $answer->count('views'), $answer->knownCount('bots'));
    }

    /** @return array<string, mixed> with the field names of the internal API */
    public function toArray(): array
    {
        return ['value' => $this->value, 'views' => $this->views, 'bots' => $this->bots];
    }

    /** @return array<string, mixed> */
    public function jsonSerialize(): array
    {
        return $this->toArray();
    }
}
