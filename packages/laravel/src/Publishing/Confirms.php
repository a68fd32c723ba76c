<?php

declare(strict_types=1);

namespace Postviews\Publishing;

/**
 * What the broker has said about the messages of one channel.
 *
 * @internal
 */
final class Confirms
{
    /** The queue is full, or its cluster has no majority; a channel may refuse everything from then on. */
    public bool $isRefused = false;
    /** @var array<string, true> the ids of messages that a queue has on disk */
    private array $confirmed = [];
    /** @var array<string, true> the ids of messages that came back, because no queue is bound for them */
    private array $returned = [];

    public function confirm(string $messageId): void
    {
        // A message that came back is confirmed as well, right after.
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

    /** Of the messages so far: a kept channel has others to come. */
    public function forget(): void
    {
        $this->confirmed = $this->returned = [];
    }
}
