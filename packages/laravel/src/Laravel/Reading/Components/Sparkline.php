<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading\Components;

use Illuminate\Contracts\View\View;
use Illuminate\View\Component;
use Postviews\Laravel\Reading\DayStatistics;
use Postviews\Laravel\Reading\PostDays;
use Postviews\Laravel\Reading\Reader;

/**
 * A post's views of the last days as a small line, in the colour of the surrounding text. It is dashed while the service is
 * unavailable; while the views are unknown, there is a dash with an explanation.
 *
 *     <x-postviews-sparkline :post="$post" :days="30" width="120" height="24" />
 *
 * In a list, call `$posts->loadViews(days: 30)` first: then all of them need only two requests.
 */
final class Sparkline extends Component
{
    /** Half of the line's width, so that it is not cut off. */
    private const MARGIN = 1;

    public function __construct(
        private readonly Reader $reader,
        private readonly mixed $post,
        private readonly int $days = 30,
        private readonly int $width = 120,
        private readonly int $height = 24,
    ) {
    }

    public function render(): View
    {
        // Of all that count as views: their numbers are known.
        $days = $this->reader->daily($this->post, $this->days);
        if ($days === null || $days->count() === 0) {
            $explanation = trans('postviews::postviews.sparkline.unknown');

            return view('postviews::components.unknown', ['explanation' => $explanation]);
        }
        $title = trans_choice(
            'postviews::postviews.sparkline.title',
            $days->count(),
            ['days' => Spelling::number($days->count())],
        );

        $asOf = $days->isStale ? ' (' . Spelling::asOf($days->asOf) . ')' : '';
        $text = $this->text($title, $days) . $asOf;

        return view('postviews::components.sparkline', [
            'title' => $title . $asOf,
            'text' => $text,
            'points' => $this->points($days),
            'look' => $this->look($text, $days->isStale),
        ]);
    }

    /** @return array<string, int|string> attributes that apply unless the template sets them */
    private function look(string $text, bool $isStale): array
    {
        return [
            'role' => 'img',
            'aria-label' => $text,
            'width' => $this->width,
            'height' => $this->height,
            'viewBox' => "0 0 $this->width $this->height",
            'fill' => 'none',
            'stroke' => 'currentColor',
            'stroke-width' => '1.5',
            'stroke-linejoin' => 'round',
            'stroke-linecap' => 'round',
            'focusable' => 'false',
        ] + ($isStale ? ['stroke-dasharray' => '2 2', 'data-stale' => 'true'] : []);
    }

    private function text(string $title, PostDays $days): string
    {
        $most = $days->days->sortByDesc('views')->first();

        return trans('postviews::postviews.sparkline.' . ($days->views() === 0 ? 'none' : 'text'), [
            'title' => $title,
            'views' => Count::inWords((int) $days->views()),
            'date' => Spelling::day($most->date),
            'most' => Spelling::number((int) $most->views),
            'today' => Spelling::number((int) $days->days->last()->views),
        ]);
    }

    /** `x,y x,y …`, from left to right; a single day is a horizontal line. */
    private function points(PostDays $days): string
    {
        $views = $days->days->map(static fn (DayStatistics $day): int => (int) $day->views);
        $views = $views->count() === 1 ? $views->concat($views) : $views;
        $most = max(1, $views->max());
        $step = ($this->width - 2 * self::MARGIN) / ($views->count() - 1);
        $rise = ($this->height - 2 * self::MARGIN) / $most;

        return $views->map(fn (int $count, int $index): string =>
            round(self::MARGIN + $index * $step, 1) . ',' . round($this->height - self::MARGIN - $count * $rise, 1))
            ->implode(' ');
    }
}
