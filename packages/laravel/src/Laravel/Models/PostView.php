<?php

declare(strict_types=1);

namespace Postviews\Laravel\Models;

use Carbon\CarbonImmutable;
use Illuminate\Database\Eloquent\Builder;
use Illuminate\Database\Eloquent\Model;
use Postviews\Laravel\Models\Casts\BinaryUuid;
use Postviews\Laravel\Models\Casts\Hex;
use Postviews\Laravel\Models\Casts\UnsignedId;
use Postviews\Laravel\Models\Casts\UtcTime;
use Postviews\Laravel\Reading\CanonicalPost;

/**
 * One view, as the service keeps it for `RAW_RETENTION_DAYS`. Read-only.
 *
 *     PostView::forPost($post)->latest('viewed_at')->limit(50)->get();
 *
 * @property-read int $id
 * @property-read string $post_uuid
 * @property-read int|string|null $user_id a string of digits above PHP_INT_MAX
 * @property-read ?string $ip
 * @property-read ?string $user_agent
 * @property-read ?string $referer
 * @property-read CarbonImmutable $viewed_at
 * @property-read ?string $event_id a UUID
 * @property-read ?CarbonImmutable $received_at
 * @property-read ?CarbonImmutable $day in STATS_TIMEZONE
 * @property-read ?int $slice the UNIQUE_WINDOW within the day
 * @property-read ?bool $logged_in
 * @property-read ?bool $bot
 * @property-read ?string $visitor a hash of the reader with the key of the day, in hexadecimal digits; not part of JSON
 * @property-read ?string $referer_host
 *
 * @method static Builder<static> forPost(mixed $post)
 * @method static Builder<static> withEventId(string $uuid)
 */
class PostView extends Model
{
    use ReadsPostviewsTable;

    private const TABLE = 'post_views';

    public $timestamps = false;

    protected $hidden = ['visitor'];

    /** @return array<string, string> */
    protected function casts(): array
    {
        return [
            'user_id' => UnsignedId::class,
            'viewed_at' => UtcTime::class,
            'received_at' => UtcTime::class,
            'event_id' => BinaryUuid::class,
            'day' => 'immutable_date:Y-m-d',
            'slice' => 'integer',
            'logged_in' => 'boolean',
            'bot' => 'boolean',
            'visitor' => Hex::class,
        ];
    }

    /** @param mixed $post a model, its id or its UUID */
    public function scopeForPost(Builder $query, mixed $post): void
    {
        // As text: for a number, MySQL would read every row, and '42abc' would equal 42.
        $query->where($query->qualifyColumn('post_uuid'), CanonicalPost::of($post));
    }

    /** The column holds the UUID's bytes, so its text does not find it. */
    public function scopeWithEventId(Builder $query, string $uuid): void
    {
        $bytes = $query->getConnection()->getDriverName() === 'sqlite' ? 'CAST(? AS BLOB)' : 'CAST(? AS BINARY(16))';
        $column = $query->getGrammar()->wrap($query->qualifyColumn('event_id'));
        $query->whereRaw("$column = $bytes", [(string) hex2bin(str_replace('-', '', $uuid))]);
    }
}
