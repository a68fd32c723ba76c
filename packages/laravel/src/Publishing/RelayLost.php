<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use RuntimeException;

/**
 * The relay does not take the remaining views.
 *
 * @internal
 */
final class RelayLost extends RuntimeException
{
    private function __construct(
        string $message,
        /** The connection had ended; a new one may work. */
        public readonly bool $hasEnded = false,
        /** Lines were sent, but not answered. */
        public readonly bool $mayHaveArrived = false,
        /** Each further try would waste time, so the relay is left alone for a while. */
        public readonly bool $needsRest = false,
    ) {
        parent::__construct($message);
    }

    /** There is no connection. A further try takes only microseconds. */
    public static function away(string $why): self
    {
        return new self($why);
    }

    public static function ended(string $socket): self
    {
        return new self("the relay at $socket has ended the connection", hasEnded: true, mayHaveArrived: true);
    }

    public static function late(string $socket): self
    {
        return new self(
            "the relay at $socket does not answer in time: it hangs, or its disk is slow",
            mayHaveArrived: true,
            needsRest: true,
        );
    }

    public static function strange(string $socket): self
    {
        return new self(
            "what listens at $socket does not answer like postviews-relay: use the RELAY_SOCKET of the relay",
            mayHaveArrived: true,
            needsRest: true,
        );
    }

    /** @param string $code why it takes nothing at the moment */
    public static function refused(string $socket, string $code): self
    {
        return new self("the relay at $socket refuses views: " . match ($code) {
            'full' => 'its spool is full (full): see whether it reaches the broker, or raise RELAY_MAX_BYTES',
            'disk' => 'its spool cannot be written (disk): see its log',
            default => "it is being stopped ($code)",
        }, needsRest: $code !== 'stopping');
    }
}
