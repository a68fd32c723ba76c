<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Exception\AMQPTimeoutException;

/**
 * A channel in confirm mode that is opened without waiting for the broker's answers.
 *
 * @internal
 */
final class EagerChannel extends AMQPChannel
{
    public readonly Confirms $confirms;
    private bool $isSpeaking = true;
    /** The deadline of `awaitConfirms`, by the monotonic clock, in seconds. */
    private float $deadline = INF;

    public function __construct(EagerConnection $connection, float $answerSeconds)
    {
        parent::__construct($connection, null, true, $answerSeconds);
        $this->is_open = true;
        $this->confirm_select();
        $this->isSpeaking = false;

        $confirms = $this->confirms = new Confirms();
        // Static: a closure that refers to this channel would keep it, and its connection, until PHP collects cycles.
        $this->set_ack_handler(static function ($message) use ($confirms): void {
            $confirms->confirm($message->get('message_id'));
        });
        $this->set_nack_handler(static function () use ($confirms): void {
            $confirms->isRefused = true;
        });
        $this->set_return_listener(static function ($code, $text, $exchange, $key, $message) use ($confirms): void {
            $confirms->return($message->get('message_id'));
        });
    }

    public function wait($allowed_methods = null, $non_blocking = false, $timeout = 0)
    {
        if ($this->isSpeaking) {
            return null;
        }
        if ($this->deadline !== INF) {
            // Never 0, which means no timeout.
            $timeout = min($timeout, max(0.001, $this->deadline - hrtime(true) / 1e9));
        }

        return parent::wait($allowed_methods, $non_blocking, $timeout);
    }

    /**
     * Waits until every message is confirmed or has come back. The library's own timeout applies to each answer, and there may be
     * many.
     *
     * @throws AMQPTimeoutException
     */
    public function awaitConfirms(float $eachSeconds, float $deadline): void
    {
        $this->deadline = $deadline;
        try {
            $this->wait_for_pending_acks_returns($eachSeconds);
        } finally {
            $this->deadline = INF;
        }
    }
}
