<?php

declare(strict_types=1);

namespace Postviews\Publishing;

use DateTimeImmutable;
use DateTimeInterface;
use DateTimeZone;
use Stringable;

/**
 * One view, checked by the rules of docs/contract.md and written as JSON. Only the contract's fields are sent; anything else in the
 * array stays in this process.
 */
final class View
{
    /** 50 views stay below 1 MiB. In a larger message, no view would be counted. */
    public const MAX_BYTES = 20_000;

    private const MAX_USER_AGENT_CHARACTERS = 2_000;
    private const MAX_REFERER_CHARACTERS = 500;
    private const MAX_URL_CHARACTERS = 500;
    /** The parameters that are kept; the rest of a query may hold tokens, and is not sent. */
    private const URL_PARAMETERS = ['utm_source', 'utm_medium', 'utm_campaign', 'ref'];

    private const MAX_USER_ID = '18446744073709551615';

    private const POST_RULE = 'post_uuid (or post_id) is not a UUID, 1 to 36 characters of A-Z a-z 0-9 _ -, or a positive integer';
    private const USER_RULE = 'user_id is not a positive integer below 2^64; null for an anonymous reader';
    private const TIME_RULE = 'timestamp is not a DateTime, ISO 8601, YYYY-MM-DD HH:MM:SS or Unix time';

    /**
     * @param array<string, mixed> $view
     * @throws InvalidView
     */
    public static function encode(array $view): EncodedView
    {
        $id = self::eventId($view['event_id'] ?? null);
        $event = ['event_id' => $id, 'post_uuid' => self::post($view['post_uuid'] ?? $view['post_id'] ?? null)];
        $event += self::reader($view['user_id'] ?? null, $view['logged_in'] ?? null);
        $event += [
            'ip' => self::ip($view['ip'] ?? null),
            'user_agent' => self::text($view, 'user_agent', self::MAX_USER_AGENT_CHARACTERS),
            'referer' => self::text(
                ['referer' => $view['referer'] ?? $view['referrer'] ?? null],
                'referer',
                self::MAX_REFERER_CHARACTERS,
            ),
            'timestamp' => self::time($view['timestamp'] ?? $view['viewed_at'] ?? new DateTimeImmutable()),
        ];
        $url = self::url($view['url'] ?? null);
        if ($url !== null) {
            $event['url'] = $url;
        }

        // Invalid UTF-8 becomes U+FFFD, and every field is a string by now, so this cannot fail.
        $json = json_encode(
            $event,
            JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES,
        );

        return new EncodedView($id, $json);
    }

    private static function eventId(mixed $id): string
    {
        $id = $id instanceof Stringable ? (string) $id : $id;
        if ($id === null || (is_string($id) && Uuid::isNone($id))) {
            return Uuid::v7();
        }
        if (!is_string($id) || !Uuid::isOne($id)) {
            throw new InvalidView('bad_event_id', 'event_id is not a UUID');
        }

        return $id;
    }

    /** As a string: a JSON number above 2^53 could lose digits on its way. */
    private static function post(mixed $post): string
    {
        if ($post === null) {
            throw new InvalidView('no_post', 'post_uuid is missing; send post_uuid or post_id');
        }
        $id = self::idAsText($post);
        // Values that are not ids are refused: as a string, -5 would be the name of a post.
        if (is_int($post) ? $post <= 0 : $id === null || preg_match('/^[A-Za-z0-9_-]{1,36}$/D', $id) !== 1) {
            throw new InvalidView('bad_post', self::POST_RULE . self::given($post, $id));
        }

        return (string) $id;
    }

    /**
     * A key that is not an integer only says that the reader is logged in.
     *
     * @return array{user_id: ?string, logged_in: bool}
     */
    private static function reader(mixed $user, mixed $isLoggedIn): array
    {
        if ($isLoggedIn !== null && !is_bool($isLoggedIn)) {
            throw new InvalidView('bad_logged_in', 'logged_in is neither true nor false');
        }
        if ($user === null) {
            return ['user_id' => null, 'logged_in' => $isLoggedIn === true];
        }
        $id = self::idAsText($user);
        if ($id === null || strlen($id) > 255) {
            throw new InvalidView('bad_user', self::USER_RULE . self::given($user, $id));
        }
        $isPositive = preg_match('/^[1-9][0-9]{0,19}$/D', $id) === 1;
        if ($isPositive && (strlen($id) < 20 || strcmp($id, self::MAX_USER_ID) <= 0)) {
            return ['user_id' => $id, 'logged_in' => true];
        }
        if ($id === '' || is_numeric($id)) {
            throw new InvalidView('bad_user', self::USER_RULE);
        }

        return ['user_id' => null, 'logged_in' => true];
    }

