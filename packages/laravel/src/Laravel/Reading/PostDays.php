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
 * A post's days, oldest first, including those without views. Iterate over it, or use its sums.
 *
 * @implements Arrayable<string, mixed>
 * @implements IteratorAggregate<int, DayStatistics>
 */
final readonly class PostDays implements Arrayable, Countable, IteratorAggregate, JsonSerializable
{
    /** @param Collection<int, DayStatistics> $days */
    private function __construct(
        public string $post,
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

    /**
     * @param bool $isChosen whether `who` was given: then the views may be unknown
     * @throws ApiFailed
     */
    public static function from(Answer $answer, bool $isChosen): self
    {
        $day = static fn (Answer $day): DayStatistics => DayStatistics::from($day, $isChosen);

        return new self(
            post: $answer->text('post_uuid'),
            timezone: $answer->text('timezone'),
            from: $answer->text('from'),
            to: $answer->text('to'),
            days: new Collection(array_map($day, $answer->list('days'))),
            asOf: $answer->time('as_of'),
            isStale: $answer->isStale,
        );
    }

    /** The sum of all these days. Null if it is unknown for one of them, which it may be with `who`. */
    public function views(): ?int
    {
        return $this->sum('views');
    }

    /** The sum over the days: a reader on two days counts twice. Null if it is unknown for one of them. */
    public function uniqueViews(): ?int
    {
        return $this->sum('uniqueViews');
    }

    private function sum(string $figure): ?int
    {
        $figures = $this->days->pluck($figure);

        return $figures->containsStrict(null) ? null : (int) $figures->sum();
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
