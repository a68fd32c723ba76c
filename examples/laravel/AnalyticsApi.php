<?php

declare(strict_types=1);

namespace App\Services;

use Closure;
use DateTimeImmutable;
use DateTimeInterface;
use DateTimeZone;
use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Connection\AbstractConnection;
use PhpAmqpLib\Connection\AMQPConnectionConfig;
use PhpAmqpLib\Connection\AMQPConnectionFactory;
use PhpAmqpLib\Exception\AMQPProtocolChannelException;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;
use RuntimeException;
use Stringable;
use Throwable;

/**
 * Publishes the views of posts to RabbitMQ, for postviews to count.
 *
 *     if (AnalyticsApi::showsPost(request()->server->all())) {
 *         $this->analyticsApi->trackView([
 *             'post_uuid'  => $post->uuid,      // or 'post_id' => $post->id
 *             'user_id'    => auth()->id(),     // null: an anonymous reader
 *             'ip'         => request()->ip(),
 *             'user_agent' => request()->userAgent(),
 *             'referer'    => request()->headers->get('referer'),
 *         ]);
 *     }
 *
 * `trackView` only remembers; `flush`, to be called when the page is with its reader, sends all that was remembered as
 * persistent messages and waits, briefly, until the broker has confirmed them. Neither ever throws.
 *
 * | outcome of a view | when |
 * |---|---|
 * | confirmed: it is on disk in a queue that postviews reads | `flush` has returned |
 * | still remembered: the broker is away, or did not confirm | until the next `flush` of this process |
 * | dropped, and `$log` is told | this process ends, or remembers too many |
 *
 * Each view gets an id and its time when it is tracked. What may have arrived is sent again under the same id, and is
 * counted once.
 */
final class AnalyticsApi
{
    private const EXCHANGE = 'post.events';
    private const ROUTING_KEY = 'post.viewed';
    private const VIEWS_QUEUE = 'postviews.views';
    private const DEAD_QUEUE = 'postviews.dead';
    private const NO_DELIVERY_LIMIT = 2147483647;

    private const MAX_WAITING = 1000;
    private const VIEWS_PER_MESSAGE = 50;
    private const MAX_USER_AGENT_CHARACTERS = 2000;
    private const MAX_REFERER_CHARACTERS = 500;

    /** The nil and the max UUID: what programs send that set no id. */
    private const NO_IDS = ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'];

    /** In which browsers say why they ask for a page: Chromium and Safari, their older versions, Firefox, old Safari. */
    private const PURPOSE_HEADERS = ['HTTP_SEC_PURPOSE', 'HTTP_PURPOSE', 'HTTP_X_MOZ', 'HTTP_X_PURPOSE'];

    /** @var list<array{id: string, json: string}> each view, and the message_id that it has when it travels alone */
    private array $waiting = [];
    private ?AbstractConnection $connection = null;
    private ?AMQPChannel $channel = null;
    private bool $isReturned = false;
    private bool $isRefused = false;
    private float $restsUntil = 0.0;
    /** The host whose turn it is. */
    private int $host = 0;
    private float $deadline = 0.0;

    /**
     * @param string|list<string> $url `amqp://user:password@host:5672/vhost`, or `amqps://`; for a cluster that of each
     *     node, with commas between them (a comma inside one is %2C) or as an array
     * @param ?Closure(string $event, string $detail): void $log told of what went wrong; never of a view
     * @param ?string $restFile a file that says to all processes on this machine when the broker was last away
     * @param float $connectSeconds at most so long for connecting
     * @param float $confirmSeconds at most so long for the broker's confirm
     * @param int $restSeconds after a failure the broker is left alone for so long
     * @param float $flushSeconds after so long `flush` tries no further host, and waits for no further confirm
     */
    public function __construct(
        private readonly string|array $url,
        private readonly ?Closure $log = null,
        private readonly ?string $restFile = null,
        private readonly float $connectSeconds = 0.5,
        private readonly float $confirmSeconds = 1.0,
        private readonly int $restSeconds = 5,
        private readonly float $flushSeconds = 3.0,
    ) {
    }

