<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading\Components;

use Carbon\CarbonImmutable;
use NumberFormatter;

/** Numbers, days and times in the format of the application's locale. */
final class Spelling
{
    public static function number(int $number): string
    {
        // Without ext-intl: narrow spaces between groups of three digits, because no language uses them as a decimal sign.
        return class_exists(NumberFormatter::class)
            ? (string) (new NumberFormatter(app()->getLocale(), NumberFormatter::DECIMAL))->format($number)
            : number_format($number, 0, '', "\u{202f}");
    }

    /** @param string $date `YYYY-MM-DD` */
    public static function day(string $date): string
    {
        return CarbonImmutable::parse($date, 'UTC')->locale(app()->getLocale())->isoFormat('LL');
    }

    /** In the time zone of the application. */
    public static function asOf(CarbonImmutable $time): string
    {
        $local = $time->setTimezone(config('app.timezone') ?? 'UTC')->locale(app()->getLocale());

        return trans('postviews::postviews.as_of', ['time' => $local->isoFormat('LLL')]);
    }
}
