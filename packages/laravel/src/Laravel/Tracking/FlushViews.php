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
 * Views that the broker did not take at the end of their page. `queue:work` retries this job until the broker has them, however
 * long that takes. Each view got its id and its time when it was tracked, so it is counted once, on its own day.
 *
 * The views are encrypted, because they hold readers' addresses. Not by `ShouldBeEncrypted`: Telescope records a job before Laravel
 * encrypts it.
 */
final class FlushViews implements ShouldQueue
{
    use InteractsWithQueue;
    use Queueable;

    /** No limit: neither a worker's `--tries` nor its default of 1 applies. */
    public int $tries = 0;
    /** Limits errors that waiting does not fix: a changed APP_KEY, a missing driver. A broker that is away does not count. */
    public int $maxExceptions = 10;
    /** @var list<int> seconds, after an error */
    public array $backoff = [5, 15, 30, 60];

    private const PAUSES_SECONDS = [5, 10, 20, 30];
    /** The jobs table counts attempts only to 255. */
    private const MAX_ATTEMPTS = 100;
    /** How often its views get a new job after Laravel has failed one. */
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
     * Laravel fails a job that it could not lock, or that timed out: its views then get a new job. If both run (`queue:retry`),
     * each view is still counted once. A job that fails again and again stays in `failed_jobs`.
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
