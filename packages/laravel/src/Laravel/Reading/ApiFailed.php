<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use RuntimeException;

/**
 * The internal API has not answered the question, so the number is not known.
 *
 * It has no previous exception: the request in that one's trace carries the key.
 */
final class ApiFailed extends RuntimeException
{
    private function __construct(
        string $message,
        /** Whether another question may be answered at once: only this one was wrong. */
        public readonly bool $isWrongQuestion = false,
        /** Whether the key is what is wrong. */
        public readonly bool $isRefused = false,
        /** Whether nothing was said in the end because TLS could not be agreed on. */
        public readonly bool $isTls = false,
    ) {
        parent::__construct($message);
    }

    /** It is down, too slow, or says that it cannot tell: the same question may be answered later. */
    public static function unavailable(string $message): self
    {
        return new self($message);
    }

    /** Its address answers in no TLS, or with a certificate that is not trusted. */
    public static function noTls(string $message): self
    {
        return new self($message, isTls: true);
    }

    /** It does not take the key: nothing is answered before somebody changes it. */
    public static function refused(string $message): self
    {
        return new self($message, isRefused: true);
    }

    /** Asking again is no use. The message says what is allowed. */
    public static function wrongQuestion(string $message): self
    {
        return new self($message, isWrongQuestion: true);
    }

    public static function notTheApi(): self
    {
        return new self('what answers is not the internal API of postviews; check POSTVIEWS_API_URL');
    }
}
