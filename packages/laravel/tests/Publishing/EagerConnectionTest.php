<?php

declare(strict_types=1);

namespace Postviews\Tests\Publishing;

use PHPUnit\Framework\TestCase;
use Postviews\Publishing\AmqpTransport;
use Postviews\Publishing\View;

final class EagerConnectionTest extends TestCase
{
    public function test_says_all_it_has_to_say_before_it_reads_an_answer_and_leaves_without_waiting(): void
    {
        $broker = proc_open([PHP_BINARY, __DIR__ . '/late-broker.php'], [1 => ['pipe', 'w']], $pipes);
        self::assertIsResource($broker);
        $port = (int) fgets($pipes[1]);
        $transport = new AmqpTransport("amqp://guest:guest@127.0.0.1:$port", connectSeconds: 5.0, confirmSeconds: 5.0);
        $transport->publish([View::encode(['post_id' => 42])]);
        $since = microtime(true);
        $transport->disconnect();
        self::assertLessThan(1.0, microtime(true) - $since);
        self::assertSame("connection.close\n", stream_get_contents($pipes[1]));
        self::assertSame(0, proc_close($broker));
    }
}
