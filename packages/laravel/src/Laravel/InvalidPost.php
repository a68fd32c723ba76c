<?php

declare(strict_types=1);

namespace Postviews\Laravel;

use InvalidArgumentException;

/** What was given is no post. The message is the rule; it never holds what was given, which may be personal. */
final class InvalidPost extends InvalidArgumentException
{
}
