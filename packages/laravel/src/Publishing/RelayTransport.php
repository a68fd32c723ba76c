<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use Closure;
use Throwable;

/**
 * Gives views to postviews-relay on this machine, over its unix socket, and waits until they are in its spool on disk. The relay
 * publishes them, however long the broker is away. A page waits half a millisecond for it.
 *
 * | the relay | what happens to the views |
 * |---|---|
 * | answers `ok` | they are safe |
 * | is not there, does not answer in time, has no room | `PublishFailed` with those not answered `ok`; `relay.lost` is logged once, until a try succeeds |
 * | refuses a view because of its content | logged as dropped, and never sent again, because it would always be refused |
 * | ends the connection, because it was restarted | sent again at once, on another connection |
 *
 * A view is written to the socket when it is tracked, and its answer is read when it is published, so the relay works while the
 * page is rendered. An unanswered view may have been taken. It is sent again with the same id, and is counted once.
 *
 * The connection lives as long as this object: for a page under PHP-FPM, and as long as the worker under Octane or on a
 * queue.
 */
final class RelayTransport implements EarlyTransport
{
    /** Lines sent before their answers are read: lines and answers then fit into the socket's buffers. */
    private const VIEWS_AT_ONCE = 100;
    /** The limit for unanswered early views: a socket's buffer takes this much even if nobody reads. */
    private const MAX_BEGUN_BYTES = 65_536;
    /** Temporary refusals; any other code is about the view itself. */
    private const TEMPORARY = ['full', 'disk', 'stopping'];

    /** The path of the relay's socket. */
    public readonly string $socket;
    private readonly SharedRest $rest;
    private ?RelayConnection $connection = null;
    /** @var list<string> the ids of the views that were sent and whose answers are still to be read, in this order */
    private array $begun = [];
    private int $begunBytes = 0;
    /** Whether some views were sent whose answers will never arrive. */
    private bool $mayHaveArrived = false;
    /** @var array<string, int> number of views that the relay will never take, by its code */
    private array $refused = [];

    /**
     * @param string $socket the RELAY_SOCKET of the relay, an absolute path. `publish` reports what is wrong with it
     * @param ?Closure(string $event, string $detail): void $log
     * @param ?string $restFolder where processes of this machine tell each other that the relay does not answer
     * @param float $answerSeconds for the answers to a hundred views
     * @param float $flushSeconds for all of a `publish`
     * @param float $restSeconds a relay that has not answered, or has no room, is left alone for this long. One that is
     *     not there is tried each time, which costs nothing
     */
    public function __construct(
        string $socket,
        private readonly ?Closure $log = null,
        ?string $restFolder = null,
        private readonly float $answerSeconds = 0.5,
        private readonly float $flushSeconds = 2.0,
        float $restSeconds = 5.0,
    ) {
        // The form of the URL in a tracker on Node.
        $this->socket = (string) preg_replace('~^unix:(?://)?~', '', $socket);
        $this->rest = new SharedRest($restFolder, "relay $this->socket", $restSeconds, $log);
    }

    public function begin(EncodedView $view): void
    {
        $bytes = ($this->begun === [] ? 0 : $this->begunBytes) + strlen($view->json) + 1;
        if (count($this->begun) >= self::VIEWS_AT_ONCE || $bytes > self::MAX_BEGUN_BYTES || !$this->rest->isWell()) {
            return;
        }
        try {
            if (!$this->connectionFor(hasBegun: $this->begun !== [])->sendAtOnce("$view->json\n")) {
                $this->mayHaveArrived = true;
                $this->disconnect();
            } else {
                $this->begun[] = $view->messageId;
                $this->begunBytes = $bytes;
            }
        } catch (RelayLost) {
            // `publish` has the same problem, and reports it.
        }
    }

    public function publish(array $views): void
    {
        if ($views === []) {
            return;
        }
        if (!$this->rest->mayTry()) {
            throw new PublishFailed(
                'the relay was away a moment ago, and is not tried again yet',
                $views,
                isResting: true,
                mayHaveArrived: $this->mayHaveArrived || $this->begun !== [],
            );
        }
        $left = array_values($views);
        try {
            $this->sendAll($left);
            $this->rest->succeeded();
        } catch (RelayLost $error) {
            $isNews = !$this->rest->wasAway();
            $this->rest->failed($error->needsRest);
            if ($isNews) {
                $this->tell('relay.lost', $error->getMessage());
            }
            throw new PublishFailed(
                $error->getMessage(),
                array_values($left),
                mayHaveArrived: $this->mayHaveArrived,
                isTold: true,
            );
        } finally {
            $this->mayHaveArrived = false;
            $this->rest->release();
            $this->tellRefused();
        }
    }

