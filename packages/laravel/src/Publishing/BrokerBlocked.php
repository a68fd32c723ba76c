<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use RuntimeException;

/**
 * The broker has an alarm: it reads nothing until it has memory and disk space again.
 *
 * @internal
 */
final class BrokerBlocked extends RuntimeException
{
}
