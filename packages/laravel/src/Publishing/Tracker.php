<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use Closure;
use Throwable;

/**
 * Tracks views without making the caller wait, and sends them on request.
 *
 *     $tracker = new Tracker(new AmqpTransport('amqp://…'));
 *     $tracker->trackView(['post_uuid' => 'a-post', 'ip' => $_SERVER['REMOTE_ADDR']]);
 * // after the page has reached its reader:
 *     $tracker->flush();
 *
 * | outcome of a view | when |
 * |---|---|
 * | confirmed: it is on disk in a queue that postviews reads, or in the spool of a relay | `flush` has returned true |
 * | still remembered: the broker is away, or did not confirm | until the next `flush` of this process |
 * | handed over to the queue of `handOverTo` | `handOver` has returned true, or this process ends or remembers too many |
 * | refused, and `$log` gets the rule | it breaks the contract |
 * | dropped, and `$log` gets the number | this process ends, or remembers too many |
 *
 * Each view gets an id and its time when it is tracked. A view that may have arrived is sent again with the same id, and is
 * counted once.
 */
final class Tracker
{
    private const MAX_REMEMBERED = 1_000;
    /** After a failure, this is the pause before the next view tries the queue again, and before `trackView` tries the broker again. */
    private const QUEUE_REST_SECONDS = 5.0;
    private const BROKER_REST_SECONDS = 10.0;

    /** @var list<EncodedView> */
    private array $remembered = [];
    /** Whether some of them were sent, but not confirmed. */
    private bool $mayHaveArrived = false;
    /** The process that owns them: a forked child has only copies, which its parent sends. */
    private int $pid;
    /** @var array<string, int> number of dropped views that are not logged yet, by reason */
    private array $dropped = [];
    /** @var array<string, int> refusals since the last `flush`, by rule */
    private array $refused = [];

    /** @var ?Closure(non-empty-list<EncodedView>): bool */
    private ?Closure $queue = null;
    /** Both by the monotonic clock, in seconds. */
    private float $queueRestsUntil = 0.0;
    private float $brokerRestsUntil = 0.0;

    /** @param ?Closure(string $event, string $detail): void $log gets what went wrong, but never a view */
    public function __construct(
        private readonly Transport $transport,
        private readonly ?Closure $log = null,
    ) {
        $this->pid = (int) getmypid();
    }

    public function __destruct()
    {
        $this->end();
    }

    /** Sends or hands over the remembered views; logs the rest as dropped. For a process that ends. */
    public function end(): void
    {
        if (!$this->flush()) {
            $this->handOverUnlessResting();
        }
        if ($this->remembered !== []) {
            $this->tell('view.dropped', self::views(count($this->remembered)) . ': the process has ended'
                . ($this->mayHaveArrived ? '; what the broker did not confirm may have arrived' : ''));
            $this->remembered = [];
            $this->mayHaveArrived = false;
        }
    }

    /**
     * Takes one view. Never throws, whatever it is given, and does not wait. Only if it already remembers 1,000 views, it first
     * sends them or hands them over.
     *
     * @param array<string, mixed> $view
     */
    public function trackView(array $view): void
    {
        try {
            $this->leaveParentsViews();
            $encoded = View::encode($view);
            if ($this->isFull()) {
                $this->makeRoom();
            }
            if ($this->isFull()) {
                $this->drop('more than ' . self::MAX_REMEMBERED . ' are waiting, and the broker does not accept them');

                return;
            }
            $this->remembered[] = $encoded;
            if ($this->transport instanceof EarlyTransport) {
                $this->transport->begin($encoded);
            }
        } catch (InvalidView $error) {
            $this->refuse($error);
        } catch (Throwable $error) {
            $this->drop(get_debug_type($error));
        }
    }

    /**
     * Sends the remembered views. Never throws. While the broker is away, the first call takes a moment, and later calls take no
     * time.
     *
     * @return bool false: the broker does not have all of them
     */
    public function flush(): bool
    {
        $isSent = $this->send();
        $this->tellSums();

        return $isSent;
    }

    /** @throws PublishFailed */
    public function flushOrFail(): void
    {
        $this->leaveParentsViews();
        try {
            $this->publish();
        } finally {
            $this->tellSums();
        }
    }

    /**
     * Sends these views now, without remembering them: they come from a job queue, which keeps them.
     *
     * @param list<EncodedView> $views
     * @throws PublishFailed with the remaining views
     */
    public function publishNow(array $views): void
    {
        try {
            $this->transport->publish($views);
        } catch (PublishFailed $error) {
            $this->tellLost($error);
            throw $error;
        }
    }

