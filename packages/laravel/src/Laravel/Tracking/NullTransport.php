<?php

declare(strict_types=1);

namespace Postviews\Laravel\Tracking;

use Postviews\Publishing\Transport;

/** For tests: views are checked by the contract, but not sent. */
final class NullTransport implements Transport
{
    public function publish(array $views): void
    {
    }
}
