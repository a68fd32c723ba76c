<?php

declare(strict_types=1);

namespace Postviews\Laravel\Tracking;

use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Bus\Dispatcher;
use Illuminate\Contracts\Queue\ShouldBeEncrypted;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Queue\InteractsWithQueue;
use Postviews\Laravel\AnalyticsManager;
use Postviews\Publishing\EncodedView;
use Postviews\Publishing\PublishFailed;

/**
 * Views that the broker did not take when their page was done. `queue:work` tries this job until the broker has them,
 * however long that takes: each view has had its id and its time since it was tracked, so it is counted once, on its
 * own day.
 *
 * Encrypted, because what waits in the table of jobs holds readers' addresses.
 */
final class FlushViews implements ShouldQueue, ShouldBeEncrypted
{
    use InteractsWithQueue;
    use Queueable;

    /** Without end: neither `--tries` of a worker nor its default of 1 counts. */
    public int $tries = 0;

    private const PAUSES_SECONDS = [5, 10, 20, 30];

    /** @param non-empty-list<array{id: string, json: string}> $views */
    public function __construct(
        private readonly string $driver,
        private readonly array $views,
    ) {
    }

    public function handle(AnalyticsManager $analytics): void
    {
        $views = array_map(EncodedView::fromArray(...), $this->views);
        try {
            $analytics->driver($this->driver)->publishNow($views);
        } catch (PublishFailed) {
            $this->release(self::PAUSES_SECONDS[min($this->attempts(), count(self::PAUSES_SECONDS)) - 1]);
        }
    }

    /**
     * Laravel gives a job up that it could not lock, or that ran out of time: another one has its views then. If both
     * should run (`queue:retry`), each view is still counted once.
     */
    public function failed(): void
    {
        $again = new self($this->driver, $this->views);
        $again->onConnection($this->connection)->onQueue($this->queue)->delay(self::PAUSES_SECONDS[0]);
        app(Dispatcher::class)->dispatch($again);
    }
}