    /** Ends the connection. The next `publish` connects again, and repeats unanswered views. */
    public function disconnect(): void
    {
        $this->mayHaveArrived = $this->mayHaveArrived || $this->begun !== [];
        $this->begun = [];
        $this->connection = null;
    }

    /**
     * Whether a process listens there and reads its input. Sends nothing.
     *
     * @throws RelayLost with a message that says what to do
     */
    public function check(): void
    {
        $this->open()->awaitEnd(hrtime(true) / 1e9 + $this->answerSeconds);
    }

    /**
     * @param array<int, EncodedView> $left views with a final answer are removed
     * @throws RelayLost
     */
    private function sendAll(array &$left): void
    {
        $deadline = hrtime(true) / 1e9 + $this->flushSeconds;
        $isForgiven = false;
        while ($left !== []) {
            try {
                $this->sendSome($left, min($deadline, hrtime(true) / 1e9 + $this->answerSeconds));
            } catch (RelayLost $error) {
                // A late answer would be taken for another view's.
                $this->disconnect();
                $this->mayHaveArrived = $this->mayHaveArrived || $error->mayHaveArrived;
                if (!$error->hasEnded || $isForgiven) {
                    throw $error;
                }
                $isForgiven = true;
            }
        }
    }

    /**
     * Awaits the answers to views sent early; if there are none, sends some of the remaining views first.
     *
     * @param array<int, EncodedView> $left
     * @throws RelayLost
     */
    private function sendSome(array &$left, float $deadline): void
    {
        $connection = $this->connectionFor(hasBegun: $this->begun !== []);
        $ids = $this->begun;
        if ($ids === []) {
            $some = array_values(array_slice($left, 0, self::VIEWS_AT_ONCE));
            $ids = array_column($some, 'messageId');
            $connection->send(implode("\n", array_column($some, 'json')) . "\n", $deadline);
        }
        $codes = [];
        try {
            foreach ($ids as $id) {
                $codes[$id] = $this->codeOf($connection->answer($deadline));
            }
            $this->begun = [];
        } finally {
            $refusal = $this->settle($left, $codes);
        }
        if ($refusal !== null) {
            throw RelayLost::refused($this->socket, $refusal);
        }
    }

    /**
     * @param array<int, EncodedView> $left
     * @param array<string, ?string> $codes by the ids of views; null: taken
     * @return ?string why some of them are refused for now
     */
    private function settle(array &$left, array $codes): ?string
    {
        $refusal = null;
        foreach ($left as $key => $view) {
            if (!array_key_exists($view->messageId, $codes)) {
                continue;
            }
            $code = $codes[$view->messageId];
            if (in_array($code, self::TEMPORARY, true)) {
                $refusal = $code;
                continue;
            }
            unset($left[$key]);
            if ($code !== null) {
                $this->refused[$code] = ($this->refused[$code] ?? 0) + 1;
            }
        }

        return $refusal;
    }

    /**
     * @param bool $hasBegun whether views were already sent: then their answers come on the present connection
     * @throws RelayLost
     */
    private function connectionFor(bool $hasBegun): RelayConnection
    {
        if ($hasBegun && $this->connection?->isOwn() === true) {
            return $this->connection;
        }
        if ($this->connection?->isUsable() !== true) {
            // In a forked process, the early views belong to the parent, which reads their answers.
            $this->begun = [];
            $this->connection = $this->open();
        }

        return $this->connection;
    }

    /**
     * @return ?string null: it is taken
     * @throws RelayLost if it is not an answer
     */
    private function codeOf(string $answer): ?string
    {
        if ($answer === 'ok') {
            return null;
        }
        if (preg_match('/^refused: ([a-z_]{1,40})(?::|$)/D', $answer, $match) !== 1) {
            throw RelayLost::strange($this->socket);
        }

        return $match[1];
    }

    /** @throws RelayLost */
    private function open(): RelayConnection
    {
        $problem = RelayConnection::problemWith($this->socket);
        if ($problem !== null) {
            throw RelayLost::away($problem);
        }

        return RelayConnection::open($this->socket, $this->answerSeconds);
    }

    private function tellRefused(): void
    {
        foreach ($this->refused as $code => $views) {
            $this->tell('view.dropped', "$views " . ($views === 1 ? 'view' : 'views') . ": permanently refused by the relay ($code)");
        }
        $this->refused = [];
    }

    private function tell(string $event, string $detail): void
    {
        try {
            if ($this->log !== null) {
                ($this->log)($event, $detail);
            }
        } catch (Throwable) {
            // Logging itself has failed, so this cannot be logged.
        }
    }
}
