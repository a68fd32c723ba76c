<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use Illuminate\Contracts\Support\Arrayable;
use JsonSerializable;

/**
 * The counts of one post on one day.
 *
 * @implements Arrayable<string, mixed>
 */
final readonly class DayStatistics implements Arrayable, JsonSerializable
{
    private function __construct(
        /** `YYYY-MM-DD`, a day in the service's time zone. */
        public string $date,
        public int $views,
        /** Null, here and below: unknown in adopted data. */
        public ?int $uniqueViews,
        public ?int $loggedIn,
        public ?int $anonymous,
        public ?int $bots,
    ) {
    }

    /** @throws ApiFailed */
    public static function from(Answer $answer): self
    {
        return new self(
            date: $answer->text('date'),
            views: $answer->count('views'),
            uniqueViews: $answer->knownCount('unique_views'),
            loggedIn: $answer->knownCount('logged_in'),
            anonymous: $answer->knownCount('anonymous'),
            bots: $answer->knownCount('bots'),
        );
    }

    /** @return array<string, mixed> with the field names of the internal API */
    public function toArray(): array
    {
        return [
            'date' => $this->date,
            'views' => $this->views,
            'unique_views' => $this->uniqueViews,
            'logged_in' => $this->loggedIn,
            'anonymous' => $this->anonymous,
            'bots' => $this->bots,
        ];
    }

    /** @return array<string, mixed> */
    public function jsonSerialize(): array
    {
        return $this->toArray();
    }
}
