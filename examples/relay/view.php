<?php
$view = [
    'event_id'   => implode('-', sscanf(bin2hex(random_bytes(16)), '%8s%4s%4s%4s%12s')), // any UUID
    'post_uuid'  => $_GET['post'] ?? 'hello-world',
    'ip'         => $_SERVER['REMOTE_ADDR'] ?? '203.0.113.8',
    'user_agent' => $_SERVER['HTTP_USER_AGENT'] ?? 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
    'timestamp'  => time(),
];
$at = getenv('RELAY_SOCKET') ?: '/run/postviews.sock';
$relay = @stream_socket_client("unix://$at", $code, $why, 1);
$answer = "no relay at $at: $why";
if ($relay) {
    stream_set_timeout($relay, 1);
    // What a browser sends need not be UTF-8: without the flag there would be no JSON.
    @fwrite($relay, json_encode($view, JSON_INVALID_UTF8_SUBSTITUTE) . "\n");
    $answer = trim((string) fgets($relay)) ?: 'no answer';
}
if ($answer !== 'ok') {
    error_log("postviews: a view was not taken: $answer");
}
