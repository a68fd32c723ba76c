<?php

declare(strict_types=1);

namespace Postviews\Laravel\Testing;

use Closure;
use PHPUnit\Framework\Assert;
use Postviews\Laravel\AnalyticsApi;
use Postviews\Laravel\PostId;
use Postviews\Publishing\InvalidView;
use Postviews\Publishing\View;

/**
 * Replaces AnalyticsApi in a test, and sends nothing.
 *
 *     AnalyticsApi::fake();
 *     $this->get('/posts/1');
 *     AnalyticsApi::assertTracked($post);
 *     AnalyticsApi::assertTracked(fn (array $view) => $view['post_uuid'] === $post->uuid && !$view['logged_in']);
 *
 * A tracked view is what would be sent: the input of `trackView`, validated by the contract. A view that breaks the contract is
 * not tracked, and failing assertions say why.
 */
final class AnalyticsFake implements AnalyticsApi
{
    /** @var list<array<string, mixed>> */
    private array $tracked = [];
    /** @var list<string> the rules that the refused views broke */
    private array $refused = [];

    public function trackView(array $view): void
    {
        try {
            $encoded = View::encode($view);
            $this->tracked[] = json_decode($encoded->json, true, flags: JSON_THROW_ON_ERROR);
        } catch (InvalidView $error) {
            $this->refused[] = $error->getMessage();
        }
    }

    public function flush(): bool
    {
        return true;
    }

    public function flushOrFail(): void
    {
    }

    /**
     * The views so far, oldest first, as they would be sent: every id is a string.
     *
     * @return list<array<string, mixed>>
     */
    public function tracked(): array
    {
        return $this->tracked;
    }

    /** @param mixed $postOrCallback a post, its id, or `fn (array $view): bool` */
    public function assertTracked(mixed $postOrCallback): void
    {
        $count = $this->count($postOrCallback);
        Assert::assertNotSame(0, $count, 'The expected view was not tracked.' . $this->whatElse());
    }

    /** @param mixed $postOrCallback a post, its id, or `fn (array $view): bool` */
    public function assertNotTracked(mixed $postOrCallback): void
    {
        Assert::assertSame(0, $this->count($postOrCallback), 'An unexpected view was tracked.');
    }

    /** @param mixed $postOrCallback a post, its id, or `fn (array $view): bool` */
    public function assertTrackedTimes(mixed $postOrCallback, int $times): void
    {
        $count = $this->count($postOrCallback);
        Assert::assertSame($times, $count, "The view was tracked $count times instead of $times." . $this->whatElse());
    }

    public function assertNothingTracked(): void
    {
        $count = count($this->tracked);
        Assert::assertSame(0, $count, "$count views were tracked unexpectedly.");
    }

    private function count(mixed $postOrCallback): int
    {
        $matches = $postOrCallback instanceof Closure
            ? $postOrCallback
            : self::isOf((string) PostId::of($postOrCallback));

        return count(array_filter($this->tracked, $matches));
    }

    /** @return Closure(array<string, mixed>): bool */
    private static function isOf(string $post): Closure
    {
        return static fn (array $view): bool => $view['post_uuid'] === $post;
    }

    private function whatElse(): string
    {
        $posts = implode(', ', array_column($this->tracked, 'post_uuid'));
        $refused = array_map(static fn (string $rule): string => " A view was refused: $rule.", $this->refused);

        return ($posts === '' ? ' No view was tracked.' : " Tracked: $posts.") . implode('', $refused);
    }
}
