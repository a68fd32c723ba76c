<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use Carbon\CarbonImmutable;
use Countable;
use Illuminate\Contracts\Support\Arrayable;
use Illuminate\Support\Collection;
use IteratorAggregate;
use JsonSerializable;
use Traversable;

/**
 * The hours of some days, oldest first, 23 to 25 a day, including those without views and those to come.
 *
 * @implements Arrayable<string, mixed>
 * @implements IteratorAggregate<int, HourStatistics>
 */
final readonly class Hours implements Arrayable, Countable, IteratorAggregate, JsonSerializable
{
    /** @param Collection<int, HourStatistics> $hours */
    private function __construct(
        /** Null: the whole site. */
        public ?string $post,
        /** An IANA name: the days are days in this time zone. */
        public string $timezone,
        /** The first and the last day, `YYYY-MM-DD`. */
        public string $from,
        public string $to,
        public Collection $hours,
        /** When the service read the data. */
        public CarbonImmutable $asOf,
        /** The service is unavailable: this is its last answer. */
        public bool $isStale,
    ) {
    }

    /** @throws ApiFailed */
    public static function from(Answer $answer): self
    {
        return new self(
            post: $answer->has('post_uuid') ? $answer->text('post_uuid') : null,
            timezone: $answer->text('timezone'),
            from: $answer->text('from'),
            to: $answer->text('to'),
            hours: new Collection(array_map(HourStatistics::from(...), $answer->list('hours'))),
            asOf: $answer->time('as_of'),
            isStale: $answer->isStale,
        );
    }

    public function count(): int
    {
        return $this->hours->count();
    }

    public function getIterator(): Traversable
    {
        return $this->hours->getIterator();
    }

    /** @return array<string, mixed> with the field names of the internal API */
    public function toArray(): array
    {
        return [
            ...($this->post === null ? [] : ['post_uuid' => $this->post]),
            'timezone' => $this->timezone,
            'from' => $this->from,
            'to' => $this->to,
            'hours' => $this->hours->map->toArray()->all(),
            'as_of' => $this->asOf->toIso8601ZuluString(),
            'is_stale' => $this->isStale,
        ];
    }

    /** @return array<string, mixed> */
    public function jsonSerialize(): array
    {
        return $this->toArray();
    }
}