    /**
     * Sets a queue that keeps views for longer than this process lives. It gets what the broker does not take, before anything is
     * dropped.
     *
     * @param Closure(non-empty-list<EncodedView>): bool $queue returns whether it has taken all of them; may throw
     */
    public function handOverTo(Closure $queue): void
    {
        $this->queue = $queue;
    }

    /**
     * Hands over the remembered views.
     *
     * @return bool false: no queue is set, or it failed; all views are still remembered
     */
    public function handOver(): bool
    {
        $this->leaveParentsViews();
        if ($this->remembered === []) {
            return true;
        }
        // Taken out first, because the queue's own work may track views.
        $views = $this->remembered;
        $this->remembered = [];
        $isTaken = false;
        try {
            $isTaken = $this->queue !== null && ($this->queue)($views);
        } catch (Throwable $error) {
            $this->queueRestsUntil = hrtime(true) / 1e9 + self::QUEUE_REST_SECONDS;
            // Without the message: a database's message holds the values of the insert.
            $this->tell('queue.lost', get_debug_type($error));
        }
        if ($isTaken) {
            $this->mayHaveArrived = false;
        } else {
            $this->remembered = [...$views, ...$this->remembered];
        }

        return $isTaken;
    }

    /** Runs within a page, so it does not wait for a broker that has just failed. */
    private function makeRoom(): void
    {
        if (hrtime(true) / 1e9 >= $this->brokerRestsUntil) {
            $this->send();
        }
        if ($this->isFull()) {
            $this->handOverUnlessResting();
        }
    }

    private function handOverUnlessResting(): void
    {
        if (hrtime(true) / 1e9 >= $this->queueRestsUntil) {
            $this->handOver();
        }
    }

    private function isFull(): bool
    {
        return count($this->remembered) >= self::MAX_REMEMBERED;
    }

    private function send(): bool
    {
        try {
            $this->leaveParentsViews();
            $this->publish();

            return true;
        } catch (PublishFailed $error) {
            $this->tellLost($error);
        } catch (Throwable $error) {
            $this->tell('broker.lost', get_debug_type($error));
        }

        return false;
    }

    private function publish(): void
    {
        if ($this->remembered === []) {
            return;
        }
        try {
            $this->transport->publish($this->remembered);
            $this->remembered = [];
            $this->brokerRestsUntil = 0.0;
            $this->mayHaveArrived = false;
        } catch (Throwable $error) {
            $this->brokerRestsUntil = hrtime(true) / 1e9 + self::BROKER_REST_SECONDS;
            if ($error instanceof PublishFailed) {
                $this->remembered = $error->views;
                $this->mayHaveArrived = $this->mayHaveArrived || $error->mayHaveArrived;
            }
            throw $error;
        }
    }

    /** Logs the first refusal of a kind at once, where a developer sees it, and the others as a sum. */
    private function refuse(InvalidView $error): void
    {
        $rule = $error->getMessage();
        $this->refused[$rule] = ($this->refused[$rule] ?? 0) + 1;
        if ($this->refused[$rule] === 1) {
            $this->tell('view.invalid', "$rule ($error->reason)");
        }
    }

    private function tellLost(PublishFailed $error): void
    {
        // A failure that causes a rest was logged when it happened.
        if (!$error->isResting && !$error->isTold) {
            $this->tell('broker.lost', $error->getMessage());
        }
    }

    private function drop(string $reason): void
    {
        $this->dropped[$reason] = ($this->dropped[$reason] ?? 0) + 1;
    }

    private function tellSums(): void
    {
        foreach ($this->dropped as $reason => $views) {
            $this->tell('view.dropped', self::views($views) . ": $reason");
        }
        foreach ($this->refused as $rule => $views) {
            if ($views > 1) {
                $this->tell('view.invalid', self::views($views - 1, ' more') . ": $rule");
            }
        }
        $this->dropped = $this->refused = [];
    }

    private static function views(int $count, string $more = ''): string
    {
        return "$count$more " . ($count === 1 ? 'view' : 'views');
    }

    private function leaveParentsViews(): void
    {
        if ($this->pid !== getmypid()) {
            $this->pid = (int) getmypid();
            $this->remembered = $this->dropped = $this->refused = [];
        }
    }

    private function tell(string $event, string $detail): void
    {
        try {
            if ($this->log !== null) {
                ($this->log)($event, $detail);
            }
        } catch (Throwable) {
            // Logging itself has failed, so this cannot be logged.
        }
    }
}
