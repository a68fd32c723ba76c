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
 * A post's days, oldest first, those without views included. Loop over it, or take its sums.
 *
 * @implements Arrayable<string, mixed>
 * @implements IteratorAggregate<int, DayStatistics>
 */
final readonly class PostDays implements Arrayable, Countable, IteratorAggregate, JsonSerializable
{
    /** @param Collection<int, DayStatistics> $days */
    private function __construct(
        public string $post,
        /** An IANA name: the time zone whose days these are. */
        public string $timezone,
        /** The first day and the last, `YYYY-MM-DD`. */
        public string $from,
        public string $to,
        public Collection $days,
        /** When the service read the data. */
        public CarbonImmutable $asOf,
        /** The service cannot be asked at the moment: this is what it said the last time. */
        public bool $isStale,
    ) {
    }

    /** @throws ApiFailed */
    public static function from(Answer $answer): self
    {
        return new self(
            post: $answer->text('post_uuid'),
            timezone: $answer->text('timezone'),
            from: $answer->text('from'),
            to: $answer->text('to'),
            days: new Collection(array_map(DayStatistics::from(...), $answer->list('days'))),
            asOf: $answer->time('as_of'),
            isStale: $answer->isStale,
        );
    }

    /** Of all these days together. */
    public function views(): int
    {
        return (int) $this->days->sum('views');
    }

    /** Summed over the days: a reader of two days counts twice. Null if it is not known of one of them. */
    public function uniqueViews(): ?int
    {
        return $this->days->contains(static fn (DayStatistics $day): bool => $day->uniqueViews === null)
            ? null
            : (int) $this->days->sum('uniqueViews');
    }

    public function count(): int
    {
        return $this->days->count();
    }

    public function getIterator(): Traversable
    {
        return $this->days->getIterator();
    }

    /** @return array<string, mixed> by the names of the internal API */
    public function toArray(): array
    {
        return [
            'post_uuid' => $this->post,
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
