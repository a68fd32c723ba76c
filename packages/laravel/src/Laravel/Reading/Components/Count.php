<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading\Components;

use Illuminate\Contracts\View\View;
use Illuminate\View\Component;
use Postviews\Laravel\Reading\Reader;

/**
 * The number of a post's views, formatted for the application's locale. While the service is unavailable, a star tells the time of
 * the number; while the number is unknown, there is a dash with an explanation.
 *
 *     <x-postviews-count :post="$post" />                  1,234
 *     <x-postviews-count :post="$post" words />            1,234 views
 *     <x-postviews-count :post="$post" unique words />     987 unique views
 *
 * In a list, call `$posts->loadViews()` first: then all of them need only one request.
 */
final class Count extends Component
{
    public function __construct(
        private readonly Reader $reader,
        private readonly mixed $post,
        private readonly bool $unique = false,
        private readonly bool $words = false,
    ) {
    }

    public function render(): View
    {
        $statistics = $this->reader->statistics($this->post);
        $count = $this->unique ? $statistics?->uniqueViews : $statistics?->views;
        if ($count === null) {
            return view('postviews::components.unknown', ['explanation' => trans('postviews::postviews.unknown')]);
        }
        $text = self::inWords($count, $this->unique);
        $asOf = $statistics->isStale ? Spelling::asOf($statistics->asOf) : null;

        return view('postviews::components.count', [
            'count' => $count,
            'text' => $this->words ? $text : Spelling::number($count),
            'title' => $asOf === null ? $text : "$text, $asOf",
            'asOf' => $asOf,
        ]);
    }

    public static function inWords(int $count, bool $unique = false): string
    {
        $key = $unique ? 'unique_views' : 'views';

        return trans_choice("postviews::postviews.$key", $count, ['number' => Spelling::number($count)]);
    }
}
