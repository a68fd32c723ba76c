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
 * The views of a period, by the values of a dimension, most views first. Iterate over its values. These, `otherViews` and
 * `unknownViews` add up to `views`.
 *
 * @implements Arrayable<string, mixed>
 * @implements IteratorAggregate<int, BreakdownValue>
 */
final readonly class Breakdown implements Arrayable, Countable, IteratorAggregate, JsonSerializable
{
    /** @param Collection<int, BreakdownValue> $values */
    private function __construct(
        /** Null: the whole site. */
        public ?string $post,
        public string $dimension,
        /** An IANA name: the days are days in this time zone. */
        public string $timezone,
        /** The first and the last day, `YYYY-MM-DD`. */
        public string $from,
        public string $to,
        /** `YYYY-MM-DD`: from this day on all values are known. Null: they all are. */
        public ?string $detailsSince,
        /** Of `bot` and `purpose`, the views of bots. Null, here and below: unknown in adopted data. */
        public ?int $views,
        /** The number of values on all pages. */
        public int $total,
        public Collection $values,
        /** What is not listed. How many values these are is also unknown where the service has not kept all of them. */
        public ?int $otherValues,
        public ?int $otherViews,
        public ?int $otherBots,
        /** The views whose value is not known. */
        public ?int $unknownViews,
        /** When the service read the data. */
        public CarbonImmutable $asOf,
        /** The service is unavailable: this is its last answer. */
        public bool $isStale,
    ) {
    }

    /** @throws ApiFailed */
    public static function from(Answer $answer): self
    {
        $other = $answer->object('other');

        return new self(
            post: $answer->has('post_uuid') ? $answer->text('post_uuid') : null,
            dimension: $answer->text('dimension'),
            timezone: $answer->text('timezone'),
            from: $answer->text('from'),
            to: $answer->text('to'),
            detailsSince: $answer->knownText('details_since'),
            views: $answer->knownCount('views'),
            total: $answer->count('total'),
            values: new Collection(array_map(BreakdownValue::from(...), $answer->list('values'))),
            otherValues: $other->knownCount('values'),
            otherViews: $other->knownCount('views'),
            otherBots: $other->knownCount('bots'),
            unknownViews: $answer->object('unknown')->knownCount('views'),
            asOf: $answer->time('as_of'),
            isStale: $answer->isStale,
        );
    }

    public function count(): int
    {
        return $this->values->count();
    }

    public function getIterator(): Traversable
    {
        return $this->values->getIterator();
    }

    /** @return array<string, mixed> with the field names of the internal API */
    public function toArray(): array
    {
        return [
            ...($this->post === null ? [] : ['post_uuid' => $this->post]),
            'dimension' => $this->dimension,
            'timezone' => $this->timezone,
            'from' => $this->from,
            'to' => $this->to,
            'details_since' => $this->detailsSince,
            'views' => $this->views,
            'total' => $this->total,
            'values' => $this->values->map->toArray()->all(),
            'other' => ['values' => $this->otherValues, 'views' => $this->otherViews, 'bots' => $this->otherBots],
            'unknown' => ['views' => $this->unknownViews],
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
