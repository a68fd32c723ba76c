<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use Illuminate\Database\Eloquent\Model;

/**
 * `$posts->loadViews()` for Eloquent collections and for pages of a paginator: sets `views` and `unique_views` on all models,
 * with one call for up to 200. Null: unknown. They are not columns, so `save` does not write them.
 */
final class LoadsViews
{
    public function __construct(private readonly Reader $reader)
    {
    }

    /**
     * @param iterable<Model> $models
     * @param string $as the attribute, if a model already has a column `views`: `reads` sets `reads` and `unique_reads`
     * @param ?int $days also reads the last days of each post into the cache, for sparklines
     */
    public function onto(iterable $models, string $as = 'views', ?int $days = null): void
    {
        $statistics = $this->reader->many($models);
        if ($days !== null) {
            $this->reader->manyDaily($models, $days);
        }
        foreach ($models as $model) {
            $found = $statistics->of($model);
            self::set($model, $as, $found?->views, $found?->uniqueViews);
        }
    }

    public static function set(Model $model, string $as, ?int $views, ?int $uniqueViews): void
    {
        $model->forceFill([$as => $views, "unique_$as" => $uniqueViews])->syncOriginalAttributes([$as, "unique_$as"]);
    }
}
