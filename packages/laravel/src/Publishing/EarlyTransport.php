<?php

declare(strict_types=1);

namespace Postviews\Publishing;

/** A transport on which a view sets out when it is tracked, so that `publish` has less to wait for. */
interface EarlyTransport extends Transport
{
    /**
     * Sends a view that will be given to `publish`, or does nothing. Never waits, never throws; `publish` alone says
     * what has become of it.
     */
    public function begin(EncodedView $view): void;
}
