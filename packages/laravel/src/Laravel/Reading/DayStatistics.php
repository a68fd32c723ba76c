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
        /** Null: `who` was given, and adopted data do not tell people from bots. */
        public ?int $views,
        /** Null, here and below: unknown in adopted data. */
        public ?int $uniqueViews,
        public ?int $loggedIn,
        public ?int $anonymous,
        public ?int $bots,
    ) {
    }

    /**
     * @param bool $isChosen whether `who` was given: then the views may be unknown
     * @throws ApiFailed
     */
    public static function from(Answer $answer, bool $isChosen): self
    {
        return new self(
            date: $answer->text('date'),
            views: $isChosen ? $answer->knownCount('views') : $answer->count('views'),
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
