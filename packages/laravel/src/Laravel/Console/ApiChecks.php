<?php

declare(strict_types=1);

namespace Postviews\Laravel\Console;

use Closure;
use Postviews\Laravel\Reading\ApiFailed;
use Postviews\Laravel\Reading\InternalApi;
use Postviews\Publishing\EncodedView;
use Postviews\Publishing\PublishFailed;
use Postviews\Publishing\View;

/** Checks the internal API, the clocks, and a view on its whole way. */
final class ApiChecks
{
    /** Beyond this difference, the service uses its own time instead of the view's. */
    private const CLOCK_SECONDS = 300;
    private const NOTABLE_CLOCK_SECONDS = 10;
    private const POLL_MICROSECONDS = 200_000;

    public function __construct(private readonly InternalApi $api)
    {
    }

    /** @return list<Finding> */
    public function api(): array
    {
        if (in_array(config('postviews.api.url'), [null, ''], true) && in_array(config('postviews.api.key'), [null, ''], true)) {
            return [Finding::warning(
                'api',
                'not set: views are tracked, but no count can be shown',
                'Set POSTVIEWS_API_URL (where the service listens) and POSTVIEWS_API_KEY (one of its INTERNAL_API_KEY).',
            )];
        }
        $problem = $this->api->problem();
        if ($problem !== null) {
            return [Finding::failed('api', $problem, 'Set it in .env (then config:cache, if you cache it).')];
        }
        try {
            $status = $this->api->get('status');
            $found = [Finding::ok('api', "{$this->api->origin()} answers, and accepts the key")];
            $queued = $status->knownCount('queued');
            $dead = $status->knownCount('dead');
            $lag = $status->knownCount('lag_seconds');
        } catch (ApiFailed $error) {
            return [Finding::failed('api', $error->getMessage(), match (true) {
                $error->isRefused => 'Set POSTVIEWS_API_KEY to one of the keys that the service has in INTERNAL_API_KEY.',
                $error->isTls => 'The service itself speaks only http://. https:// needs a proxy in front of it, and this machine must '
                    . 'trust the certificate of that proxy.',
                default => 'Is the service running, and does POSTVIEWS_API_URL name the address it listens on (HOST, PORT)?',
            })];
        }
        $detail = sprintf(
            '%s messages waiting, %s dead letters, %s behind',
            $queued ?? 'an unknown number of',
            $dead ?? 'an unknown number of',
            $lag === null ? 'an unknown time' : "$lag s",
        );
        $found[] = match (true) {
            $dead !== null && $dead > 0
                => Finding::warning('service', $detail, 'See what could not be counted, and why: postviews dead list'),
            $dead === null || $queued === null => Finding::skipped('service', 'needs its broker: the number of waiting messages is unknown'),
            default => Finding::ok('service', $detail),
        };

        return $found;
    }

    public function clock(): Finding
    {
        try {
            $before = microtime(true);
            $date = $this->api->send('status')->header('Date');
            $local = ($before + microtime(true)) / 2;
        } catch (ApiFailed) {
            return Finding::skipped('clock', 'needs the API');
        }
        $theirs = strtotime($date);
        if ($date === '' || $theirs === false) {
            return Finding::skipped('clock', 'the API does not tell its time');
        }
        // The header has only whole seconds.
        $ahead = (int) round($local - $theirs - 0.5);
        $detail = $ahead === 0 ? 'this machine and the service agree' : sprintf(
            'this machine is %d s %s the service',
            abs($ahead),
            $ahead > 0 ? 'ahead of' : 'behind',
        );

        return match (true) {
            abs($ahead) > self::CLOCK_SECONDS => Finding::failed(
                'clock',
                $detail,
                'Let NTP set both clocks: the time of a view decides which day it counts on.',
            ),
            abs($ahead) > self::NOTABLE_CLOCK_SECONDS => Finding::warning('clock', $detail, 'Let NTP set both clocks.'),
            default => Finding::ok('clock', $detail),
        };
    }

    /**
     * Publishes a view of the post `$post`, as a page would, and waits until the API has counted it.
     *
     * @param list<Finding> $needed
     * @param Closure(EncodedView): void $publish publishes as pages do; throws PublishFailed
     */
    public function testView(string $post, int $waitSeconds, array $needed, Closure $publish): Finding
    {
        foreach ($needed as $finding) {
            if ($finding->status === 'failed') {
                return Finding::skipped('test view', "needs the $finding->name");
            }
        }
        try {
            $countBefore = $this->viewsOf($post);
        } catch (ApiFailed) {
            $countBefore = null;
        }
        try {
            $publish(self::viewOf($post));
        } catch (PublishFailed $error) {
            return Finding::failed('test view', "not published: {$error->getMessage()}", 'See relay, broker, exchange and queue above.');
        }
        if ($countBefore === null) {
            return Finding::skipped('test view', "a view of the post $post is published; the API cannot say whether it was counted");
        }

        return $this->untilCounted($post, $countBefore, $waitSeconds);
    }

    private function untilCounted(string $post, int $countBefore, int $waitSeconds): Finding
    {
        $since = microtime(true);
        do {
            try {
                $count = $this->viewsOf($post);
            } catch (ApiFailed) {
                $count = $countBefore;
            }
            $seconds = microtime(true) - $since;
            if ($count > $countBefore) {
                return Finding::ok('test view', sprintf('counted after %.1f s: a view of the post %s', $seconds, $post));
            }
            usleep(self::POLL_MICROSECONDS);
        } while ($seconds < $waitSeconds);

        return Finding::failed(
            'test view',
            "published, but not counted within $waitSeconds s",
            'Does the service consume from this broker and virtual host, and does the API read the same database? See its log (that '
                . 'of the relay too, if there is one), and the number of waiting messages above. A service that is behind needs longer: --wait=60',
        );
    }

    /** @throws ApiFailed */
    private function viewsOf(string $post): int
    {
        return $this->api->get("posts/$post/views")->count('views');
    }

    /** Without user, address and user agent, so that no reader's numbers change. */
    private static function viewOf(string $post): EncodedView
    {
        return View::encode(['post_uuid' => $post]);
    }
}
