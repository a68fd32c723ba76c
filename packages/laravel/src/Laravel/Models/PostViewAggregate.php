<?php

declare(strict_types=1);

namespace Postviews\Laravel\Models;

use Carbon\CarbonImmutable;
use Illuminate\Database\Eloquent\Builder;
use Illuminate\Database\Eloquent\Model;
use Postviews\Laravel\Models\Casts\UtcTime;
use Postviews\Laravel\Reading\CanonicalPost;

/**
 * The counts of one post on one day, which the service keeps for ever. Read-only.
 *
 *     PostViewAggregate::forPost($post)->whereBetween('date', ['2026-11-01', '2026-11-30'])->sum('view_count');
 *
 * @property-read ?int $id not on SQLite
 * @property-read string $post_uuid
 * @property-read CarbonImmutable $date in STATS_TIMEZONE
 * @property-read int $view_count
 * @property-read int $baseline what `view_count` was when postviews took the table over
 * @property-read ?int $unique_views null, here and below: unknown in adopted data
 * @property-read ?int $logged_in
 * @property-read ?int $bots
 * @property-read ?CarbonImmutable $first_viewed_at
 * @property-read ?CarbonImmutable $last_viewed_at
 *
 * @method static Builder<static> forPost(mixed $post)
 */
class PostViewAggregate extends Model
{
    use ReadsPostviewsTable;

    private const TABLE = 'post_view_aggregates';

    public $timestamps = false;

    /** @return array<string, string> */
    protected function casts(): array
    {
        return [
            'date' => 'immutable_date:Y-m-d',
            'view_count' => 'integer',
            'baseline' => 'integer',
            'unique_views' => 'integer',
            'logged_in' => 'integer',
            'bots' => 'integer',
            'first_viewed_at' => UtcTime::class,
            'last_viewed_at' => UtcTime::class,
        ];
    }

    /** @param mixed $post a model, its id or its UUID */
    public function scopeForPost(Builder $query, mixed $post): void
    {
        // As text: for a number, MySQL would read every row, and '42abc' would equal 42.
        $query->where($query->qualifyColumn('post_uuid'), CanonicalPost::of($post));
    }
}
