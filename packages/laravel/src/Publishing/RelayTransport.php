<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use Closure;
use Throwable;

/**
 * Gives views to postviews-relay on this machine, over its unix socket, and waits until they are in its spool on the
 * disk; the relay publishes them, however long the broker is away. A page waits half a millisecond for it.
 *
 * | the relay | what becomes of the views |
 * |---|---|
 * | answers `ok` | they are safe |
 * | is not there, does not answer in time, has no room | `PublishFailed`, with those that it has not answered `ok`; the log is told `relay.lost` once, until a try succeeds |
 * | refuses a view for what is in it | told as dropped, and never sent again: it would be refused for ever |
 * | ends the connection, because it was restarted | sent again on another connection at once |
 *
 * A view is written to the socket when it is tracked, and its answer is read when it is published: the relay works while
 * the page is made. What has no answer may have been taken. It is sent again under the same id, and is counted once.
 *
 * The connection is kept for as long as this object lives: for a page under PHP-FPM, and for all of a worker of Octane
 * or of a queue.
 */
final class RelayTransport implements EarlyTransport
{
    /** Before their answers are read: what both sides then have to say fits into the socket's buffers. */
    private const VIEWS_AT_ONCE = 100;
    /** Of what has begun: a socket takes so much at once, though nobody reads. */
    private const MAX_BEGUN_BYTES = 65_536;
    /** What passes; any other code is of the view itself. */
    private const TEMPORARY = ['full', 'disk', 'stopping'];

    /** Its path. */
    public readonly string $socket;
    private readonly SharedRest $rest;
    private ?RelayConnection $connection = null;
    /** @var list<string> the ids of the views that were sent and whose answers are still to be read, in this order */
    private array $begun = [];
    private int $begunBytes = 0;
    /** Whether views that were sent have no answer, and will have none. */
    private bool $mayHaveArrived = false;
    /** @var array<string, int> views that the relay will never take, by its code */
    private array $refused = [];

    /**
     * @param string $socket the RELAY_SOCKET of the relay, an absolute path. `publish` tells what is wrong with it
     * @param ?Closure(string $event, string $detail): void $log
     * @param ?string $restFolder where processes of this machine tell each other that the relay does not answer
     * @param float $answerSeconds for the answers to a hundred views
     * @param float $flushSeconds for all of a `publish`
     * @param float $restSeconds a relay that has not answered, or has no room, is left alone for so long. One that is
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
        // As the URL of a tracker on Node names it.
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
            // `publish` finds that as well, and tells it.
        }
    }

    public function publish(array $views): void
    {
        if ($views === []) {
            return;
        }
        if (!$this->rest->mayTry()) {
            throw new PublishFailed(
                'the relay was away a moment ago, and is left alone for now',
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

    /** Ends the connection. The next `publish` connects again, and sends what has no answer again. */
    public function disconnect(): void
    {
        $this->mayHaveArrived = $this->mayHaveArrived || $this->begun !== [];
        $this->begun = [];
        $this->connection = null;
    }

    /**
     * Whether a process listens there and reads what it is sent. It is sent nothing.
     *
     * @throws RelayLost which says what to do
     */
    public function check(): void
    {
        $this->open()->awaitEnd(hrtime(true) / 1e9 + $this->answerSeconds);
    }

    /**
     * @param array<int, EncodedView> $left what is answered for good is taken out
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
                // An answer that comes later would be taken for that of another view.
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
     * Awaits the answers to what has begun; if nothing has, sends some of what is left first.
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
     * @param bool $hasBegun the connection is wanted on which that was
     * @throws RelayLost
     */
    private function connectionFor(bool $hasBegun): RelayConnection
    {
        if ($hasBegun && $this->connection?->isOwn() === true) {
            return $this->connection;
        }
        if ($this->connection?->isUsable() !== true) {
            // In a forked process: what has begun is its parent's, who reads the answers.
            $this->begun = [];
            $this->connection = $this->open();
        }

        return $this->connection;
    }

    /**
     * @return ?string null: it is taken
     * @throws RelayLost for what is no answer
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
            $this->tell('view.dropped', "$views " . ($views === 1 ? 'view' : 'views') . ": the relay refuses such for ever ($code)");
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
            // There is nobody to tell: telling is what failed.
        }
    }
}
