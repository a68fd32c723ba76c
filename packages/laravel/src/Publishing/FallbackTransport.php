<?php

declare(strict_types=1);

namespace Postviews\Publishing;

/**
 * Sends views one way, and what that way does not take the other. Each `publish` tries the first way again.
 *
 *     new FallbackTransport(new RelayTransport('/run/postviews.sock'), new AmqpTransport('amqp://…'))
 *
 * A view that both have taken, as the answer of the first was lost, has the same id on both, and is counted once.
 */
final class FallbackTransport implements EarlyTransport
{
    public function __construct(
        private readonly Transport $first,
        private readonly Transport $second,
    ) {
    }

    public function begin(EncodedView $view): void
    {
        if ($this->first instanceof EarlyTransport) {
            $this->first->begin($view);
        }
    }

    public function publish(array $views): void
    {
        try {
            $this->first->publish($views);
        } catch (PublishFailed $error) {
            $this->publishOnSecond($error->views, $error->mayHaveArrived);
        }
    }

    /** @param list<EncodedView> $views */
    private function publishOnSecond(array $views, bool $mayHaveArrived): void
    {
        try {
            $this->second->publish($views);
        } catch (PublishFailed $error) {
            throw new PublishFailed(
                $error->getMessage(),
                $error->views,
                $error->isResting,
                $mayHaveArrived || $error->mayHaveArrived,
                $error->isTold,
            );
        }
    }
}
