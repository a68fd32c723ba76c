<?php

declare(strict_types=1);

namespace Postviews\Laravel\Testing;

use Illuminate\Support\Facades\Date;

/**
 * What `Postviews::fake` answers of who read a post. All views are of this hour. `who` makes no difference: nobody tells whose they
 * are, except that those of the dimensions `bot` and `purpose` are by bots.
 *
 * @see FakeCounts
 */
final class FakeBreakdowns
{
    /** The dimensions that only bots have. */
    private const OF_BOTS = ['bot', 'purpose'];

    /** @var array<array-key, array<string, array<array-key, int>>> views by post, dimension and value */
    private array $values = [];

    /** @param array<array-key, int> $values views by value */
    public function set(string $post, string $dimension, array $values): void
    {
        $this->values[$post][$dimension] = $values;
    }

    /**
     * The views of each value, most first; '' is the one of views that have none.
     *
     * @param array<array-key, int> $posts the views of each post
     * @return array<array-key, int>
     */
    public function of(array $posts, string $dimension): array
    {
        $sums = [];
        foreach ($posts as $post => $views) {
            $values = $this->values[$post][$dimension] ?? [];
            if (!in_array($dimension, self::OF_BOTS, true)) {
                $rest = $dimension === 'hour' ? self::hour() : '';
                $values[$rest] = ($values[$rest] ?? 0) + max(0, $views - array_sum($values));
            }
            foreach ($values as $value => $count) {
                $sums[$value] = ($sums[$value] ?? 0) + $count;
            }
        }
        $sums = array_filter($sums);
        arsort($sums);

        return $sums;
    }

    /**
     * @param array<array-key, int> $values
     * @return array<string, mixed>
     */
    public static function page(array $values, string $dimension, int $limit, int $offset): array
    {
        $page = array_slice($values, $offset, $limit, preserve_keys: true);
        $other = array_sum($values) - array_sum($page);

        return [
            'details_since' => null,
            'views' => array_sum($values),
            'total' => count($values),
            'values' => array_map(
                static fn (int|string $value, int $views): array =>
                    ['value' => $value === '' ? null : (string) $value] + self::counts($views, $dimension),
                array_keys($page),
                $page,
            ),
            'other' => ['values' => count($values) - count($page)] + self::counts($other, $dimension),
            'unknown' => ['views' => 0],
        ];
    }

    /**
     * @param array<array-key, int> $values
     * @param list<string> $dates
     * @return array<string, mixed>
     */
    public static function days(array $values, string $dimension, ?string $value, array $dates): array
    {
        $today = Date::now('UTC')->format('Y-m-d');

        return ['value' => $value, 'days' => array_map(
            static fn (string $date): array => ['date' => $date]
                + self::counts($date === $today ? $values[$value ?? ''] ?? 0 : 0, $dimension),
            $dates,
        )];
    }

    /**
     * @param array<array-key, int> $values of the dimension `hour`
     * @param list<string> $dates
     * @return array<string, mixed>
     */
    public static function hours(array $values, array $dates): array
    {
        $now = Date::now('UTC');
        $hours = [];
        foreach ($dates as $date) {
            $isToday = $date === $now->format('Y-m-d');
            for ($hour = 0; $hour < 24; $hour++) {
                $start = sprintf('%sT%02d:00:00Z', $date, $hour);
                $counts = Date::parse($start)->gt($now)
                    ? ['views' => null, 'bots' => null]
                    : self::counts($isToday ? $values[$hour] ?? 0 : 0, 'hour');
                $hours[] = ['start' => $start, 'hour' => $hour] + $counts;
            }
        }

        return ['hours' => $hours];
    }

    /** @return array<string, int> */
    private static function counts(int $views, string $dimension): array
    {
        return ['views' => $views, 'bots' => in_array($dimension, self::OF_BOTS, true) ? $views : 0];
    }

    private static function hour(): int
    {
        return (int) Date::now('UTC')->format('G');
    }
}
