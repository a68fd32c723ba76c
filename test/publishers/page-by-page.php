<?php
// packages/laravel/src/Publishing in a process that lives from page to page, without Laravel:
//
//     RELAY_SOCKET=... AMQP_URL=... REST_FOLDER=... php page-by-page.php
//
// By the relay, else (or without RELAY_SOCKET) by the broker; each may be left out. A line of its standard input is a page:
//
//     {"track": [VIEW, ...], "flush": true}
//
// Its views are tracked, and then what Laravel does after the response is done: flush. A line is printed for each page: how long
// both took, whether all is sent, and what was logged. What happens when the process ends is logged on stderr.

require __DIR__ . '/publishing.php';

use Postviews\Publishing\AmqpTransport;
use Postviews\Publishing\FallbackTransport;
use Postviews\Publishing\RelayTransport;
use Postviews\Publishing\Tracker;

// As Laravel does: every warning is an exception.
set_error_handler(function (int $level, string $message, string $file, int $line): bool {
    if (error_reporting() & $level) {
        throw new ErrorException($message, 0, $level, $file, $line);
    }
    return true;
});

$logged = [];
$hasEnded = false;
$log = function (string $event, string $detail) use (&$logged, &$hasEnded): void {
    $logged[] = [$event, $detail];
    if ($hasEnded) {
        fwrite(STDERR, "$event: $detail\n");
    }
};
$folder = getenv('REST_FOLDER') ?: null;
$ways = array_values(array_filter([
    getenv('RELAY_SOCKET') ? new RelayTransport(getenv('RELAY_SOCKET'), $log, $folder) : null,
    getenv('AMQP_URL') ? new AmqpTransport(getenv('AMQP_URL'), $log, $folder) : null,
]));
$tracker = new Tracker(count($ways) === 2 ? new FallbackTransport($ways[0], $ways[1]) : $ways[0], $log);
while (($line = fgets(STDIN)) !== false) {
    $page = json_decode($line, true, flags: JSON_THROW_ON_ERROR);
    $startedAt = hrtime(true);
    foreach ($page['track'] as $view) {
        $tracker->trackView($view);
    }
    $trackedAt = hrtime(true);
    $isSent = $page['flush'] && $tracker->flush();
    echo json_encode([
        'track_ms' => ($trackedAt - $startedAt) / 1e6,
        'flush_ms' => (hrtime(true) - $trackedAt) / 1e6,
        'is_sent' => $isSent,
        'log' => $logged,
    ]), "\n";
    $logged = [];
}
$hasEnded = true;
