<?php

declare(strict_types=1);

namespace Postviews\Laravel\Console;

use Illuminate\Support\Str;
use InvalidArgumentException;
use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use Postviews\Laravel\AnalyticsManager;
use Postviews\Publishing\AmqpTransport;
use Postviews\Publishing\Broker;
use Postviews\Publishing\EagerConnection;
use Postviews\Publishing\EncodedView;
use Postviews\Publishing\PublishFailed;
use Postviews\Publishing\Topology;
use Throwable;

/** Checks driver, broker, exchange and queues. Its messages never hold a user or a password. */
final class BrokerChecks
{
    /** Longer than for a page, so that the doctor finds the cause instead of a timeout. */
    private const CONNECT_SECONDS = 5.0;
    private const ANSWER_SECONDS = 5.0;

    private const SPECIAL_CHARACTERS = 'In user, password and vhost, write / as %2F, @ as %40, # as %23, ? as %3F, : as %3A, and % as %25.';

    private readonly string|array $url;
    /** @var array<string, mixed> */
    private readonly array $tls;

    public function __construct(private readonly AnalyticsManager $manager)
    {
        $this->url = config('postviews.amqp.url') ?? '';
        $this->tls = config('postviews.amqp.tls') ?? [];
    }

    public function driver(): Finding
    {
        $driver = $this->manager->getDefaultDriver();
        try {
            $this->manager->driver();
        } catch (Throwable $error) {
            return Finding::failed(
                'driver',
                "$driver: " . rtrim($error->getMessage(), '.') . '. Every view is dropped.',
                'Set POSTVIEWS_DRIVER to one of ' . implode(', ', $this->manager->names()) . ' (then config:cache, if you cache it).',
            );
        }

        return match (strtolower($driver)) {
            'amqp', 'relay' => Finding::ok('driver', strtolower($driver)),
            'null' => Finding::warning('driver', 'null: views are discarded', 'Set POSTVIEWS_DRIVER=amqp or relay, unless this is intended.'),
            'log' => Finding::warning(
                'driver',
                'log: views are written to the log, and not counted',
                'Set POSTVIEWS_DRIVER=amqp or relay, unless this is intended.',
            ),
            default => Finding::warning('driver', "$driver, a driver of your own", 'The checks below are for the driver amqp.'),
        };
    }

    /**
     * Checks each node of the cluster. Publishing works if one of them answers.
     *
     * @return list<Finding>
     */
    public function brokers(): array
    {
        try {
            $brokers = Broker::fromUrls($this->url);
        } catch (InvalidArgumentException $error) {
            return [Finding::failed(
                'broker',
                $error->getMessage(),
                'Set POSTVIEWS_AMQP_URL in .env: amqp://user:password@host:5672/vhost (then config:cache, if you cache it). '
                    . self::SPECIAL_CHARACTERS,
            )];
        }

        $found = array_map($this->broker(...), $brokers);
        if (!in_array('ok', array_column($found, 'status'), true)) {
            return $found;
        }

        return array_map(static fn (Finding $one): Finding => $one->orWarning(), $found);
    }

    /** @return list<Finding> */
    public function topology(): array
    {
        try {
            $connection = $this->connectToOneOf(Broker::fromUrls($this->url));
        } catch (Throwable) {
            return [Finding::skipped('exchange', 'needs the broker'), Finding::skipped('queues', 'needs the broker')];
        }
        try {
            return [
                $this->exchange($connection),
                $this->queue($connection, Topology::VIEWS_QUEUE, needsConsumers: true),
                $this->queue($connection, Topology::DEAD_QUEUE, needsConsumers: false),
            ];
        } finally {
            $connection->leave();
        }
    }

    /** @throws PublishFailed */
    public function publish(EncodedView $view): void
    {
        // A new transport: the pages' transport may have found the broker away a moment ago, and would not try again.
        $transport = new AmqpTransport(
            $this->url,
            connectSeconds: self::CONNECT_SECONDS,
            confirmSeconds: self::ANSWER_SECONDS,
            flushSeconds: 2 * self::ANSWER_SECONDS,
            tls: $this->tls,
        );
        $transport->publish([$view]);
        $transport->disconnect();
    }

