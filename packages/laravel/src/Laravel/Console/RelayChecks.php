<?php

declare(strict_types=1);

namespace Postviews\Laravel\Console;

use Postviews\Laravel\AnalyticsManager;
use Postviews\Publishing\EncodedView;
use Postviews\Publishing\PublishFailed;
use Postviews\Publishing\RelayLost;
use Postviews\Publishing\RelayTransport;

/** Checks the relay of the driver `relay`, and its fallback. */
final class RelayChecks
{
    /** Longer than for a page, so that the doctor finds the cause instead of a timeout. */
    private const ANSWER_SECONDS = 5.0;

    private readonly string $socket;

    public function __construct(private readonly AnalyticsManager $manager)
    {
        $socket = config('postviews.relay.socket');
        $this->socket = is_string($socket) ? $socket : '';
    }

    public function isUsed(): bool
    {
        return $this->manager->getDefaultDriver() === 'relay';
    }

    public function fallsBack(): bool
    {
        try {
            return $this->manager->fallback() !== null;
        } catch (PublishFailed) {
            return false;
        }
    }

    public function relay(): Finding
    {
        $transport = $this->transport();
        try {
            $transport->check();
        } catch (RelayLost $error) {
            return Finding::failed(
                'relay',
                $error->getMessage(),
                'Set POSTVIEWS_RELAY_SOCKET in .env to the RELAY_SOCKET of postviews-relay (then config:cache, if you cache it), and check '
                    . 'that it runs.',
            );
        }

        return Finding::ok('relay', "$transport->socket: a process listens and reads; " . self::whoMayWrite($transport->socket));
    }

    public function fallback(): Finding
    {
        return match (true) {
            $this->fallsBack() => Finding::ok('fallback', 'amqp: while the relay is away, views go to RabbitMQ itself'),
            config('postviews.queue.connection') !== null
                => Finding::ok('fallback', 'none: while the relay is away, views go to the queue of Laravel'),
            default => Finding::warning(
                'fallback',
                'none: while the relay is away, a page drops its views, and logs how many',
                'Set POSTVIEWS_AMQP_URL, or POSTVIEWS_QUEUE_CONNECTION, unless this is intended.',
            ),
        };
    }

    /** @throws PublishFailed */
    public function publish(EncodedView $view): void
    {
        $this->transport()->publish([$view]);
    }

    /** A new transport: the pages' transport may have found the relay away a moment ago, and would not try again. */
    private function transport(): RelayTransport
    {
        return new RelayTransport(
            $this->socket,
            answerSeconds: self::ANSWER_SECONDS,
            flushSeconds: self::ANSWER_SECONDS,
        );
    }

    /** This command seldom runs as the pages' user, and may run as root, who may write to any socket. */
    private static function whoMayWrite(string $socket): string
    {
        $mode = (int) @fileperms($socket);
        $user = self::nameOf('posix_getpwuid', @fileowner($socket));
        $group = self::nameOf('posix_getgrgid', @filegroup($socket));

        return match (true) {
            ($mode & 0002) !== 0 => 'all users may write to it',
            ($mode & 0020) !== 0 => "PHP must run as the user $user or in the group $group",
            default => "PHP must run as the user $user",
        };
    }

    /** @param int|false $id */
    private static function nameOf(string $lookUp, int|false $id): string
    {
        $found = $id !== false && function_exists($lookUp) ? $lookUp($id) : false;

        return is_array($found) ? $found['name'] : (string) $id;
    }
}
