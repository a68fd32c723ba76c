<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use Closure;
use InvalidArgumentException;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Exception\AMQPTimeoutException;
use PhpAmqpLib\Message\AMQPMessage;
use RuntimeException;
use SensitiveParameter;
use Throwable;

/**
 * Publishes views to RabbitMQ as persistent messages, and waits until the broker confirms that a queue which postviews
 * reads has them on disk.
 *
 * It connects when first needed, and keeps the connection for as long as its process lives. A `publish` sends all its messages
 * before it awaits the first answer. In a cluster it tries one node after the other. Unconfirmed messages are sent again with the
 * same ids, and are counted once.
 */
final class AmqpTransport implements Transport
{
    private const VIEWS_PER_MESSAGE = 50;

    /** @var list<Broker> */
    private array $brokers = [];
    /** Why there are no brokers. */
    private string $problem = '';
    /** @var non-empty-list<SharedRest> one for each broker */
    private readonly array $rests;
    private ?EagerConnection $connection = null;
    private ?EagerChannel $channel = null;
    /** The process that owns the connection: a forked child has only a copy. */
    private int $pid = 0;
    /** The index of the broker to try next. */
    private int $turn = 0;
    /** Whether this `publish` has sent its messages to a broker that accepted the login. */
    private bool $hasWritten = false;
    /** By the monotonic clock, in seconds. */
    private float $deadline = 0.0;
    /** When the connection was last used, by the same clock. */
    private float $usedAt = 0.0;

    /**
     * @param string|list<string> $url `amqp://user:password@host:5672/vhost`, or `amqps://`; for a cluster the URL of
     *     each node, separated by commas (a comma inside one is %2C) or as an array. `publish` reports what is wrong
     *     with it
     * @param ?Closure(string $event, string $detail): void $log
     * @param ?string $restFolder where processes of this machine tell each other that the broker is away
     * @param float $connectSeconds for connecting, and again for the broker's first answers
     * @param float $confirmSeconds for each confirm, or group of them
     * @param float $restSeconds how long the broker is left alone after a failure
     * @param float $flushSeconds after this time `publish` tries no further host, and waits for no further confirm
     * @param float $idleSeconds a connection that was unused for longer is not used again
     * @param array<string, mixed> $tls options of the stream context for amqps: cafile, local_cert, …
     */
    public function __construct(
        #[SensitiveParameter]
        string|array $url,
        ?Closure $log = null,
        ?string $restFolder = null,
        private readonly float $connectSeconds = 0.5,
        private readonly float $confirmSeconds = 1.0,
        float $restSeconds = 5.0,
        private readonly float $flushSeconds = 3.0,
        private readonly array $tls = [],
        private readonly string $appId = 'laravel',
        private readonly float $idleSeconds = 60.0,
    ) {
        try {
            $this->brokers = Broker::fromUrls($url);
        } catch (InvalidArgumentException $error) {
            $this->problem = $error->getMessage();
        }
        $this->rests = array_map(
            static fn (Broker $broker) => new SharedRest($restFolder, $broker->name(), $restSeconds, $log),
            $this->brokers,
        ) ?: [new SharedRest(null, '', $restSeconds)];
    }

    public function __destruct()
    {
        $this->disconnect();
    }

    public function publish(array $views): void
    {
        if ($views === []) {
            return;
        }
        $this->leaveParentsConnection();
        $this->leaveIdleConnection();
        $messages = $this->messages($views);
        try {
            $this->publishOnOneOf($messages);
        } catch (Throwable $error) {
            // The previous exception is left out because its trace could hold the password.
            throw new PublishFailed(
                $error->getMessage(),
                self::viewsOf($messages),
                $error instanceof BrokerRests,
                $this->hasWritten,
            );
        } finally {
            foreach ($this->rests as $rest) {
                $rest->release();
            }
        }
    }

    /** Closes the connection in order. The next `publish` connects again. */
    public function disconnect(): void
    {
        if ($this->connection === null) {
            return;
        }
        try {
            if ($this->pid === getmypid()) {
                $this->connection->leave();
            }
        } catch (Throwable) {
            // The connection is gone already.
        }
        $this->connection = $this->channel = null;
    }

    /** @return array<string, mixed> a dump shows no password */
    public function __debugInfo(): array
    {
        return ['brokers' => $this->brokers, 'isConnected' => $this->connection !== null];
    }

    /**
     * Tries one host after the other, except those that were away a moment ago. Removes confirmed messages from
     * `$messages`.
     *
     * @param array<string, array{AMQPMessage, list<EncodedView>}> $messages
     * @throws Throwable the last failure
     */
    private function publishOnOneOf(array &$messages): void
    {
        $this->deadline = hrtime(true) / 1e9 + $this->flushSeconds;
        $this->hasWritten = false;
        $hasFailedOnce = false;
        $failures = 0;
        $error = null;
        while ($this->connection !== null || $this->takeTurn()) {
            $isKept = $this->connection !== null;
            try {
                $this->send($messages);
                $this->rests[$this->turn]->succeeded();
                $this->usedAt = hrtime(true) / 1e9;

                return;
            } catch (Throwable $error) {
                // An alarm blocks every node of a cluster.
                $isOver = $error instanceof BrokerBlocked || hrtime(true) / 1e9 >= $this->deadline;
                // The first failure does not count: a kept connection may have died long ago, and a new one may break by chance.
                // A host that does not answer at all does count.
                $isAccident = $this->connection !== null && ($isKept || !$error instanceof AMQPTimeoutException);
                if ($isOver || $hasFailedOnce || !$isAccident) {
                    $failures++;
                    $this->rests[$this->turn]->failed();
                }
                $hasFailedOnce = $hasFailedOnce || $isAccident;
                $this->abandon();
                if ($isOver || $failures >= count($this->rests)) {
                    throw $error;
                }
            }
        }
        throw $error ?? new BrokerRests('the broker was away a moment ago, and is not tried again yet');
    }

