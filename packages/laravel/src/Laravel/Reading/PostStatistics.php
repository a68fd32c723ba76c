<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use Carbon\CarbonImmutable;
use Illuminate\Contracts\Support\Arrayable;
use JsonSerializable;

/**
 * The counts of one post, over all time. `loggedIn` and `anonymous` add up to `views`; all of them include bots, unless the
 * service runs with `BOTS=exclude`, or `who` chooses other views.
 *
 * @implements Arrayable<string, mixed>
 */
final readonly class PostStatistics implements Arrayable, JsonSerializable
{
    private function __construct(
        /** The id under which it is counted: a UUID is in lower case. */
        public string $post,
        /** Null: `who` was given, and adopted data do not tell people from bots. */
        public ?int $views,
        /** Each reader counts once per day (or shorter UNIQUE_WINDOW). Null, here and below: unknown in adopted data. */
        public ?int $uniqueViews,
        public ?int $loggedIn,
        public ?int $anonymous,
        public ?int $bots,
        /** In UTC, like all times here. Null without views, and if `who` chooses other views than those that count. */
        public ?CarbonImmutable $firstViewedAt,
        public ?CarbonImmutable $lastViewedAt,
        /** `YYYY-MM-DD`: all numbers except `views` are sums from this day on. Null: sums over all days. */
        public ?string $detailsSince,
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
        return new self(
            post: $answer->text('post_uuid'),
            views: $isChosen ? $answer->knownCount('views') : $answer->count('views'),
            uniqueViews: $answer->knownCount('unique_views'),
            loggedIn: $answer->knownCount('logged_in'),
            anonymous: $answer->knownCount('anonymous'),
            bots: $answer->knownCount('bots'),
            firstViewedAt: $answer->knownTime('first_viewed_at'),
            lastViewedAt: $answer->knownTime('last_viewed_at'),
            detailsSince: $answer->has('details_since') ? $answer->text('details_since') : null,
            asOf: $answer->time('as_of'),
            isStale: $answer->isStale,
        );
    }

    /** @return array<string, mixed> with the field names of the internal API */
    public function toArray(): array
    {
        return [
            'post_uuid' => $this->post,
            'views' => $this->views,
            'unique_views' => $this->uniqueViews,
            'logged_in' => $this->loggedIn,
            'anonymous' => $this->anonymous,
            'bots' => $this->bots,
            'first_viewed_at' => $this->firstViewedAt?->toIso8601ZuluString(),
            'last_viewed_at' => $this->lastViewedAt?->toIso8601ZuluString(),
            'details_since' => $this->detailsSince,
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
