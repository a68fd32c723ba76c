<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use PhpAmqpLib\Channel\AMQPChannel;

/**
 * A channel in confirm mode, opened without waiting for the broker to say so.
 *
 * @internal
 */
final class EagerChannel extends AMQPChannel
{
    public readonly Confirms $confirms;
    private bool $isSpeaking = true;

    public function __construct(EagerConnection $connection, float $answerSeconds)
    {
        parent::__construct($connection, null, true, $answerSeconds);
        $this->is_open = true;
        $this->confirm_select();
        $this->isSpeaking = false;

        $confirms = $this->confirms = new Confirms();
        // Static: a closure that held this channel would keep it, and its connection, until PHP collects cycles.
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
        return $this->isSpeaking ? null : parent::wait($allowed_methods, $non_blocking, $timeout);
    }
}
