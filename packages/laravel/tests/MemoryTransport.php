<?php

declare(strict_types=1);

namespace Postviews\Tests;

use Postviews\Publishing\EncodedView;
use Postviews\Publishing\PublishFailed;
use Postviews\Publishing\Transport;

/** Keeps what it is given, or takes nothing, like a broker that is away. */
final class MemoryTransport implements Transport
{
    /** @var list<EncodedView> */
    public array $taken = [];
    public bool $isAway = false;
    /** How many views each `publish` takes before the broker is away. */
    public int $takesFirst = 0;
    public int $tried = 0;
    public bool $mayHaveArrived = false;
    public bool $isTold = false;

    public function publish(array $views): void
    {
        $this->tried++;
        if (!$this->isAway) {
            array_push($this->taken, ...$views);

            return;
        }
        array_push($this->taken, ...array_slice($views, 0, $this->takesFirst));
        $left = array_slice($views, $this->takesFirst);
        if ($left !== []) {
            throw new PublishFailed('the broker is away', $left, mayHaveArrived: $this->mayHaveArrived, isTold: $this->isTold);
        }
    }

    /** @return list<array<string, mixed>> */
    public function events(): array
    {
        return array_map(fn (EncodedView $view) => json_decode($view->json, true), $this->taken);
    }
}
