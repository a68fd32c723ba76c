<?php

declare(strict_types=1);

namespace Postviews\Publishing;

/** The way of views out of this process. */
interface Transport
{
    /**
     * Returns when all of them are safe where they were sent.
     *
     * @param list<EncodedView> $views
     * @throws PublishFailed with those that are not known to be safe
     */
    public function publish(array $views): void;
}
