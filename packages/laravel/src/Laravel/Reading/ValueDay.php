<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use Illuminate\Contracts\Support\Arrayable;
use JsonSerializable;

/**
 * The views of one value of a dimension on one day.
 *
 * @implements Arrayable<string, mixed>
 */
final readonly class ValueDay implements Arrayable, JsonSerializable
{
    private function __construct(
        /** `YYYY-MM-DD`, a day in the service's time zone. */
        public string $date,
        /** Null: not known, because the service did not keep the value on that day, or because adopted data do not tell it. */
        public ?int $views,
        public ?int $bots,
    ) {
    }

    /** @throws ApiFailed */
    public static function from(Answer $answer): self
    {
        return new self($answer->text('date'), $answer->knownCount('views'), $answer->knownCount('bots'));
    }

    /** @return array<string, mixed> with the field names of the internal API */
    public function toArray(): array
    {
        return ['date' => $this->date, 'views' => $this->views, 'bots' => $this->bots];
    }

    /** @return array<string, mixed> */
    public function jsonSerialize(): array
    {
        return $this->toArray();
    }
}
