<?php

declare(strict_types=1);

namespace Postviews\Laravel;

use InvalidArgumentException;

/** The given value is not a post. The message states the rule. It never holds the value, which may be personal. */
final class InvalidPost extends InvalidArgumentException
{
}
