<?php

declare(strict_types=1);

namespace Postviews\Publishing;

/** A transport that starts to send a view when it is tracked, so that `publish` has less to wait for. */
interface EarlyTransport extends Transport
{
    /**
     * Sends a view that will later be given to `publish`, or does nothing. Never waits, never throws; only `publish` reports the
     * outcome.
     */
    public function begin(EncodedView $view): void;
}
