<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use RuntimeException;

/**
 * The internal API has not answered the request, so the number is unknown.
 *
 * It has no previous exception: the request in that exception's trace holds the key.
 */
final class ApiFailed extends RuntimeException
{
    private function __construct(
        string $message,
        /** Whether only this request was wrong, so that another one may succeed at once. */
        public readonly bool $isWrongQuestion = false,
        /** Whether the API refused the key. */
        public readonly bool $isRefused = false,
        /** Whether the TLS handshake failed. */
        public readonly bool $isTls = false,
    ) {
        parent::__construct($message);
    }

    /** The API is down, too slow, or cannot answer now: the same request may succeed later. */
    public static function unavailable(string $message): self
    {
        return new self($message);
    }

    /** The address does not speak TLS, or its certificate is not trusted. */
    public static function noTls(string $message): self
    {
        return new self($message, isTls: true);
    }

    /** The API refuses the key: no request succeeds until somebody changes it. */
    public static function refused(string $message): self
    {
        return new self($message, isRefused: true);
    }

    /** Repeating the request does not help. The message says what is allowed. */
    public static function wrongQuestion(string $message): self
    {
        return new self($message, isWrongQuestion: true);
    }

    public static function notTheApi(): self
    {
        return new self('what answers is not the internal API of postviews; check POSTVIEWS_API_URL');
    }
}
