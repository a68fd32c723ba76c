<?php
// Tracks views with values that PHP has and JSON has not (objects, dates): `AMQP_URL=... php analytics-api-values.php`.
//
// Prints what was logged and, for each request of a list, whether it shows a post, as JSON.

require __DIR__ . '/publishing.php';

use Postviews\Publishing\AmqpTransport;
use Postviews\Publishing\PageRequest;
use Postviews\Publishing\Tracker;

final class Text
{
    public function __construct(private readonly string $text)
    {
    }

    public function __toString(): string
    {
        return $this->text;
    }
}

date_default_timezone_set('Europe/Warsaw');
$at = new DateTimeImmutable('-1 hour');
$nil = '00000000-0000-0000-0000-000000000000';
$views = [
    ['post_uuid' => new Text('texts'), 'user_id' => new Text('42')],
    ['post_id' => 42, 'user_id' => PHP_INT_MAX],
    ['post_uuid' => 'logged-in', 'logged_in' => true, 'referrer' => 'https://a.example/' . str_repeat('x', 600)],
    ['post_uuid' => 'in-berlin', 'timestamp' => $at->setTimezone(new DateTimeZone('Europe/Berlin'))],
    ['post_uuid' => 'in-chicago', 'viewed_at' => DateTime::createFromImmutable($at)->setTimezone(new DateTimeZone('CST'))],
    ['post_uuid' => 'nil-1', 'event_id' => $nil],
    ['post_uuid' => 'nil-2', 'event_id' => $nil],
    ['post_uuid' => 'all-f', 'event_id' => 'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'],
    ['post_uuid' => 'twin-1', 'event_id' => '7f3c1a54-0b63-4f5e-9a53-2f6c0f6a1d11'],
    ['post_uuid' => 'twin-2', 'event_id' => '7f3c1a54-0b63-4f5e-9a53-2f6c0f6a1d11'],
    ['post_uuid' => 0],
    ['post_uuid' => -5],
    ['post_id' => PHP_INT_MIN],
    ['post_uuid' => 'a-post', 'user_id' => 0],
    ['post_uuid' => 'a-post', 'user_id' => -5],
];
$logged = [];
$tracker = new Tracker(new AmqpTransport(getenv('AMQP_URL')), function (string $event, string $detail) use (&$logged): void {
    $logged[] = "$event: $detail";
});
foreach ($views as $view) {
    $tracker->trackView($view);
}
$tracker->flush();

$requests = [
    [],
    ['REQUEST_METHOD' => 'GET', 'HTTP_USER_AGENT' => 'prefetch', 'HTTP_SEC_PURPOSE' => '', 'HTTP_PURPOSE' => 'prefetching'],
    ['REQUEST_METHOD' => 'HEAD'],
    ['REQUEST_METHOD' => 'GET', 'HTTP_SEC_PURPOSE' => 'prefetch;prerender'],
    ['REQUEST_METHOD' => 'GET', 'HTTP_SEC_PURPOSE' => 'Prefetch; anonymous-client-ip'],
    ['REQUEST_METHOD' => 'GET', 'HTTP_PURPOSE' => 'prefetch'],
    ['REQUEST_METHOD' => 'GET', 'HTTP_X_MOZ' => 'prefetch'],
    ['REQUEST_METHOD' => 'GET', 'HTTP_X_PURPOSE' => 'preview'],
];
echo json_encode([
    'at' => $at->getTimestamp(),
    'logged' => $logged,
    'shown' => array_map(PageRequest::showsPost(...), $requests),
]), "\n";
