<?php

declare(strict_types=1);

namespace Postviews\Tests\Reading;

use DOMDocument;
use Illuminate\Support\Arr;
use Illuminate\Support\Facades\Blade;
use Illuminate\Support\Facades\Http;
use Postviews\Tests\Post;

final class ComponentsTest extends ReadingTestCase
{
    private function render(string $blade): string
    {
        $html = Blade::render($blade, ['post' => Post::known(42)]);
        // It must be well-formed, whatever it contains.
        $document = new DOMDocument();
        self::assertTrue($document->loadXML("<p>$html</p>"), $html);

        return trim($html);
    }

    public function test_a_count_is_a_number_as_the_locale_writes_it(): void
    {
        $this->fakeViews([42 => 1234567]);
        self::assertSame(
            '<data value="1234567" title="1,234,567 views" class="postviews-count">1,234,567</data>',
            // No space follows the tag, because the next character may be a comma.
            Blade::render('<x-postviews-count :post="42" />'),
        );
        app()->setLocale('de');
        self::assertStringContainsString('>1.234.567<', $this->render('<x-postviews-count :post="$post" />'));
        app()->setLocale('fr');
        self::assertStringContainsString(">1\u{202f}234\u{202f}567<", $this->render('<x-postviews-count :post="$post" />'));
    }

    public function test_a_count_in_words_and_of_unique_views(): void
    {
        $this->fakeViews([42 => 3]);
        self::assertStringContainsString('>3 views<', $this->render('<x-postviews-count :post="$post" words />'));
        self::assertStringContainsString('>1 unique view<', $this->render('<x-postviews-count :post="$post" unique words />'));
        self::assertStringContainsString('class="postviews-count small"', $this->render('<x-postviews-count :post="$post" class="small" />'));
    }

    public function test_a_count_that_is_not_known_is_a_dash_with_an_explanation(): void
    {
        $this->fakeAway();
        foreach (['<x-postviews-count :post="$post" />', '<x-postviews-sparkline :post="$post" />'] as $component) {
            $html = $this->render($component);
            self::assertMatchesRegularExpression('/role="img" aria-label="The [\w ]* not available at the moment"/', $html);
            self::assertStringContainsString('>–<', $html);
            self::assertDoesNotMatchRegularExpression('/\d/', $html);
        }
    }

    public function test_a_stale_count_says_of_when_it_is_in_the_time_zone_of_the_application(): void
    {
        config(['app.timezone' => 'Europe/Warsaw']);
        $this->fakeViews([42 => 5]);
        $this->render('<x-postviews-count :post="$post" />');
        $this->travel(5)->minutes();
        $this->fakeAway();
        $html = $this->render('<x-postviews-count :post="$post" />');
        self::assertStringContainsString('title="5 views, as of November 21, 2026 1:00 PM"', $html);
        self::assertStringContainsString(' data-stale="true"', $html);
        // Readable without a pointer, and by screen readers.
        self::assertMatchesRegularExpression('/>5<span role="img" aria-label="as of November 21, 2026 1:00 PM"[^>]*>\*<\/span><\/data>$/', $html);
    }

    public function test_a_stale_sparkline_is_dashed_and_says_of_when_it_is(): void
    {
        $this->fakeViews([]);
        $fresh = $this->render('<x-postviews-sparkline :post="$post" :days="4" />');
        self::assertStringNotContainsString('stroke-dasharray', $fresh);
        self::assertStringNotContainsString('as of', $fresh);
        $this->travel(5)->minutes();
        $this->fakeAway();
        $html = $this->render('<x-postviews-sparkline :post="$post" :days="4" />');
        self::assertStringContainsString(' stroke-dasharray="2 2"', $html);
        self::assertSame(3, substr_count($html, '(as of November 21, 2026 12:00 PM)'), $html);
    }

    public function test_an_attribute_of_the_template_takes_the_place_of_the_components_own(): void
    {
        $mine = 'title="Mine" aria-label="Mine &amp; yours" role="note" stroke="red" data-stale="no" value="x" class="mine"';
        $this->fakeViews([42 => 5]);
        $components = ["<x-postviews-count :post=\"\$post\" $mine />", "<x-postviews-sparkline :post=\"\$post\" $mine />"];
        foreach (['known', 'stale', 'away'] as $state) {
            foreach ($components as $component) {
                // A repeated attribute is not well-formed XML.
                $html = $this->render($component);
                self::assertStringContainsString('title="Mine"', $html);
                self::assertStringContainsString('aria-label="Mine &amp; yours"', $html);
                self::assertMatchesRegularExpression('/class="postviews-\w+ mine"/', $html);
            }
            $this->travel($state === 'known' ? 300 : 90_000)->seconds();
            $this->fakeAway();
        }
        self::assertStringContainsString('>–<', $html);
    }

    public function test_german_has_its_own_words_and_what_is_not_translated_is_in_the_fallback_locale(): void
    {
        $this->fakeViews([42 => 1234]);
        app()->setLocale('de');
        self::assertStringContainsString('>1.234 Aufrufe<', $this->render('<x-postviews-count :post="$post" words />'));
        self::assertStringContainsString('<title>Aufrufe der letzten 4 Tage</title>', $this->render('<x-postviews-sparkline :post="$post" :days="4" />'));
        app()->setLocale('fr');
        self::assertStringContainsString(' views<', $this->render('<x-postviews-count :post="$post" words />'));
        self::assertSame(
            array_keys(Arr::dot(require __DIR__ . '/../../lang/en/postviews.php')),
            array_keys(Arr::dot(require __DIR__ . '/../../lang/de/postviews.php')),
        );
    }

    public function test_a_sparkline_has_a_title_and_a_text_that_says_what_it_shows(): void
    {
        $this->fakeViews([]);
        $html = $this->render('<x-postviews-sparkline :post="$post" :days="4" width="62" height="12" />');
        self::assertStringContainsString('<title>Views of the last 4 days</title>', $html);
        $text = 'Views of the last 4 days: 10 views. Most on November 21, 2026: 4. So far today: 4.';
        self::assertStringContainsString("role=\"img\" aria-label=\"$text\"", $html);
        self::assertStringContainsString("<desc>$text</desc>", $html);
        self::assertStringContainsString('stroke="currentColor"', $html);
        // From 1 to 4 views, from left to right, within the picture.
        self::assertStringContainsString('points="1,8.5 21,6 41,3.5 61,1"', $html);
    }

    public function test_a_sparkline_of_one_day_and_one_without_views(): void
    {
        $this->fake(fn () => Http::response(['posts' => [$this->days(42, [0])]] + $this->days(42, [0])));
        $html = $this->render('<x-postviews-sparkline :post="$post" :days="1" />');
        self::assertStringContainsString('points="1,23 119,23"', $html);
        self::assertStringContainsString('aria-label="Views of the last day: 0 views."', $html);
    }
}
