<?php

declare(strict_types=1);

namespace Postviews\Laravel;

use Postviews\Publishing\PublishFailed;

/**
 * Tracks views. Have it injected, or use the facade of the same name:
 *
 *     $this->analyticsApi->trackView([
 *         'post_uuid'  => $post->uuid,      // or 'post_id' => $post->id
 *         'user_id'    => auth()->id(),     // null: an anonymous reader
 *         'ip'         => request()->ip(),
 *         'user_agent' => request()->userAgent(),
 *         'referer'    => request()->headers->get('referer'),
 *         'url'        => request()->fullUrl(), // only its campaign is sent
 *     ]);
 *
 * Views are sent after the response has reached its reader, when a job is done, and when a command ends; call `flush` to
 * send them earlier.
 */
interface AnalyticsApi
{
    /**
     * Remembers one view: a few microseconds, no network. Never throws. A view that breaks the contract is not sent; Laravel's
     * log gets the broken rule.
     *
     * @param array<string, mixed> $view
     */
    public function trackView(array $view): void;

    /**
     * Sends the remembered views. Never throws. Returns false if the broker does not have all of them; the rest is still
     * remembered.
     */
    public function flush(): bool;

    /**
     * Like `flush`, for callers who need the reason of a failure.
     *
     * @throws PublishFailed
     */
    public function flushOrFail(): void;
}
