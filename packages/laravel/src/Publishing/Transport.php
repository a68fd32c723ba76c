<?php

declare(strict_types=1);

namespace Postviews\Publishing;

/** How views leave this process. */
interface Transport
{
    /**
     * Returns when all views are safe at their destination.
     *
     * @param list<EncodedView> $views
     * @throws PublishFailed with those not known to be safe
     */
    public function publish(array $views): void;
}
