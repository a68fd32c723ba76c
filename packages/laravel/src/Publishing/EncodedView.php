<?php

declare(strict_types=1);

namespace Postviews\Publishing;

/** One view in wire format. Sent again, it has the same bytes, and is counted once. */
final class EncodedView
{
    /**
     * @param string $messageId a UUID: the AMQP `message_id`, if the message has only this view
     * @param string $json the event, with its `event_id` and `timestamp`
     */
    public function __construct(
        public readonly string $messageId,
        public readonly string $json,
    ) {
    }

    /** @return array{id: string, json: string} for a job queue, whose jobs may be older than this class */
    public function toArray(): array
    {
        return ['id' => $this->messageId, 'json' => $this->json];
    }

    /** @param array{id: string, json: string} $view */
    public static function fromArray(array $view): self
    {
        return new self($view['id'], $view['json']);
    }
}
