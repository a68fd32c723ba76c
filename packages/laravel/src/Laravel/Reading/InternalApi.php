<?php

declare(strict_types=1);

namespace Postviews\Laravel\Reading;

use Closure;
use GuzzleHttp\Exception\ConnectException;
use GuzzleHttp\Exception\GuzzleException;
use GuzzleHttp\Promise\Create;
use Illuminate\Http\Client\ConnectionException;
use Illuminate\Http\Client\Request;
use Illuminate\Http\Client\Response;
use Illuminate\Support\Facades\Http;
use Postviews\Laravel\Testing\UnnamedPost;
use Psr\Http\Message\RequestInterface;
use SensitiveParameter;
use Throwable;

/**
 * Sends requests to the internal API of postviews, through Laravel's `Http`, so that a test may fake it.
 *
 * The key is added to a request after Laravel has raised its events for it, so that neither a listener (Telescope records headers)
 * nor an exception ever has it.
 */
final class InternalApi
{
    public const KEY_HEADER = 'X-Internal-Api-Key';

    /**
     * @param string $url such as `http://analytics:3100`; it may end with the `/api/v1` that the service prints
     * @param string $key one of the service's `INTERNAL_API_KEY`s
     * @param float $timeoutSeconds for the whole answer, including connecting
     */
    public function __construct(
        private readonly string $url,
        #[SensitiveParameter]
        private readonly string $key,
        private readonly float $connectSeconds = 0.5,
        private readonly float $timeoutSeconds = 2.0,
    ) {
    }

    /** Why no request can be sent; null if the settings are right. Never holds the key. */
    public function problem(): ?string
    {
        $at = parse_url($this->url);

        return match (true) {
            $this->url === '' => 'POSTVIEWS_API_URL is not set',
            !is_array($at) || !in_array($at['scheme'] ?? '', ['http', 'https'], true) || !isset($at['host'])
                => 'POSTVIEWS_API_URL is not an http:// or https:// URL',
            isset($at['query']) || isset($at['fragment']) => 'POSTVIEWS_API_URL must not contain a ? or a #',
            isset($at['user']) || isset($at['pass']) => 'POSTVIEWS_API_URL must not contain a user or a password',
            $this->key === '' => 'POSTVIEWS_API_KEY is not set',
            preg_match('/^[\x21-\x7e]+$/D', $this->key) !== 1 => 'POSTVIEWS_API_KEY has characters that an HTTP header cannot contain',
            default => null,
        };
    }

    /** The base URL of all requests. It may be logged, because `problem` rejects URLs with user or password. */
    private function base(): string
    {
        return preg_replace('#(/api/v1)?/*$#D', '', rtrim($this->url, '/')) . '/api/v1';
    }

    /** Scheme, host and port: may be logged. */
    public function origin(): string
    {
        $at = parse_url($this->url);

        return is_array($at) && isset($at['scheme'], $at['host'])
            ? "{$at['scheme']}://{$at['host']}" . (isset($at['port']) ? ":{$at['port']}" : '')
            : '';
    }

    /**
     * @param string $path below `/api/v1/`
     * @param array<string, string|int|null> $query null: left out
     * @throws ApiFailed
     */
    public function get(string $path, array $query = []): Answer
    {
        return $this->answerOf($this->send($path, $query), $path);
    }

