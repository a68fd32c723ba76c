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
 *     ]);
 *
 * Views are sent when the response is with its reader, when a job is done, and when a command ends; call `flush` to
 * send them earlier.
 */
interface AnalyticsApi
{
    /**
     * Remembers one view: a few microseconds, no network. Never throws; a view that breaks the contract is told in
     * Laravel's log with the rule, and is not sent.
     *
     * @param array<string, mixed> $view
     */
    public function trackView(array $view): void;

    /**
     * Sends what is remembered. Never throws. False: the broker does not have all of it, and the rest is still
     * remembered.
     */
    public function flush(): bool;

    /**
     * Like `flush`, for those who want to know why.
     *
     * @throws PublishFailed
     */
    public function flushOrFail(): void;
}
