<?php

declare(strict_types=1);

namespace Postviews\Publishing;

/** Which requests are no view. */
final class PageRequest
{
    /**
     * In which browsers say why they ask for a page: Chromium and Safari, their older versions, Firefox, old Safari.
     */
    private const PURPOSE_HEADERS = ['Sec-Purpose', 'Purpose', 'X-Moz', 'X-Purpose'];

    /**
     * False for a request that shows the post to nobody: HEAD, a page that a browser fetches or renders in advance,
     * or for a preview.
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

    /** @param callable(string $name): string $header a header of the request; empty if it has none of that name */
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
