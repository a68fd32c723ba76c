<?php

declare(strict_types=1);

namespace Postviews\Publishing;

/**
 * The broker's answers about the messages of one channel.
 *
 * @internal
 */
final class Confirms
{
    /** The queue is full, or its cluster has no majority. The channel may refuse everything from then on. */
    public bool $isRefused = false;
    /** @var array<string, true> the ids of messages that a queue has on disk */
    private array $confirmed = [];
    /** @var array<string, true> the ids of messages that came back, because no queue is bound for their routing key */
    private array $returned = [];

    public function confirm(string $messageId): void
    {
        // The broker also confirms a message that came back, right afterwards.
        if (!isset($this->returned[$messageId])) {
            $this->confirmed[$messageId] = true;
        }
    }

    public function return(string $messageId): void
    {
        $this->returned[$messageId] = true;
    }

    public function isConfirmed(string $messageId): bool
    {
        return isset($this->confirmed[$messageId]);
    }

    public function hasReturned(): bool
    {
        return $this->returned !== [];
    }

    /** Forgets the messages so far: a channel that is kept is used for other messages later. */
    public function forget(): void
    {
        $this->confirmed = $this->returned = [];
    }
}
