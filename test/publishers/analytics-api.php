<?php
// The recipe of docs/laravel.md, run as pages would run it, without Laravel:
//
//     echo '{"pages": [[VIEW, ...], ...], "rest_file": FILE, "rest_seconds": N, "pause_ms": N}' \
//         | AMQP_URL=... php analytics-api.php
//
// Each page tracks its views, and then what Laravel does after the response is done: flush. Prints how long each step
// took and what was logged, as JSON; what happens when the process ends is logged on stderr.

require 'PhpAmqpLib/autoload.php';
require __DIR__ . '/../../examples/laravel/AnalyticsApi.php';

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
$analyticsApi = new App\Services\AnalyticsApi(
    url: getenv('AMQP_URL'),
    log: $log,
    restFile: $run['rest_file'] ?? null,
    restSeconds: $run['rest_seconds'] ?? 5,
);
$pages = [];
foreach ($run['pages'] as $number => $views) {
    if ($number > 0) {
        usleep(1000 * ($run['pause_ms'] ?? 0));
    }
    $startedAt = hrtime(true);
    foreach ($views as $view) {
        $analyticsApi->trackView($view);
    }
    $trackedAt = hrtime(true);
    $analyticsApi->flush();
    $pages[] = ['track_ms' => ($trackedAt - $startedAt) / 1e6, 'flush_ms' => (hrtime(true) - $trackedAt) / 1e6];
}
echo json_encode(['pages' => $pages, 'log' => $logged]), "\n";
$hasEnded = true;