    /**
     * The answer as received.
     *
     * @param array<string, string|int|null> $query
     * @throws ApiFailed when nobody answers
     */
    public function send(string $path, array $query = []): Response
    {
        $problem = $this->problem();
        if ($problem !== null) {
            throw ApiFailed::unavailable($problem);
        }
        try {
            return Http::baseUrl($this->base())
                ->acceptJson()
                // Following a redirect would send the key elsewhere.
                ->withoutRedirecting()
                ->withOptions(['connect_timeout' => $this->connectSeconds, 'timeout' => $this->timeoutSeconds])
                ->beforeSending($this->withKey())
                ->withMiddleware(self::withoutKeyInErrors())
                ->get($path, array_filter($query, static fn (mixed $value): bool => $value !== null));
        } catch (ConnectionException $error) {
            throw $this->unreachable($error->getMessage());
        } catch (Throwable $error) {
            // A request that a test forbids must fail the test. Laravel 11 has no class for that error.
            if ($error instanceof UnnamedPost || str_starts_with($error->getMessage(), 'Attempted request to [')) {
                throw $error;
            }
            // For example from a listener or a middleware of the application: a page must not fail because of a count.
            throw ApiFailed::unavailable("the internal API at {$this->origin()} could not be asked: {$error->getMessage()}");
        }
    }

    /** @return array<string, mixed> a dump shows no key */
    public function __debugInfo(): array
    {
        return ['origin' => $this->origin()];
    }

    /** @throws ApiFailed */
    private function answerOf(Response $response, string $path): Answer
    {
        $status = $response->status();
        $content = $response->json();
        if ($status === 200) {
            return is_array($content) && !array_is_list($content) ? new Answer($content) : throw ApiFailed::notTheApi();
        }
        $detail = is_array($content) && is_string($content['detail'] ?? null) ? ": {$content['detail']}" : '';
        $told = "the internal API at {$this->origin()} answered $status$detail";
        throw match (true) {
            // A dimension that this service does not count by.
            $status === 404 && is_array($content) && ($content['parameter'] ?? null) === 'dimension'
                => ApiFailed::wrongQuestion($told),
            // The API itself has an answer for every other path that is requested here.
            $status === 404 => ApiFailed::unavailable(
                "{$this->base()}/$path answered 404: that is not the internal API of postviews; check POSTVIEWS_API_URL",
            ),
            $status === 401 || $status === 403
                => ApiFailed::refused("$told; POSTVIEWS_API_KEY is not one of the keys in its INTERNAL_API_KEY"),
            $status >= 300 && $status < 400 => ApiFailed::unavailable("$told, a redirect, which is not followed"),
            // These statuses are temporary, so the request is not wrong.
            $status >= 400 && $status < 500 && !in_array($status, [408, 425, 429], true)
                => ApiFailed::wrongQuestion($told),
            default => ApiFailed::unavailable($told),
        };
    }

    /** @param string $message cURL's message, which ends with the URL */
    private function unreachable(string $message): ApiFailed
    {
        $at = "the internal API at {$this->origin()}";
        if (preg_match('/error 28|timed out/i', $message) === 1) {
            return ApiFailed::unavailable("$at did not answer within $this->timeoutSeconds s");
        }
        if (preg_match('/cURL error (?:35|5[138]|60|77|8[023]|9[01]): (.*?)(?: \(see |$)/s', $message, $tls) === 1) {
            return ApiFailed::noTls("the TLS connection to $at failed: $tls[1]");
        }

        return ApiFailed::unavailable("$at cannot be reached");
    }

    /** Runs after Laravel has raised its event for the request, so that the event's copy never has the key. */
    private function withKey(): Closure
    {
        $key = $this->key;

        return static fn (Request $request): RequestInterface =>
            $request->toPsrRequest()->withHeader(self::KEY_HEADER, $key);
    }

    /** An exception carries the failed request; this replaces it with the one without the key. */
    private static function withoutKeyInErrors(): Closure
    {
        return static fn (callable $handler): Closure =>
            static function (RequestInterface $request, array $options) use ($handler): mixed {
                $withoutKey = static fn (mixed $reason): mixed => $reason instanceof GuzzleException
                    ? new ConnectException($reason->getMessage(), $request)
                    : $reason;
                try {
                    return $handler($request, $options)->then(
                        null,
                        static fn (mixed $reason) => Create::rejectionFor($withoutKey($reason)),
                    );
                } catch (Throwable $error) {
                    throw $withoutKey($error);
                }
            };
    }
}
