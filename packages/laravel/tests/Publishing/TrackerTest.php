<?php

declare(strict_types=1);

namespace Postviews\Tests\Publishing;

use PHPUnit\Framework\TestCase;
use Postviews\Publishing\PublishFailed;
use Postviews\Publishing\Tracker;
use Postviews\Tests\MemoryTransport;
use RuntimeException;

final class TrackerTest extends TestCase
{
    private MemoryTransport $transport;
    private Tracker $tracker;
    /** @var list<string> */
    private array $log = [];

    protected function setUp(): void
    {
        $this->transport = new MemoryTransport();
        $this->tracker = new Tracker($this->transport, function (string $event, string $detail): void {
            $this->log[] = "$event: $detail";
        });
    }

    public function test_sends_nothing_before_it_is_told_to(): void
    {
        $this->tracker->trackView(['post_id' => 1]);
        self::assertSame([], $this->transport->taken);
        self::assertTrue($this->tracker->flush());
        self::assertCount(1, $this->transport->taken);
        self::assertTrue($this->tracker->flush());
        self::assertSame(1, $this->transport->tried);
    }

    public function test_keeps_what_was_not_taken_and_sends_it_again_to_the_byte(): void
    {
        $this->transport->isAway = true;
        $this->transport->takesFirst = 2;
        for ($post = 1; $post <= 5; $post++) {
            $this->tracker->trackView(['post_id' => $post]);
        }
        self::assertFalse($this->tracker->flush());
        self::assertSame(['broker.lost: the broker is away'], $this->log);
        $this->transport->isAway = false;
        self::assertTrue($this->tracker->flush());
        self::assertSame(['1', '2', '3', '4', '5'], array_column($this->transport->events(), 'post_uuid'));
    }

    public function test_flush_or_fail_says_why(): void
    {
        $this->tracker->flushOrFail();
        $this->transport->isAway = true;
        $this->tracker->trackView(['post_id' => 1]);
        try {
            $this->tracker->flushOrFail();
            self::fail('it did not fail');
        } catch (PublishFailed $error) {
            self::assertSame('the broker is away', $error->getMessage());
        }
        $this->transport->isAway = false;
        $this->tracker->flushOrFail();
        self::assertCount(1, $this->transport->taken);
    }

    public function test_ten_thousand_views_of_a_command_reach_a_healthy_broker(): void
    {
        for ($post = 1; $post <= 10_000; $post++) {
            $this->tracker->trackView(['post_id' => $post]);
        }
        self::assertTrue($this->tracker->flush());
        self::assertCount(10_000, $this->transport->taken);
        self::assertSame([], $this->log);
    }

    public function test_drops_what_it_has_no_room_for_and_tells_one_sum(): void
    {
        $this->transport->isAway = true;
        for ($post = 1; $post <= 3_000; $post++) {
            $this->tracker->trackView(['post_id' => $post]);
        }
        $this->log = [];
        self::assertFalse($this->tracker->flush());
        self::assertSame(
            ['view.dropped: 2000 views: more than 1000 are waiting, and the broker does not accept them'],
            array_values(preg_grep('/dropped/', $this->log)),
        );
        unset($this->tracker);
        self::assertSame('view.dropped: 1000 views: the process has ended', end($this->log));
    }

    public function test_tells_a_wrong_view_at_the_call_and_its_likes_as_one_sum(): void
    {
        $this->tracker->trackView(['post_id' => 0]);
        self::assertStringStartsWith('view.invalid: post_uuid (or post_id) is not', $this->log[0]);
        for ($i = 0; $i < 99; $i++) {
            $this->tracker->trackView(['post_id' => -$i]);
        }
        $this->tracker->trackView(['post_id' => 1]);
        $this->tracker->flush();
        self::assertCount(2, $this->log);
        self::assertStringStartsWith('view.invalid: 99 more views', $this->log[1]);
        self::assertCount(1, $this->transport->taken);
    }

    public function test_hands_over_what_is_left_and_keeps_it_where_nobody_takes_it(): void
    {
        $this->tracker->trackView(['post_id' => 1]);
        self::assertFalse($this->tracker->handOver());
        $this->tracker->handOverTo(fn (): bool => false);
        self::assertFalse($this->tracker->handOver());
        $this->tracker->handOverTo(function (): never {
            throw new RuntimeException('no such table: jobs');
        });
        self::assertFalse($this->tracker->handOver());
        self::assertSame(['queue.lost: RuntimeException'], $this->log);
        $given = [];
        $this->tracker->handOverTo(function (array $views) use (&$given): bool {
            $given = $views;

            return true;
        });
        self::assertTrue($this->tracker->handOver());
        self::assertCount(1, $given);
        self::assertTrue($this->tracker->flush());
        self::assertSame(0, $this->transport->tried);
    }

    public function test_hands_over_a_full_buffer_that_the_broker_does_not_take_and_drops_nothing(): void
    {
        $this->transport->isAway = true;
        $given = [];
        $this->tracker->handOverTo(function (array $views) use (&$given): bool {
            array_push($given, ...$views);

            return true;
        });
        for ($post = 1; $post <= 10_000; $post++) {
            $this->tracker->trackView(['post_id' => $post]);
        }
        self::assertFalse($this->tracker->flush());
        self::assertTrue($this->tracker->handOver());
        self::assertCount(10_000, array_unique(array_column($given, 'messageId')));
        self::assertSame(['broker.lost: the broker is away'], array_values(array_unique($this->log)));
    }

