<?php
// packages/laravel/src/Publishing, run as pages would run it, without Laravel:
//
//     echo '{"pages": [[VIEW, ...], ...], "rest_folder": FOLDER, "rest_seconds": N, "pause_ms": N,
//            "idle_seconds": N}' \
//         | AMQP_URL=... php analytics-api.php
//
// Each page tracks its views, and then what Laravel does after the response is done: flush. Prints how long each step
// took and what was logged, as JSON; what happens when the process ends is logged on stderr.

require __DIR__ . '/publishing.php';

use Postviews\Publishing\AmqpTransport;
use Postviews\Publishing\Tracker;

// As Laravel does: every warning is an exception.
set_error_handler(function (int $level, string $message, string $file, int $line): bool {
    if (error_reporting() & $level) {
        throw new ErrorException($message, 0, $level, $file, $line);
    }
    return true;
});

$run = json_decode(stream_get_contents(STDIN), true, flags: JSON_THROW_ON_ERROR);
$logged = [];
$hasEnded = false;
$log = function (string $event, string $detail) use (&$logged, &$hasEnded): void {
    $logged[] = [$event, $detail];
    if ($hasEnded) {
        fwrite(STDERR, "$event: $detail\n");
    }
};
$tracker = new Tracker(new AmqpTransport(
    url: getenv('AMQP_URL'),
    log: $log,
    restFolder: $run['rest_folder'] ?? null,
    restSeconds: $run['rest_seconds'] ?? 5,
    idleSeconds: $run['idle_seconds'] ?? 60,
), $log);
$pages = [];
foreach ($run['pages'] as $number => $views) {
    if ($number > 0) {
        usleep(1000 * ($run['pause_ms'] ?? 0));
    }
    $startedAt = hrtime(true);
    foreach ($views as $view) {
        $tracker->trackView($view);
    }
    $trackedAt = hrtime(true);
    $isSent = $tracker->flush();
    $pages[] = [
        'track_ms' => ($trackedAt - $startedAt) / 1e6,
        'flush_ms' => (hrtime(true) - $trackedAt) / 1e6,
        'is_sent' => $isSent,
    ];
}
echo json_encode(['pages' => $pages, 'log' => $logged]), "\n";
$hasEnded = true;
