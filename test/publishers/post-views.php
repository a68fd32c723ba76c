<?php
// A publisher for a consumer of the queue `analytics.post_views`: every field, and the time as PHP writes it.
//
//     AMQP_URL=... php post-views.php <post uuid> <user id, or nothing> <timestamp> [declare]

require 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;

[, $post, $user, $timestamp] = $argv;
$at = parse_url(getenv('AMQP_URL'));
$vhost = rawurldecode(substr($at['path'] ?? '/', 1)) ?: '/';
$connection = new AMQPStreamConnection($at['host'], $at['port'], $at['user'], $at['pass'], $vhost);
$channel = $connection->channel();
if (($argv[4] ?? '') === 'declare') {
    $channel->queue_declare(queue: 'analytics.post_views', durable: true, auto_delete: false);
}
$view = [
    'post_uuid'  => $post,
    'user_id'    => $user === '' ? null : (int) $user,
    'ip'         => '2001:DB8:0:0::7',
    'user_agent' => 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
    'referer'    => 'https://пример.example/статья',
    'timestamp'  => ctype_digit($timestamp) ? (int) $timestamp : $timestamp,
];
$channel->basic_publish(new AMQPMessage(json_encode($view)), '', 'analytics.post_views');
$channel->close();
$connection->close();
