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
 * The days of one value of a dimension, oldest first, including those without views. Iterate over it, or use its sum.
 *
 * @implements Arrayable<string, mixed>
 * @implements IteratorAggregate<int, ValueDay>
 */
final readonly class ValueDays implements Arrayable, Countable, IteratorAggregate, JsonSerializable
{
    /** @param Collection<int, ValueDay> $days */
    private function __construct(
        /** Null: the whole site. */
        public ?string $post,
        public string $dimension,
        /** Null: the views that have no value. */
        public ?string $value,
        /** An IANA name: the days are days in this time zone. */
        public string $timezone,
        /** The first and the last day, `YYYY-MM-DD`. */
        public string $from,
        public string $to,
        public Collection $days,
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
            dimension: $answer->text('dimension'),
            value: $answer->knownText('value'),
            timezone: $answer->text('timezone'),
            from: $answer->text('from'),
            to: $answer->text('to'),
            days: new Collection(array_map(ValueDay::from(...), $answer->list('days'))),
            asOf: $answer->time('as_of'),
            isStale: $answer->isStale,
        );
    }

    /** The sum of all these days. Null if it is unknown for one of them. */
    public function views(): ?int
    {
        return $this->days->contains(static fn (ValueDay $day): bool => $day->views === null)
            ? null
            : (int) $this->days->sum('views');
    }

    public function count(): int
    {
        return $this->days->count();
    }

    public function getIterator(): Traversable
    {
        return $this->days->getIterator();
    }

    /** @return array<string, mixed> with the field names of the internal API */
    public function toArray(): array
    {
        return [
            ...($this->post === null ? [] : ['post_uuid' => $this->post]),
            'dimension' => $this->dimension,
            'value' => $this->value,
            'timezone' => $this->timezone,
            'from' => $this->from,
            'to' => $this->to,
            'days' => $this->days->map->toArray()->all(),
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
