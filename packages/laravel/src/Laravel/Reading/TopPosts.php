<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use Carbon\CarbonImmutable;
use Countable;
use Illuminate\Contracts\Support\Arrayable;
use Illuminate\Database\Eloquent\Builder;
use Illuminate\Database\Eloquent\Collection as Models;
use Illuminate\Database\Eloquent\Model;
use Illuminate\Support\Collection;
use IteratorAggregate;
use JsonSerializable;
use Traversable;

/**
 * One page of the most viewed posts, most views first.
 *
 * @implements Arrayable<string, mixed>
 * @implements IteratorAggregate<int, TopPost>
 */
final readonly class TopPosts implements Arrayable, Countable, IteratorAggregate, JsonSerializable
{
    /** @param Collection<int, TopPost> $posts */
    private function __construct(
        /** `all`, `today`, `7d`, `30d`, or `FROM/TO`. */
        public string $period,
        /** The number of posts on all pages. */
        public int $total,
        public Collection $posts,
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
        $post = static fn (Answer $post): TopPost => TopPost::from($post, $isChosen);

        return new self(
            period: $answer->text('period'),
            total: $answer->count('total'),
            posts: new Collection(array_map($post, $answer->list('posts'))),
            asOf: $answer->time('as_of'),
            isStale: $answer->isStale,
        );
    }

    /**
     * The models of these posts, most viewed first, with `views` and `unique_views` of this period. Posts that the query does not
     * find (deleted, not published) are left out.
     *
     *     Postviews::top(limit: 10, period: '7d')?->models(Post::published(), by: 'uuid')
     *
     * @template TModel of Model
     * @param Builder<TModel> $query
     * @param ?string $by the column with the id under which they are counted; default: the primary key
     * @return Models<int, TModel>
     */
    public function models(Builder $query, ?string $by = null): Models
    {
        $by ??= $query->getModel()->getKeyName();
        $found = $query->whereIn($query->qualifyColumn($by), $this->posts->pluck('post')->all())->get()
            ->keyBy(static fn (Model $model): string => CanonicalPost::spelling((string) $model->getAttribute($by)) ?? '');
        $models = $query->getModel()->newCollection();
        foreach ($this->posts as $post) {
            $model = $found->get($post->post);
            if ($model !== null) {
                LoadsViews::set($model, 'views', $post->views, $post->uniqueViews);
                $models->push($model);
            }
        }

        return $models;
    }

    public function count(): int
    {
        return $this->posts->count();
    }

    public function getIterator(): Traversable
    {
        return $this->posts->getIterator();
    }

    /** @return array<string, mixed> with the field names of the internal API */
    public function toArray(): array
    {
        return [
            'period' => $this->period,
            'total' => $this->total,
            'posts' => $this->posts->map->toArray()->all(),
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