    public function __destruct()
    {
        $this->flush();
        if ($this->waiting !== []) {
            $this->tell('view.dropped', count($this->waiting) . ' views, the process has ended');
        }
        $this->disconnect();
    }

    /**
     * False for a request that shows the post to nobody: HEAD, a page that a browser fetches or renders in advance, or for
     * a preview.
     *
     * @param array<string, mixed> $server `request()->server->all()`, or `$_SERVER` outside Laravel
     */
    public static function showsPost(array $server): bool
    {
        if (strtoupper((string) ($server['REQUEST_METHOD'] ?? 'GET')) === 'HEAD') {
            return false;
        }
        foreach (self::PURPOSE_HEADERS as $name) {
            if (preg_match('/(?:^|[\s,;])(?:prefetch|prerender|preview)(?:$|[\s,;])/i', (string) ($server[$name] ?? ''))) {
                return false;
            }
        }
        return true;
    }

    /** Takes one view. Never throws, never waits, whatever it is given. */
    public function trackView(array $view): void
    {
        try {
            if (count($this->waiting) >= self::MAX_WAITING) {
                $this->tell('view.dropped', 'too many are waiting');
                return;
            }
            foreach (['event_id', 'post_uuid', 'post_id', 'user_id'] as $name) {
                if (isset($view[$name])) {
                    $view[$name] = self::idAsJson($view[$name]);
                }
            }
            $id = $view['event_id'] ?? null;
            if ($id === null || (is_string($id) && in_array(strtolower($id), self::NO_IDS, true))) {
                $view['event_id'] = self::uuid7();
            }
            $time = $view['timestamp'] ?? $view['viewed_at'] ?? new DateTimeImmutable();
            $view['timestamp'] = $time instanceof DateTimeInterface ? self::utc($time) : $time;
            $view['user_agent'] = self::cut($view['user_agent'] ?? null, self::MAX_USER_AGENT_CHARACTERS);
            $view['referer'] = self::cut($view['referer'] ?? $view['referrer'] ?? null, self::MAX_REFERER_CHARACTERS);
            unset($view['viewed_at'], $view['referrer']);
            $json = json_encode(
                $view,
                JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES,
            );
            // AMQP has no room for a long one, and everything that waits would wait for it.
            $isShort = is_string($view['event_id']) && strlen($view['event_id']) === 36;
            $this->waiting[] = ['id' => $isShort ? $view['event_id'] : self::uuid7(), 'json' => $json];
        } catch (Throwable $error) {
            $this->tell('view.dropped', $error->getMessage());
        }
    }

    /** Sends what waits. Never throws; with a broker that is away it takes a moment at first, and then none at all. */
    public function flush(): void
    {
        if ($this->waiting === [] || $this->isResting()) {
            return;
        }
        $this->deadline = microtime(true) + $this->flushSeconds;
        $isAgain = false;
        for ($failures = 0; ; ) {
            try {
                $this->send();
                $this->endRest();
                return;
            } catch (Throwable $error) {
                // A kept connection may have died long ago, or the confirm was lost: a new one may well do.
                $failures += $this->connection === null || $isAgain ? 1 : 0;
                $isAgain = $isAgain || $this->connection !== null;
                $this->abandon();
                if ($failures < count($this->urls()) && microtime(true) < $this->deadline) {
                    continue;
                }
                $this->rest();
                $this->tell('broker.lost', $error->getMessage());
                return;
            }
        }
    }

    private function send(): void
    {
        foreach (array_chunk($this->waiting, self::VIEWS_PER_MESSAGE) as $views) {
            if (!$this->publish($views)) {
                $this->declareTopology();
                if (!$this->publish($views)) {
                    throw new RuntimeException('no queue is bound for views');
                }
            }
            array_splice($this->waiting, 0, count($views));
        }
    }

