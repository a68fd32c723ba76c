<?php

declare(strict_types=1);

namespace Postviews\Laravel\Testing;

use LogicException;

/** A test asks for the count of a post that `Postviews::fake` does not name. 0 would hide that the test means another id. */
final class UnnamedPost extends LogicException
{
    /** @param list<string> $named */
    public static function of(string $post, array $named): self
    {
        return new self(
            "Postviews::fake has no count for the post $post, only for " . implode(', ', $named) . '. A model with a uuid is counted '
                . 'by it: name the model itself, Postviews::fake()->views($post, 6). For all other posts: fake([…], others: 0)',
        );
    }
}
