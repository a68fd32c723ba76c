<?php

declare(strict_types=1);

namespace Postviews\Publishing;

/**
 * Sends views through one transport, and those that it does not take through another. Each `publish` tries the first one again.
 *
 *     new FallbackTransport(new RelayTransport('/run/postviews.sock'), new AmqpTransport('amqp://…'))
 *
 * If an answer of the first one is lost, both may take the same view. It has the same id in both, and is counted once.
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
