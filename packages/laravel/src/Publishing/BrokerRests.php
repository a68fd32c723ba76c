<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use RuntimeException;

/**
 * No broker was tried.
 *
 * @internal
 */
final class BrokerRests extends RuntimeException
{
}
