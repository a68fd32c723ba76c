<?php
// A view for postviews-relay, without any package: RELAY_SOCKET=/run/postviews.sock php relay.php hello-world
$view = ['post_uuid' => $argv[1], 'ip' => $_SERVER['REMOTE_ADDR'] ?? null, 'user_agent' => $_SERVER['HTTP_USER_AGENT'] ?? null];
$relay = @stream_socket_client('unix://' . getenv('RELAY_SOCKET'), timeout: 0.5);
if ($relay !== false) {
    stream_set_timeout($relay, 0, 500_000);
    fwrite($relay, json_encode($view, JSON_INVALID_UTF8_SUBSTITUTE) . "\n");
    $answer = fgets($relay);
}
if (($answer ?? false) !== "ok\n") {
    error_log('the view is not counted: ' . trim(($answer ?? false) ?: 'the relay is away, or does not answer'));
}