    /** Selects the next host that may be tried. Returns false if all of them rest. */
    private function takeTurn(): bool
    {
        for ($passed = 0; $passed < count($this->rests); $passed++) {
            if ($this->rests[$this->turn]->mayTry()) {
                return true;
            }
            $this->nextTurn();
        }

        return false;
    }

    private function nextTurn(): void
    {
        $this->turn = ($this->turn + 1) % count($this->rests);
    }

    /** @param array<string, array{AMQPMessage, list<EncodedView>}> $messages */
    private function send(array &$messages): void
    {
        if (!$this->sendOnce($messages)) {
            // The first publisher on this broker declares exchange and queues.
            Topology::declare($this->connection());
            if (!$this->sendOnce($messages)) {
                throw new RuntimeException('no queue is bound for views');
            }
        }
    }

    /**
     * @param array<string, array{AMQPMessage, list<EncodedView>}> $messages
     * @return bool false when there is no exchange, or no queue bound to it
     */
    private function sendOnce(array &$messages): bool
    {
        $isNew = $this->connection === null;
        $connection = $this->connection();
        $channel = $this->channel ??= new EagerChannel($connection, $this->confirmSeconds);
        try {
            foreach ($messages as [$message]) {
                $channel->basic_publish($message, Topology::EXCHANGE, Topology::ROUTING_KEY, true);
            }
            if ($isNew) {
                $connection->awaitOpen($this->connectSeconds);
            }
            $this->hasWritten = true;
            $channel->awaitConfirms($this->confirmSeconds, max($this->deadline, hrtime(true) / 1e9 + 0.1));
        } catch (AMQPProtocolChannelException $error) {
            $this->channel = null;
            if ($error->getCode() !== 404) {
                throw $error;
            }

            return false;
        } finally {
            foreach (array_keys($messages) as $id) {
                if ($channel->confirms->isConfirmed($id)) {
                    unset($messages[$id]);
                }
            }
        }
        if ($channel->confirms->isRefused) {
            throw new RuntimeException('the queue accepts no more messages');
        }
        $hasReturned = $channel->confirms->hasReturned();
        $channel->confirms->forget();

        return !$hasReturned;
    }

    private function connection(): EagerConnection
    {
        if ($this->connection === null) {
            $broker = $this->brokers[$this->turn] ?? throw new InvalidArgumentException($this->problem);
            $name = "postviews $this->appId";
            $connection = new EagerConnection($broker, $this->connectSeconds, $this->confirmSeconds, $name, $this->tls);
            // Waiting for confirms is useless while the broker is blocked.
            $connection->set_connection_block_handler(static function (): void {
                throw new BrokerBlocked('the broker blocks publishers: it is short of memory or disk');
            });
            $this->connection = $connection;
            $this->pid = (int) getmypid();
        }

        return $this->connection;
    }

    /** Drops a connection that failed, and moves on to the next host. */
    private function abandon(): void
    {
        $this->nextTurn();
        try {
            $this->connection?->drop();
        } catch (Throwable) {
            // The connection is gone already.
        }
        $this->connection = $this->channel = null;
    }

    /** A firewall may have dropped the connection silently: the next confirm would never arrive. */
    private function leaveIdleConnection(): void
    {
        if (hrtime(true) / 1e9 - $this->usedAt > $this->idleSeconds) {
            $this->disconnect();
        }
    }

    /** In a forked process, the parent continues to use the connection. */
    private function leaveParentsConnection(): void
    {
        if ($this->connection !== null && $this->pid !== getmypid()) {
            $this->connection = $this->channel = null;
        }
    }

    /**
     * @param list<EncodedView> $views
     * @return array<string, array{AMQPMessage, list<EncodedView>}> by message_id
     */
    private function messages(array $views): array
    {
        $messages = [];
        foreach (array_chunk($views, self::VIEWS_PER_MESSAGE) as $some) {
            $isOne = count($some) === 1;
            $id = $isOne ? $some[0]->messageId : Uuid::v7();
            $json = array_map(static fn (EncodedView $view): string => $view->json, $some);
            $messages[$id] = [
                new AMQPMessage($isOne ? $json[0] : '[' . implode(',', $json) . ']', [
                    'content_type' => 'application/json',
                    'delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT,
                    'message_id' => $id,
                    'timestamp' => time(),
                    'type' => Topology::ROUTING_KEY,
                    'app_id' => $this->appId,
                ]),
                $some,
            ];
        }

        return $messages;
    }

    /**
     * @param array<string, array{AMQPMessage, list<EncodedView>}> $messages
     * @return list<EncodedView>
     */
    private static function viewsOf(array $messages): array
    {
        return array_merge(...array_values(array_map(static fn (array $message): array => $message[1], $messages)));
    }
}
