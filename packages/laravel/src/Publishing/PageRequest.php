<?php

declare(strict_types=1);

namespace Postviews\Publishing;

/** Which requests are no view. */
final class PageRequest
{
    /**
     * In which browsers say why they ask for a page: Chromium and Safari, their older versions, Firefox, old Safari.
     */
    private const PURPOSE_HEADERS = ['HTTP_SEC_PURPOSE', 'HTTP_PURPOSE', 'HTTP_X_MOZ', 'HTTP_X_PURPOSE'];

    /**
     * False for a request that shows the post to nobody: HEAD, a page that a browser fetches or renders in advance,
     * or for a preview.
     *
     * @param array<string, mixed> $server `$_SERVER`, or `request()->server->all()`
     */
    public static function showsPost(array $server): bool
    {
        if (strtoupper((string) ($server['REQUEST_METHOD'] ?? 'GET')) === 'HEAD') {
            return false;
        }
        foreach (self::PURPOSE_HEADERS as $name) {
            $purpose = (string) ($server[$name] ?? '');
            if (preg_match('/(?:^|[\s,;])(?:prefetch|prerender|preview)(?:$|[\s,;])/i', $purpose) === 1) {
                return false;
            }
        }

        return true;
    }
}
