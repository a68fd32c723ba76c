<?php
// A PHP worker that sends views one after the other, as pages do, and measures how long each call took:
//
//     php view-caller.php '{"way": "relay" or "direct", "address": SOCKET or URL, "isKept": true, "calls": N,
//                           "per_second": N or 0, "start_at": UNIX_TIME, "agent": TEXT}'
//
// A call is all that a page waits for: connecting (unless the connection is kept), the view, the answer. At 0 per second, each call
// follows at once; otherwise calls come at random with that mean rate, as readers do. Prints {"took_ms": [...], "late_ms": N,
// "failed": N} as JSON; `late_ms` is the worker's greatest delay behind its own timetable.

require __DIR__ . '/../../test/publishers/publishing.php';

use Postviews\Publishing\AmqpTransport;
use Postviews\Publishing\Tracker;

final class RelayCaller
{
    /** @var resource|null */
    private $socket = null;

    public function __construct(private readonly string $path, private readonly bool $isKept)
    {
    }

    /** @param array<string, mixed> $view */
    public function call(array $view): bool
    {
        $this->socket ??= stream_socket_client("unix://$this->path", timeout: 1.0);
        fwrite($this->socket, json_encode($view) . "\n");
        $answer = fgets($this->socket);
        if (!$this->isKept) {
            fclose($this->socket);
            $this->socket = null;
        }
        return $answer === "ok\n";
    }
}

final class DirectCaller
{
    private ?Tracker $tracker = null;
    private ?AmqpTransport $transport = null;

    public function __construct(private readonly string $url, private readonly bool $isKept)
    {
    }

    /** @param array<string, mixed> $view */
    public function call(array $view): bool
    {
        $this->transport ??= new AmqpTransport($this->url, restSeconds: 0.0);
        $this->tracker ??= new Tracker($this->transport);
        $this->tracker->trackView($view);
        $isSent = $this->tracker->flush();
        if (!$this->isKept) {
            $this->transport->disconnect();
        }
        return $isSent;
    }
}

$run = json_decode($argv[1], true, flags: JSON_THROW_ON_ERROR);
$caller = $run['way'] === 'relay'
    ? new RelayCaller($run['address'], $run['isKept'])
    : new DirectCaller($run['address'], $run['isKept']);
$view = ['post_uuid' => '0f8fad5b-d9cb-469f-a165-70867728950e', 'user_id' => 42, 'ip' => '203.0.113.7',
    'user_agent' => $run['agent'], 'referer' => 'https://www.example.org/a/page'];

mt_srand(getmypid());
time_sleep_until($run['start_at']);
// The monotonic clock.
$due = hrtime(true);
$took = [];
$late = 0;
$failed = 0;
for ($n = 0; $n < $run['calls']; $n++) {
    if ($run['per_second'] > 0) {
        $due += (int) (-log(1 - mt_rand() / (mt_getrandmax() + 1)) / $run['per_second'] * 1e9);
        $wait = $due - hrtime(true);
        if ($wait > 0) {
            usleep(intdiv($wait, 1000));
        }
        $late = max($late, hrtime(true) - $due);
    }
    $before = hrtime(true);
    $failed += $caller->call($view) ? 0 : 1;
    $took[] = (hrtime(true) - $before) / 1e6;
}
echo json_encode(['took_ms' => $took, 'late_ms' => $late / 1e6, 'failed' => $failed]), "\n";
