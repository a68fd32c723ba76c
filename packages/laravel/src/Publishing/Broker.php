<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use InvalidArgumentException;
use SensitiveParameter;

/** The address and credentials of one RabbitMQ node. */
final class Broker
{
    private function __construct(
        public readonly bool $isSecure,
        public readonly string $host,
        public readonly int $port,
        public readonly string $user,
        #[SensitiveParameter]
        public readonly string $password,
        public readonly string $vhost,
    ) {
    }

    /**
     * @param string|list<string> $url the URL of each node of a cluster, separated by commas (a comma inside one is
     *     %2C) or as an array
     * @return non-empty-list<self> all on the same virtual host
     * @throws InvalidArgumentException without the URL in its message
     */
    public static function fromUrls(#[SensitiveParameter] string|array $url): array
    {
        $urls = is_array($url) ? array_values($url) : explode(',', $url);
        $brokers = array_map(
            static fn (mixed $one): self => self::fromUrl(is_string($one) ? trim($one) : ''),
            $urls === [] ? [''] : $urls,
        );
        if (count(array_unique(array_column($brokers, 'vhost'))) > 1) {
            throw new InvalidArgumentException('the brokers do not all have the same virtual host');
        }

        return $brokers;
    }

    private static function fromUrl(#[SensitiveParameter] string $url): self
    {
        // Otherwise a part of the password would become the virtual host, which is logged.
        if (preg_match('~^\w+://[^/?#]*[/?#].*@~s', $url) === 1) {
            throw new InvalidArgumentException(
                'user, password or virtual host of the amqp:// URL has a / ? # or @ that is not written as %2F %3F %23 or %40',
            );
        }
        $at = parse_url($url);
        if (!is_array($at) || !in_array($at['scheme'] ?? '', ['amqp', 'amqps'], true) || !isset($at['host'])) {
            throw new InvalidArgumentException('the URL of the broker is not an amqp:// or amqps:// URL');
        }
        $isSecure = $at['scheme'] === 'amqps';

        return new self(
            isSecure: $isSecure,
            host: $at['host'],
            port: $at['port'] ?? ($isSecure ? 5671 : 5672),
            user: rawurldecode($at['user'] ?? 'guest'),
            password: rawurldecode($at['pass'] ?? 'guest'),
            vhost: rawurldecode(substr($at['path'] ?? '', 1)) ?: '/',
        );
    }

    /** Without user and password, so it may be logged. */
    public function name(): string
    {
        return "$this->host:$this->port, virtual host $this->vhost";
    }

    /** @return array<string, mixed> a dump shows no password */
    public function __debugInfo(): array
    {
        return ['broker' => $this->name()];
    }
}
