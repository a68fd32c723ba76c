<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use InvalidArgumentException;

/** A view that breaks the contract. The message states the rule. It never holds the given value, which may be personal. */
final class InvalidView extends InvalidArgumentException
{
    /** @param string $reason the contract's name for it: `bad_post`, `bad_user`, … */
    public function __construct(public readonly string $reason, string $rule)
    {
        parent::__construct($rule);
    }
}