    /** False when there is no exchange, or no queue bound to it: nothing of postviews was here yet. */
    private function publish(array $views): bool
    {
        $isOne = count($views) === 1;
        $id = $isOne ? $views[0]['id'] : self::uuid7();
        $body = $isOne ? $views[0]['json'] : '[' . implode(',', array_column($views, 'json')) . ']';
        $message = new AMQPMessage($body, [
            'content_type' => 'application/json',
            'delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT,
            'message_id' => $id,
            'timestamp' => time(),
            'type' => self::ROUTING_KEY,
            'app_id' => 'laravel',
        ]);
        $channel = $this->channel();
        $this->isReturned = $this->isRefused = false;
        try {
            $channel->basic_publish($message, self::EXCHANGE, self::ROUTING_KEY, true);
            // Never 0, which would mean for ever.
            $leftSeconds = max(0.1, $this->deadline - microtime(true));
            $channel->wait_for_pending_acks_returns(min($this->confirmSeconds, $leftSeconds));
        } catch (AMQPProtocolChannelException $error) {
            if ($error->getCode() !== 404) {
                throw $error;
            }
            $this->channel = null;
            return false;
        }
        if ($this->isRefused) {
            throw new RuntimeException('the queue takes no more');
        }
        return !$this->isReturned;
    }

    /** Connects when it is first needed; once for each process. */
    private function channel(): AMQPChannel
    {
        $this->connection ??= $this->connect();
        if ($this->channel === null) {
            $channel = $this->connection->channel();
            $channel->confirm_select();
            $channel->set_return_listener(function (): void {
                $this->isReturned = true;
            });
            $channel->set_nack_handler(function (): void {
                $this->isRefused = true;
            });
            $this->channel = $channel;
        }
        return $this->channel;
    }

    private function connect(): AbstractConnection
    {
        $brokers = array_map(self::broker(...), $this->urls());
        if (count(array_unique(array_column($brokers, 'vhost'))) > 1) {
            throw new RuntimeException('the brokers are not all of one virtual host');
        }
        $at = $brokers[$this->host % count($brokers)];
        $config = new AMQPConnectionConfig();
        $config->setHost($at['host']);
        $config->setPort($at['port']);
        $config->setUser($at['user']);
        $config->setPassword($at['pass']);
        $config->setVhost($at['vhost']);
        $config->setIsSecure($at['scheme'] === 'amqps');
        $config->setConnectionTimeout($this->connectSeconds);
        $config->setReadTimeout($this->confirmSeconds);
        $config->setWriteTimeout($this->confirmSeconds);
        $config->setChannelRPCTimeout($this->confirmSeconds);
        return AMQPConnectionFactory::create($config);
    }

    /** @return list<string> */
    private function urls(): array
    {
        $urls = is_array($this->url) ? array_values($this->url) : explode(',', $this->url);
        return array_map(static fn (mixed $url): string => is_string($url) ? trim($url) : '', $urls) ?: [''];
    }

    /** @return array{scheme: string, host: string, port: int, user: string, pass: string, vhost: string} */
    private static function broker(string $url): array
    {
        $at = parse_url($url);
        if (!is_array($at) || !in_array($at['scheme'] ?? '', ['amqp', 'amqps'], true) || !isset($at['host'])) {
            throw new RuntimeException('the broker is not named by an amqp:// or amqps:// URL');
        }
        return [
            'scheme' => $at['scheme'],
            'host' => $at['host'],
            'port' => $at['port'] ?? ($at['scheme'] === 'amqps' ? 5671 : 5672),
            'user' => rawurldecode($at['user'] ?? 'guest'),
            'pass' => rawurldecode($at['pass'] ?? 'guest'),
            'vhost' => rawurldecode(substr($at['path'] ?? '', 1)) ?: '/',
        ];
    }

