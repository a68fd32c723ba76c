<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Connection\AbstractConnection;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Wire\AMQPTable;

/** Names that publisher and service share, declared as the service declares them. */
final class Topology
{
    public const EXCHANGE = 'post.events';
    public const ROUTING_KEY = 'post.viewed';
    public const VIEWS_QUEUE = 'postviews.views';
    public const DEAD_QUEUE = 'postviews.dead';

    // -1 means "no limit" to RabbitMQ 4 and "drop at the first return" to 3.10; this number works in both.
    private const NO_DELIVERY_LIMIT = 2147483647;
    private const QUORUM = ['x-queue-type' => 'quorum', 'x-delivery-limit' => self::NO_DELIVERY_LIMIT];
    private const VIEWS = self::QUORUM + [
        'x-dead-letter-exchange' => '',
        'x-dead-letter-routing-key' => self::DEAD_QUEUE,
        'x-dead-letter-strategy' => 'at-least-once',
        'x-overflow' => 'reject-publish',
    ];

    /** Views that are published before the service's first start must wait for it. Existing queues are used as they are. */
    public static function declare(AbstractConnection $connection): void
    {
        $steps = [
            static fn (AMQPChannel $on) =>
                $on->exchange_declare(self::EXCHANGE, 'topic', durable: true, auto_delete: false),
            static fn (AMQPChannel $on) => self::declareQueue($on, self::DEAD_QUEUE, self::QUORUM),
            static fn (AMQPChannel $on) => self::declareQueue($on, self::VIEWS_QUEUE, self::VIEWS),
            static fn (AMQPChannel $on) => $on->queue_bind(self::VIEWS_QUEUE, self::EXCHANGE, self::ROUTING_KEY),
        ];
        foreach ($steps as $step) {
            // A refused declaration closes its channel, so each has its own.
            $channel = $connection->channel();
            try {
                $step($channel);
                $channel->close();
            } catch (AMQPProtocolChannelException $error) {
                // 406: it exists already, with other arguments.
                if ($error->getCode() !== 406) {
                    throw $error;
                }
            }
        }
    }

    /** @param array<string, int|string> $arguments */
    private static function declareQueue(AMQPChannel $channel, string $queue, array $arguments): void
    {
        $channel->queue_declare($queue, durable: true, auto_delete: false, arguments: new AMQPTable($arguments));
    }
}
