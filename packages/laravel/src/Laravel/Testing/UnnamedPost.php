<?php

declare(strict_types=1);

namespace Postviews\Laravel\Testing;

use LogicException;

/** A test asks for the count of a post that `Postviews::fake` has not named: 0 would hide that another id was meant. */
final class UnnamedPost extends LogicException
{
    /** @param list<string> $named */
    public static function of(string $post, array $named): self
    {
        return new self(
            "Postviews::fake has no count of the post $post, only of " . implode(', ', $named) . '. A model with a uuid is counted '
                . 'by it: name the model itself, Postviews::fake()->views($post, 6). For all that are not named: fake([…], others: 0)',
        );
    }
}
