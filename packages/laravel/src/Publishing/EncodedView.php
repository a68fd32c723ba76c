<?php

declare(strict_types=1);

namespace Postviews\Publishing;

/** One view as it travels. Sent again, it is the same to the byte, and is counted once. */
final class EncodedView
{
    /**
     * @param string $messageId a UUID: the AMQP `message_id`, if the view travels alone
     * @param string $json the event, with its `event_id` and `timestamp`
     */
    public function __construct(
        public readonly string $messageId,
        public readonly string $json,
    ) {
    }

    /** @return array{id: string, json: string} for a queue of jobs: what waits there may be older than this class */
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