    public function test_a_queue_that_fails_is_not_asked_again_for_each_view(): void
    {
        $this->transport->isAway = true;
        $asked = 0;
        $this->tracker->handOverTo(function () use (&$asked): never {
            $asked++;
            throw new RuntimeException('the queue hangs');
        });
        for ($post = 1; $post <= 1_500; $post++) {
            $this->tracker->trackView(['post_id' => $post]);
        }
        self::assertSame(1, $asked);
        $this->tracker->flush();
        self::assertStringStartsWith('view.dropped: 500 views: more than 1000 are waiting', end($this->log));
    }

    public function test_a_reader_does_not_wait_again_for_a_broker_that_has_just_failed(): void
    {
        $this->transport->isAway = true;
        for ($post = 1; $post <= 1_000; $post++) {
            $this->tracker->trackView(['post_id' => $post]);
        }
        $this->tracker->flush();
        for ($post = 1; $post <= 500; $post++) {
            $this->tracker->trackView(['post_id' => $post]);
        }
        self::assertSame(1, $this->transport->tried);
    }

    public function test_what_a_queue_does_meanwhile_may_hand_over_and_track(): void
    {
        $given = [];
        $this->tracker->handOverTo(function (array $views) use (&$given): bool {
            array_push($given, ...$views);
            $this->tracker->handOver();
            $this->tracker->trackView(['post_id' => 2]);

            return true;
        });
        $this->tracker->trackView(['post_id' => 1]);
        self::assertTrue($this->tracker->handOver());
        self::assertCount(1, $given);
        self::assertTrue($this->tracker->flush());
        self::assertSame(['2'], array_column($this->transport->events(), 'post_uuid'));
    }

    public function test_what_may_have_arrived_is_not_told_as_lost(): void
    {
        $this->transport->isAway = $this->transport->mayHaveArrived = true;
        $this->tracker->trackView(['post_id' => 1]);
        $this->tracker->flush();
        // The broker is left alone from here on, so nothing more is sent.
        $this->transport->mayHaveArrived = false;
        $this->tracker->end();
        $this->tracker->trackView(['post_id' => 2]);
        $this->tracker->end();
        self::assertSame([
            'view.dropped: 1 view: the process has ended; what the broker did not confirm may have arrived',
            'view.dropped: 1 view: the process has ended',
        ], array_values(array_filter($this->log, static fn (string $line) => str_starts_with($line, 'view.dropped'))));
    }

    public function test_what_the_transport_has_told_is_not_told_again(): void
    {
        $this->transport->isAway = $this->transport->isTold = true;
        $this->tracker->trackView(['post_id' => 1]);
        self::assertFalse($this->tracker->flush());
        self::assertSame([], $this->log);
    }

    public function test_a_process_that_ends_early_hands_over_what_the_broker_does_not_take(): void
    {
        $this->transport->isAway = true;
        $given = [];
        $this->tracker->handOverTo(static function (array $views) use (&$given): bool {
            $given = $views;

            return true;
        });
        $this->tracker->trackView(['post_id' => 1]);
        unset($this->tracker);
        self::assertCount(1, $given);
        self::assertSame(['broker.lost: the broker is away'], $this->log);
    }

    public function test_a_view_has_the_room_that_the_broker_makes_before_it_fails(): void
    {
        $this->transport->isAway = true;
        $this->transport->takesFirst = 600;
        for ($post = 1; $post <= 1_001; $post++) {
            $this->tracker->trackView(['post_id' => $post]);
        }
        $this->transport->isAway = false;
        self::assertTrue($this->tracker->flush());
        self::assertCount(1_001, $this->transport->taken);
    }

    public function test_is_freed_at_once_when_it_is_let_go_of(): void
    {
        gc_disable();
        try {
            $this->tracker->trackView(['post_id' => 1]);
            unset($this->tracker);
            self::assertCount(1, $this->transport->taken);
        } finally {
            gc_enable();
        }
    }

    public function test_a_forked_process_sends_its_own_views_and_none_of_its_parents(): void
    {
        [$here, $there] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, STREAM_IPPROTO_IP);
        $this->tracker->trackView(['post_id' => 1]);
        $this->tracker->trackView(['post_id' => 0]);
        $this->tracker->trackView(['post_id' => 0]);
        $this->log = [];
        $pid = pcntl_fork();
        if ($pid === 0) {
            $this->tracker->trackView(['post_id' => 2]);
            $this->tracker->flush();
            fwrite($there, implode(',', [...array_column($this->transport->events(), 'post_uuid'), ...$this->log]) . "\n");
            posix_kill(getmypid(), SIGKILL);
        }
        self::assertSame("2\n", fgets($here));
        pcntl_waitpid($pid, $status);
        $this->tracker->flush();
        self::assertSame(['1'], array_column($this->transport->events(), 'post_uuid'));
    }

    public function test_contains_a_log_that_throws(): void
    {
        $tracker = new Tracker($this->transport, function (): never {
            throw new RuntimeException('disk full');
        });
        $tracker->trackView(['post_id' => 0]);
        $this->transport->isAway = true;
        $tracker->trackView(['post_id' => 1]);
        self::assertFalse($tracker->flush());
    }
}