    /** As postviews itself declares them, so that what is published before it first runs waits for it. */
    private function declareTopology(): void
    {
        $quorum = ['x-queue-type' => 'quorum', 'x-delivery-limit' => self::NO_DELIVERY_LIMIT];
        $views = [
            ...$quorum,
            'x-dead-letter-exchange' => '',
            'x-dead-letter-routing-key' => self::DEAD_QUEUE,
            'x-dead-letter-strategy' => 'at-least-once',
            'x-overflow' => 'reject-publish',
        ];
        $steps = [
            fn (AMQPChannel $on) => $on->exchange_declare(self::EXCHANGE, 'topic', durable: true, auto_delete: false),
            fn (AMQPChannel $on) => self::declareQueue($on, self::DEAD_QUEUE, $quorum),
            fn (AMQPChannel $on) => self::declareQueue($on, self::VIEWS_QUEUE, $views),
            fn (AMQPChannel $on) => $on->queue_bind(self::VIEWS_QUEUE, self::EXCHANGE, self::ROUTING_KEY),
        ];
        foreach ($steps as $step) {
            // A refused declaration closes its channel, so each has one of its own.
            $channel = $this->connection->channel();
            try {
                $step($channel);
                $channel->close();
            } catch (AMQPProtocolChannelException $error) {
                // 406: it is there already, made in another way, and is used as it is.
                if ($error->getCode() !== 406) {
                    throw $error;
                }
            }
        }
    }

    private static function declareQueue(AMQPChannel $channel, string $queue, array $arguments): void
    {
        $channel->queue_declare($queue, durable: true, auto_delete: false, arguments: new AMQPTable($arguments));
    }

    private function isResting(): bool
    {
        if (microtime(true) < $this->restsUntil) {
            return true;
        }
        if ($this->restFile === null) {
            return false;
        }
        clearstatcache(true, $this->restFile);
        $age = time() - (int) @filemtime($this->restFile);
        // A clock that was set back must not make this a rest for ever.
        return $age >= 0 && $age < $this->restSeconds;
    }

    private function rest(): void
    {
        $this->restsUntil = microtime(true) + $this->restSeconds;
        if ($this->restFile !== null && !@touch($this->restFile)) {
            $this->tell('rest.unshared', 'the rest file cannot be written: other processes will try for themselves');
        }
    }

    private function endRest(): void
    {
        if ($this->restsUntil > 0.0 && $this->restFile !== null) {
            @unlink($this->restFile);
        }
        $this->restsUntil = 0.0;
    }

    /** Lets go of a connection that failed, without a word: it might never answer. The next host has its turn. */
    private function abandon(): void
    {
        $this->host++;
        $this->connection?->set_close_on_destruct(false);
        try {
            $this->connection?->getIO()?->close();
        } catch (Throwable) {
            // It is gone already.
        }
        $this->connection = $this->channel = null;
    }

    private function disconnect(): void
    {
        try {
            $this->connection?->close();
        } catch (Throwable) {
            // It is gone already, and nothing waits any more.
        }
        $this->connection = $this->channel = null;
    }

    private function tell(string $event, string $detail): void
    {
        try {
            if ($this->log !== null) {
                ($this->log)($event, $detail);
            }
        } catch (Throwable) {
            // There is nobody to tell: telling is what failed.
        }
    }

    /**
     * As a JSON number, an integer above 2^53 could lose digits on its way, so it goes as text. What is no id stays a
     * number: as text, -5 would be the name of a post.
     */
    private static function idAsJson(mixed $id): mixed
    {
        return $id instanceof Stringable || (is_int($id) && $id > 0) ? (string) $id : $id;
    }

    private static function cut(mixed $text, int $characters): mixed
    {
        return is_string($text) ? mb_substr($text, 0, $characters, 'UTF-8') : $text;
    }

    /** In UTC: then nobody who reads it has to know the rules of its zone. */
    private static function utc(DateTimeInterface $at): string
    {
        return DateTimeImmutable::createFromInterface($at)->setTimezone(new DateTimeZone('UTC'))->format('Y-m-d\TH:i:s.v\Z');
    }

    /** A UUID of version 7: the time in milliseconds, then chance. */
    private static function uuid7(): string
    {
        $hex = str_pad(dechex((int) (microtime(true) * 1000)), 12, '0', STR_PAD_LEFT) . bin2hex(random_bytes(10));
        $hex[12] = '7';
        $hex[16] = dechex(8 | (hexdec($hex[16]) & 3));
        return vsprintf('%s%s-%s-%s-%s-%s%s%s', str_split($hex, 4));
    }
}
