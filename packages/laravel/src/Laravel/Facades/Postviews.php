<?php

declare(strict_types=1);

namespace Postviews\Laravel\Facades;

use Illuminate\Support\Facades\Facade;
use Postviews\Laravel\Postviews as PostviewsService;

/**
 * @method static void except(callable $callback)
 *
 * @see \Postviews\Laravel\Postviews
 */
final class Postviews extends Facade
{
    protected static function getFacadeAccessor(): string
    {
        return PostviewsService::class;
    }
}
