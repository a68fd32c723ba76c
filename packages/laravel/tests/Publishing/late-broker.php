<?php

// A broker that sends nothing until it has read a whole message, and then all its answers at once. Prints its port, and when the
// client has left, the names of the methods that it received after its answers.

declare(strict_types=1);

const START = "\0\x0a\0\x0a\0\x09\0\0\0\0" . "\0\0\0\x08AMQPLAIN" . "\0\0\0\x05en_US";
const TUNE = "\0\x0a\0\x1e\x07\xff\0\x02\0\0\0\x3c";
const OPEN_OK = "\0\x0a\0\x29\0";
const CHANNEL_OPEN_OK = "\0\x14\0\x0b\0\0\0\0";
const CONFIRM_SELECT_OK = "\0\x55\0\x0b";
const BASIC_ACK = "\0\x3c\0\x50\0\0\0\0\0\0\0\x01\0";

$frame = static fn (int $channel, string $method): string =>
    pack('Cnn', 1, $channel, 0) . pack('n', strlen($method)) . $method . "\xce";

// Its argument is either a file with a certificate and a key, for TLS, or --slow: then it confirms only one message every 0.4 s.
$isSlow = ($argv[1] ?? null) === '--slow';
$certificate = $isSlow ? null : $argv[1] ?? null;
$server = stream_socket_server(
    ($certificate === null ? 'tcp' : 'tls') . '://127.0.0.1:0',
    context: stream_context_create(['ssl' => ['local_cert' => $certificate]]),
);
echo substr(strrchr((string) stream_socket_get_name($server, false), ':'), 1), "\n";
$client = @stream_socket_accept($server, 10);
if ($client === false) {
    // The client does not trust the certificate.
    exit(2);
}
stream_set_timeout($client, 10);
$read = '';
while (!str_contains($read, '"post_uuid"') || !str_ends_with($read, "\xce")) {
    $some = fread($client, 8192);
    if ($some === '' || $some === false) {
        exit(1);
    }
    $read .= $some;
}
fwrite($client, $frame(0, START) . $frame(0, TUNE) . $frame(0, OPEN_OK)
    . $frame(1, CHANNEL_OPEN_OK) . $frame(1, CONFIRM_SELECT_OK) . $frame(1, BASIC_ACK));
for ($message = 2; $isSlow && $message <= 5; $message++) {
    usleep(400_000);
    @fwrite($client, $frame(1, substr(BASIC_ACK, 0, -2) . chr($message) . "\0"));
}
$goodbye = stream_get_contents($client);
echo str_contains($goodbye, "\0\x0a\0\x32") ? 'connection.close' : '', "\n";
