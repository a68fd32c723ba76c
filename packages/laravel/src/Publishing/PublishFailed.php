<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use RuntimeException;

/**
 * The broker or the relay has not taken these views, or has not confirmed them: they may be sent again, unchanged.
 *
 * It has no previous exception, whose trace could hold the broker's password.
 */
final class PublishFailed extends RuntimeException
{
    /**
     * @param list<EncodedView> $views
     * @param bool $isResting nothing was tried: the broker was away a moment ago
     * @param bool $mayHaveArrived some of them were sent, and only their confirm is missing
     * @param bool $isTold the transport has logged the reason itself, so the tracker must not log it again
     */
    public function __construct(
        string $message,
        public readonly array $views,
        public readonly bool $isResting = false,
        public readonly bool $mayHaveArrived = false,
        public readonly bool $isTold = false,
    ) {
        parent::__construct($message);
    }
}