    private function broker(Broker $broker): Finding
    {
        $since = hrtime(true);
        try {
            $this->connect($broker)->leave();
        } catch (Throwable $error) {
            return Finding::failed('broker', "{$broker->name()}: {$error->getMessage()}", self::whatToDo($error->getMessage()));
        }
        $ms = intdiv(hrtime(true) - $since, 1_000_000);

        return Finding::ok('broker', "{$broker->name()}: connected and logged in, $ms ms");
    }

    /**
     * @param non-empty-list<Broker> $brokers
     * @throws Throwable the last failure
     */
    private function connectToOneOf(array $brokers): EagerConnection
    {
        foreach ($brokers as $index => $broker) {
            try {
                return $this->connect($broker);
            } catch (Throwable $error) {
                if ($index === count($brokers) - 1) {
                    throw $error;
                }
            }
        }
    }

    private function connect(Broker $broker): EagerConnection
    {
        $connection = new EagerConnection(
            $broker,
            self::CONNECT_SECONDS,
            self::ANSWER_SECONDS,
            'postviews doctor',
            $this->tls,
        );
        $connection->awaitOpen(self::ANSWER_SECONDS);

        return $connection;
    }

    private static function whatToDo(string $message): string
    {
        return match (true) {
            preg_match('/ACCESS_REFUSED|\b403\b/', $message) === 1
                => 'Check user and password in POSTVIEWS_AMQP_URL. ' . self::SPECIAL_CHARACTERS,
            preg_match('/NOT_ALLOWED|\b530\b|vhost/', $message) === 1
                => 'Check the virtual host in POSTVIEWS_AMQP_URL, and whether the user may use it (rabbitmqctl list_permissions).',
            default => 'Is RabbitMQ running there, on that port, and may this machine reach it? Use amqps:// only with TLS.',
        };
    }

    private function exchange(EagerConnection $connection): Finding
    {
        $name = Topology::EXCHANGE;

        return $this->look(
            $connection,
            'exchange',
            "the exchange $name",
            static fn (AMQPChannel $on) => $on->exchange_declare($name, 'topic', passive: true),
            static fn (): Finding => Finding::ok('exchange', "$name exists"),
        );
    }

    private function queue(EagerConnection $connection, string $name, bool $needsConsumers): Finding
    {
        return $this->look(
            $connection,
            'queue',
            "the queue $name",
            static fn (AMQPChannel $on) => $on->queue_declare($name, passive: true),
            static fn (array $answer): Finding => $needsConsumers && $answer[2] === 0
                ? Finding::failed(
                    'queue',
                    "$name: " . self::many($answer[1], 'message') . ', but no consumer',
                    'Start the service (postviews serve, or consume) with the AMQP_URL of this broker and virtual host.',
                )
                : Finding::ok('queue', "$name: " . self::many($answer[1], 'message')
                    . ($needsConsumers ? ', ' . self::many($answer[2], 'consumer') : '')),
        );
    }

    private static function many(int $count, string $what): string
    {
        return $count . ' ' . Str::plural($what, $count);
    }

    /** Uses a new channel, because asking for something that does not exist closes it. */
    private function look(
        EagerConnection $connection,
        string $name,
        string $what,
        callable $ask,
        callable $found,
    ): Finding {
        try {
            $channel = $connection->channel();
            $answer = $ask($channel);
            $channel->close();

            return $found(is_array($answer) ? $answer : []);
        } catch (AMQPProtocolChannelException $error) {
            return match ($error->getCode()) {
                404 => Finding::warning(
                    $name,
                    "$what does not exist yet",
                    'Start the service, which declares it. Publishing the first view declares it too.',
                ),
                403 => Finding::warning($name, "the user may not inspect $what", 'Publishing may work nevertheless: see the test view.'),
                default => Finding::warning($name, "$what: {$error->getMessage()}", 'See the log of RabbitMQ.'),
            };
        } catch (Throwable $error) {
            return Finding::failed($name, "$what: {$error->getMessage()}", 'See the log of RabbitMQ.');
        }
    }
}
