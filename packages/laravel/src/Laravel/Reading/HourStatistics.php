<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use Carbon\CarbonImmutable;
use Illuminate\Contracts\Support\Arrayable;
use JsonSerializable;

/**
 * The views of one hour.
 *
 * @implements Arrayable<string, mixed>
 */
final readonly class HourStatistics implements Arrayable, JsonSerializable
{
    private function __construct(
        /** In UTC. */
        public CarbonImmutable $start,
        /** Elapsed hours since the day began: on days on which clocks change, they end at 22 or 24. */
        public int $hour,
        /** Null: the hour has not begun, or the service did not keep it, or adopted data do not tell it. */
        public ?int $views,
        public ?int $bots,
    ) {
    }

    /** @throws ApiFailed */
    public static function from(Answer $answer): self
    {
        return new self(
            start: $answer->time('start'),
            hour: $answer->count('hour'),
            views: $answer->knownCount('views'),
            bots: $answer->knownCount('bots'),
        );
    }

    /** @return array<string, mixed> with the field names of the internal API */
    public function toArray(): array
    {
        return [
            'start' => $this->start->toIso8601ZuluString(),
            'hour' => $this->hour,
            'views' => $this->views,
            'bots' => $this->bots,
        ];
    }

    /** @return array<string, mixed> */
    public function jsonSerialize(): array
    {
        return $this->toArray();
    }
}