    /**
     * Null for what cannot be an id. Models are excluded, because a model as a string is JSON with all its attributes.
     */
    private static function idAsText(mixed $id): ?string
    {
        return match (true) {
            is_int($id), is_string($id) => (string) $id,
            $id instanceof Stringable && !method_exists($id, 'getAttributes') => (string) $id,
            default => null,
        };
    }

    /** Describes a wrong id without quoting it: it may identify a person. */
    private static function given(mixed $value, ?string $text): string
    {
        return match (true) {
            is_object($value) && $text === null => '; it is a whole ' . get_debug_type($value) . ', pass its id',
            is_int($value) => '; it is 0 or below',
            $text !== null && strlen($text) > 36 => '; it has ' . strlen($text) . ' bytes',
            $text === null => '; it is of type ' . get_debug_type($value),
            default => '',
        };
    }

    private static function ip(mixed $ip): ?string
    {
        if ($ip === null) {
            return null;
        }
        // A link-local address may include its interface.
        $address = is_string($ip) ? preg_replace('/^(fe80:[^%]*)%.+$/Di', '$1', $ip) : null;
        if (!is_string($address) || filter_var($address, FILTER_VALIDATE_IP) === false) {
            throw new InvalidView('bad_ip', 'ip is not an IPv4 or IPv6 address: no port, no list; null if unknown');
        }

        return $address;
    }

    /** @param array<string, mixed> $view */
    private static function text(array $view, string $name, int $maxCharacters): ?string
    {
        $text = $view[$name] ?? null;
        if ($text === null) {
            return null;
        }
        if (!is_string($text) && !$text instanceof Stringable) {
            throw new InvalidView("bad_$name", "$name is not a string");
        }
        $text = (string) $text;
        if (str_contains($text, "\0")) {
            throw new InvalidView('nul', "$name holds a NUL character");
        }

        return mb_substr($text, 0, $maxCharacters, 'UTF-8');
    }

    /** The URL without the parts that are not kept. Null if it is not a URL: that is no reason to refuse a view. */
    private static function url(mixed $url): ?string
    {
        if ((!is_string($url) && !$url instanceof Stringable) || str_contains((string) $url, "\0")) {
            return null;
        }
        [$address] = explode('#', (string) $url, 2);
        [$address, $query] = explode('?', $address, 2) + [1 => ''];
        // User and password must not be sent.
        $address = preg_replace('#^([a-z][a-z0-9+.-]*://)[^/@]*@#i', '$1', $address) ?? '';
        $kept = array_filter(
            explode('&', $query),
            static fn (string $pair): bool =>
                in_array(rawurldecode(explode('=', $pair)[0]), self::URL_PARAMETERS, true),
        );
        $query = $kept === [] ? '' : '?' . implode('&', $kept);
        if (mb_strlen($address . $query, 'UTF-8') > self::MAX_URL_CHARACTERS) {
            // The parameters matter more than the path.
            $address = '/';
        }

        return mb_substr($address . $query, 0, self::MAX_URL_CHARACTERS, 'UTF-8');
    }

    /** Converts a DateTime to UTC, so that readers of the JSON need not know its zone's rules. Leaves strings and numbers alone. */
    private static function time(mixed $time): string
    {
        if ($time instanceof DateTimeInterface) {
            $utc = DateTimeImmutable::createFromInterface($time)->setTimezone(new DateTimeZone('UTC'));

            return $utc->format('Y-m-d\TH:i:s.v\Z');
        }
        if ((is_int($time) && $time >= 0) || (is_float($time) && $time >= 0 && $time < 1e19)) {
            return is_int($time) ? (string) $time : sprintf('%.0F', floor($time));
        }
        $time = $time instanceof Stringable ? (string) $time : $time;
        $isTime = is_string($time) && strlen($time) <= 64 && preg_match(
            '/^(?:\d+(?:\.\d+)?|\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:[Zz]|[+-]\d\d(?::?\d\d)?)?)$/D',
            $time,
        ) === 1;
        if (!$isTime) {
            throw new InvalidView('bad_time', self::TIME_RULE);
        }

        return $time;
    }
}
