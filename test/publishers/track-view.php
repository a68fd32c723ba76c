<?php
// A Frontend's wrapper round the RabbitMQ client: serialises what it is given and sends it straight to the queue
// `post.viewed`, with no id and no time.
//
//     AMQP_URL=... php track-view.php <post id> <user id, or nothing> [declare]

require 'PhpAmqpLib/autoload.php';

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;

final class AnalyticsApi
{
    private $connection;
    private $channel;

    public function __construct(string $url, bool $declares)
    {
        $at = parse_url($url);
        $vhost = rawurldecode(substr($at['path'] ?? '/', 1)) ?: '/';
        $this->connection = new AMQPStreamConnection($at['host'], $at['port'], $at['user'], $at['pass'], $vhost);
        $this->channel = $this->connection->channel();
        if ($declares) {
            $this->channel->queue_declare('post.viewed', false, true, false, false);
        }
    }

    public function trackView(array $view): void
    {
        $properties = ['delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT];
        $this->channel->basic_publish(new AMQPMessage(json_encode($view), $properties), '', 'post.viewed');
    }

    public function close(): void
    {
        $this->channel->close();
        $this->connection->close();
    }
}

[, $post, $user] = $argv;
$analyticsApi = new AnalyticsApi(getenv('AMQP_URL'), ($argv[3] ?? '') === 'declare');
$analyticsApi->trackView([
    'post_id'    => (int) $post,
    'user_id'    => $user === '' ? null : (int) $user,
    'ip'         => '203.0.113.7',
    'user_agent' => 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
]);
$analyticsApi->close();
