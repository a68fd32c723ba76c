<?php

declare(strict_types=1);

namespace Postviews\Publishing;

/** Decides which requests are not views. */
final class PageRequest
{
    /**
     * Headers in which browsers say why they request a page: Chromium and Safari, their older versions, Firefox, old Safari.
     */
    private const PURPOSE_HEADERS = ['Sec-Purpose', 'Purpose', 'X-Moz', 'X-Purpose'];

    /**
     * False for a request after which nobody sees the post: HEAD, or a page that a browser prefetches, prerenders or uses for a
     * preview.
     *
     * @param array<string, mixed> $server `$_SERVER`
     */
    public static function showsPost(array $server): bool
    {
        return self::isShown(
            (string) ($server['REQUEST_METHOD'] ?? 'GET'),
            static fn (string $header): string =>
                (string) ($server['HTTP_' . strtoupper(str_replace('-', '_', $header))] ?? ''),
        );
    }

    /** @param callable(string $name): string $header returns a header of the request; empty if it is missing */
    public static function isShown(string $method, callable $header): bool
    {
        if (strtoupper($method) === 'HEAD') {
            return false;
        }
        foreach (self::PURPOSE_HEADERS as $name) {
            if (preg_match('/(?:^|[\s,;])(?:prefetch|prerender|preview)(?:$|[\s,;])/i', $header($name)) === 1) {
                return false;
            }
        }

        return true;
    }
}
