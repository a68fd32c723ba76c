<?php

declare(strict_types=1);

namespace Postviews\Publishing;

/**
 * A connection to the relay's unix socket: it sends lines, and gets one answer per line, in order.
 *
 * Not a persistent connection of PHP: a request that was aborted between a line and its answer would leave that answer to the
 * next request, which would take it for its own.
 *
 * @internal
 */
final class RelayConnection
{
    /** The limit of Linux's `sockaddr_un`. PHP truncates a longer path, and would connect to something else. */
    private const MAX_PATH_BYTES = 107;
    private const PART_BYTES = 65_536;
    /** The longest answer has a code and a sentence. */
    private const MAX_ANSWER_BYTES = 4_096;

    private const CODES = ['ENOENT' => 2, 'EACCES' => 13, 'EAGAIN' => 11, 'ENOTDIR' => 20, 'ECONNREFUSED' => 111];

    /** The process that owns the connection: a forked child has only a copy. */
    private readonly int $pid;
    private string $received = '';

    /** @param resource $stream */
    private function __construct(private readonly string $socket, private $stream)
    {
        $this->pid = (int) getmypid();
    }

    /** Why a path cannot be used, regardless of what exists there; null if it can. */
    public static function problemWith(string $socket): ?string
    {
        return match (true) {
            $socket === '' => 'the socket of the relay is not set: use the RELAY_SOCKET of postviews-relay',
            !str_starts_with($socket, '/') || str_contains($socket, "\0")
                => "the relay's socket is not an absolute path such as /run/postviews.sock",
            strlen($socket) > self::MAX_PATH_BYTES
                => "the path of the relay's socket has " . strlen($socket) . ' bytes; a unix socket takes '
                    . self::MAX_PATH_BYTES,
            default => null,
        };
    }

    /** @throws RelayLost with a message that says what to do */
    public static function open(string $socket, float $seconds): self
    {
        $stream = @stream_socket_client("unix://$socket", $code, $message, $seconds);
        if ($stream === false) {
            throw RelayLost::away(self::whyNot($socket, (int) $code, (string) $message));
        }

        return new self($socket, $stream);
    }

    /**
     * False if the relay has ended the connection, if it has sent something unasked, or if the connection is the parent's. Does not
     * block.
     */
    public function isUsable(): bool
    {
        // Unasked data would be taken for the next answer.
        if (!$this->isOwn() || $this->received !== '') {
            return false;
        }
        stream_set_blocking($this->stream, false);
        $unasked = @fread($this->stream, 1);
        stream_set_blocking($this->stream, true);

        return ($unasked === '' || $unasked === false) && !stream_get_meta_data($this->stream)['eof'];
    }

    /** False in a forked process, whose parent continues to use it. */
    public function isOwn(): bool
    {
        return $this->pid === getmypid();
    }

    /** Does not block. False: an unknown part of the line was sent, so nothing may follow it. */
    public function sendAtOnce(string $line): bool
    {
        stream_set_blocking($this->stream, false);
        $written = @fwrite($this->stream, $line);
        stream_set_blocking($this->stream, true);

        return $written === strlen($line);
    }

    /**
     * @param float $deadline by the monotonic clock, in seconds
     * @throws RelayLost
     */
    public function send(string $lines, float $deadline): void
    {
        for ($sent = 0; $sent < strlen($lines); $sent += $written) {
            $this->allow($deadline);
            $written = @fwrite($this->stream, substr($lines, $sent, self::PART_BYTES));
            if ($written === false || $written === 0) {
                throw $this->failure();
            }
        }
    }

    /**
     * @param float $deadline as above
     * @return string one line, without its end
     * @throws RelayLost
     */
    public function answer(float $deadline): string
    {
        while (($end = strpos($this->received, "\n")) === false) {
            if (strlen($this->received) > self::MAX_ANSWER_BYTES) {
                throw RelayLost::strange($this->socket);
            }
            $this->allow($deadline);
            $bytes = @fread($this->stream, self::PART_BYTES);
            if ($bytes === false || $bytes === '') {
                throw $this->failure();
            }
            $this->received .= $bytes;
        }
        $line = substr($this->received, 0, $end);
        $this->received = substr($this->received, $end + 1);

        return rtrim($line, "\r");
    }

    /** Tells the relay that no line follows. @throws RelayLost unless the relay then ends the connection, as it should */
    public function awaitEnd(float $deadline): void
    {
        stream_socket_shutdown($this->stream, STREAM_SHUT_WR);
        $this->allow($deadline);
        $bytes = @fread($this->stream, 1);
        if ($bytes !== '' && $bytes !== false) {
            throw RelayLost::strange($this->socket);
        }
        if (!stream_get_meta_data($this->stream)['eof']) {
            throw RelayLost::late($this->socket);
        }
    }

    /** @throws RelayLost after the deadline */
    private function allow(float $deadline): void
    {
        $microseconds = (int) (1e6 * ($deadline - hrtime(true) / 1e9));
        if ($microseconds <= 0) {
            throw RelayLost::late($this->socket);
        }
        stream_set_timeout($this->stream, intdiv($microseconds, 1_000_000), $microseconds % 1_000_000);
    }

    private function failure(): RelayLost
    {
        return stream_get_meta_data($this->stream)['timed_out']
            ? RelayLost::late($this->socket)
            : RelayLost::ended($this->socket);
    }

    private static function whyNot(string $socket, int $code, string $message): string
    {
        return match ($code) {
            self::CODES['ENOENT'], self::CODES['ENOTDIR']
                => "there is no socket $socket: start postviews-relay, or name its RELAY_SOCKET",
            self::CODES['EACCES']
                => 'the user ' . self::user() . " may not write to the socket $socket: add it to the socket's group, and "
                    . 'restart PHP; it must also be allowed to enter the folder',
            self::CODES['ECONNREFUSED'] => in_array(@filetype($socket), ['socket', false], true)
                ? "nobody listens on the socket $socket: start postviews-relay"
                : "$socket is not a socket: use the RELAY_SOCKET of postviews-relay",
            self::CODES['EAGAIN'] => "the relay at $socket accepts no more connections: it hangs",
            default => "the socket $socket: $message",
        };
    }

    private static function user(): string
    {
        $id = function_exists('posix_geteuid') ? posix_geteuid() : null;
        $user = $id === null ? false : posix_getpwuid($id);

        return $user === false ? (string) ($id ?? 'of this process') : $user['name'];
    }
}
