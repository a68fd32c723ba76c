<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use RuntimeException;

/**
 * An alarm of the broker: it reads nothing more until it has memory and disk again.
 *
 * @internal
 */
final class BrokerBlocked extends RuntimeException
{
}
