<?php

declare(strict_types=1);

namespace Postviews\Laravel\Tracking;

use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Bus\Dispatcher;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Queue\InteractsWithQueue;
use Illuminate\Queue\Jobs\SyncJob;
use Illuminate\Support\Facades\Crypt;
use Postviews\Laravel\AnalyticsManager;
use Postviews\Publishing\EncodedView;
use Postviews\Publishing\PublishFailed;

/**
 * Views that the broker did not take when their page was done. `queue:work` tries this job until the broker has them,
 * however long that takes: each view has had its id and its time since it was tracked, so it is counted once, on its
 * own day.
 *
 * The views are encrypted, because they hold readers' addresses: here and not by `ShouldBeEncrypted`, as Telescope keeps
 * what a job has before Laravel encrypts it.
 */
final class FlushViews implements ShouldQueue
{
    use InteractsWithQueue;
    use Queueable;

    /** Without end: neither `--tries` of a worker nor its default of 1 counts. */
    public int $tries = 0;
    /** Of mistakes, which waiting does not mend: another APP_KEY, a driver that is gone. A broker that is away is none. */
    public int $maxExceptions = 10;
    /** @var list<int> seconds, after a mistake */
    public array $backoff = [5, 15, 30, 60];

    private const PAUSES_SECONDS = [5, 10, 20, 30];
    /** The table of jobs counts to 255. */
    private const MAX_ATTEMPTS = 100;
    /** So often its views get a job anew after Laravel has given one up. */
    private const MAX_GIVEN_UP = 5;

    private function __construct(
        private readonly string $driver,
        private readonly string $encryptedViews,
        private readonly int $givenUp = 0,
    ) {
    }

    /** @param non-empty-list<EncodedView> $views */
    public static function of(string $driver, array $views): self
    {
        $plain = array_map(static fn (EncodedView $view): array => $view->toArray(), $views);

        return new self($driver, Crypt::encryptString(json_encode($plain, JSON_THROW_ON_ERROR)));
    }

    public function handle(AnalyticsManager $analytics): void
    {
        $plain = json_decode(Crypt::decryptString($this->encryptedViews), true, flags: JSON_THROW_ON_ERROR);
        $tracker = $analytics->driver($this->driver);
        try {
            $tracker->publishNow(array_map(EncodedView::fromArray(...), $plain));
        } catch (PublishFailed $error) {
            if ($this->job instanceof SyncJob) {
                PageViews::tell('view.dropped', count($error->views) . ' view(s): their queue keeps no jobs');

                return;
            }
            $pause = self::PAUSES_SECONDS[min($this->attempts(), count(self::PAUSES_SECONDS)) - 1];
            if ($this->attempts() < self::MAX_ATTEMPTS) {
                $this->release($pause);
            } else {
                $this->dispatchAnew($this->givenUp, $pause);
            }
        }
    }

    /**
     * Laravel gives a job up that it could not lock, or that ran out of time: another one has its views then. If both
     * should run (`queue:retry`), each view is still counted once. What fails again and again stays in `failed_jobs`.
     */
    public function failed(): void
    {
        if ($this->givenUp < self::MAX_GIVEN_UP) {
            $this->dispatchAnew($this->givenUp + 1, self::PAUSES_SECONDS[0]);
        }
    }

    private function dispatchAnew(int $givenUp, int $pauseSeconds): void
    {
        $again = new self($this->driver, $this->encryptedViews, $givenUp);
        $again->onConnection($this->connection)->onQueue($this->queue)->delay($pauseSeconds)->beforeCommit();
        app(Dispatcher::class)->dispatch($again);
    }
}
