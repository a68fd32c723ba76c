<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use Illuminate\Contracts\Support\Arrayable;
use JsonSerializable;

/**
 * A post in the list of the most viewed posts.
 *
 * @implements Arrayable<string, mixed>
 */
final readonly class TopPost implements Arrayable, JsonSerializable
{
    private function __construct(
        public string $post,
        /** Null: `who` was given, and adopted data do not tell people from bots. */
        public ?int $views,
        /** Null: unknown in adopted data. */
        public ?int $uniqueViews,
    ) {
    }

    /**
     * @param bool $isChosen whether `who` was given: then the views may be unknown
     * @throws ApiFailed
     */
    public static function from(Answer $answer, bool $isChosen): self
    {
        $views = $isChosen ? $answer->knownCount('views') : $answer->count('views');

        return new self($answer->text('post_uuid'), $views, $answer->knownCount('unique_views'));
    }

    /** @return array<string, mixed> with the field names of the internal API */
    public function toArray(): array
    {
        return ['post_uuid' => $this->post, 'views' => $this->views, 'unique_views' => $this->uniqueViews];
    }

    /** @return array<string, mixed> */
    public function jsonSerialize(): array
    {
        return $this->toArray();
    }
}
