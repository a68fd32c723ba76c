<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use Illuminate\Database\Eloquent\Model;

/**
 * `$posts->loadViews()` of every Eloquent collection, and of a page of a paginator: sets `views` and `unique_views` of all its
 * models from one call of up to 200. Null: not known. They are no columns: `save` does not write them.
 */
final class LoadsViews
{
    public function __construct(private readonly Reader $reader)
    {
    }

    /**
     * @param iterable<Model> $models
     * @param string $as the attribute, where a model has a column `views` already: `reads` makes `reads` and `unique_reads`
     * @param ?int $days also reads the last days of each, for sparklines: they find them in the cache
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
