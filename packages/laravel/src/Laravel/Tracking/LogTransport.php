<?php

declare(strict_types=1);

namespace Postviews\Laravel\Tracking;

use Illuminate\Support\Facades\Log;
use Postviews\Publishing\EncodedView;
use Postviews\Publishing\Transport;

/** For development: one line per view, without data that identify the reader. */
final class LogTransport implements Transport
{
    private const SHOWN = ['event_id', 'post_uuid', 'logged_in', 'timestamp'];

    public function __construct(private readonly ?string $channel)
    {
    }

    /** @param list<EncodedView> $views */
    public function publish(array $views): void
    {
        foreach ($views as $view) {
            $event = json_decode($view->json, true, flags: JSON_THROW_ON_ERROR);
            Log::channel($this->channel)->info('postviews: view', array_intersect_key($event, array_flip(self::SHOWN)));
        }
    }
}
