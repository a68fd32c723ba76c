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
 * Asks the internal API of postviews, through Laravel's `Http`: a test may fake it.
 *
 * The key is put into a request below the events that Laravel raises for it, so that neither a listener (Telescope records
 * headers) nor an exception ever has it.
 */
final class InternalApi
{
    public const KEY_HEADER = 'X-Internal-Api-Key';

    /**
     * @param string $url such as `http://analytics:3100`; the `/api/v1` that the service prints may stand behind it
     * @param string $key one of the service's `INTERNAL_API_KEY`s
     * @param float $timeoutSeconds how long an answer may take, connecting included
     */
    public function __construct(
        private readonly string $url,
        #[SensitiveParameter]
        private readonly string $key,
        private readonly float $connectSeconds = 0.5,
        private readonly float $timeoutSeconds = 2.0,
    ) {
    }

    /** Why nothing can be asked; null if nothing is wrong with the settings. Never holds the key. */
    public function problem(): ?string
    {
        $at = parse_url($this->url);

        return match (true) {
            $this->url === '' => 'POSTVIEWS_API_URL is not set',
            !is_array($at) || !in_array($at['scheme'] ?? '', ['http', 'https'], true) || !isset($at['host'])
                => 'POSTVIEWS_API_URL is not an http:// or https:// URL',
            isset($at['query']) || isset($at['fragment']) => 'POSTVIEWS_API_URL has a ? or a #, which has no use here',
            isset($at['user']) || isset($at['pass']) => 'POSTVIEWS_API_URL has a user or a password, which has no use here',
            $this->key === '' => 'POSTVIEWS_API_KEY is not set',
            preg_match('/^[\x21-\x7e]+$/D', $this->key) !== 1 => 'POSTVIEWS_API_KEY has characters that no header can carry',
            default => null,
        };
    }

    /** What all questions are asked below: may be logged, as `problem` keeps users and passwords out. */
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
     * @param array<string, string|int|null> $query null: not asked for
     * @throws ApiFailed
     */
    public function get(string $path, array $query = []): Answer
    {
        return $this->answerOf($this->send($path, $query), $path);
    }

    /**
     * The answer as it came.
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
                // Following one would carry the key elsewhere.
                ->withoutRedirecting()
                ->withOptions(['connect_timeout' => $this->connectSeconds, 'timeout' => $this->timeoutSeconds])
                ->beforeSending($this->withKey())
                ->withMiddleware(self::withoutKeyInErrors())
                ->get($path, array_filter($query, static fn (mixed $value): bool => $value !== null));
        } catch (ConnectionException $error) {
            throw $this->unreachable($error->getMessage());
        } catch (Throwable $error) {
            // What a test forbids, it sees. Laravel 11 has no class for that.
            if ($error instanceof UnnamedPost || str_starts_with($error->getMessage(), 'Attempted request to [')) {
                throw $error;
            }
            // Of a listener or a middleware of the application, say: a page does not fail for its count.
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
            // The API itself has an answer for every path that is asked for here.
            $status === 404 => ApiFailed::unavailable(
                "{$this->base()}/$path answered 404: that is not the internal API of postviews; check POSTVIEWS_API_URL",
            ),
            $status === 401 || $status === 403
                => ApiFailed::refused("$told; POSTVIEWS_API_KEY is none of its INTERNAL_API_KEY"),
            $status >= 300 && $status < 400 => ApiFailed::unavailable("$told, a redirect, which is not followed"),
            // What may be right at another time is not the question's fault.
            $status >= 400 && $status < 500 && !in_array($status, [408, 425, 429], true)
                => ApiFailed::wrongQuestion($told),
            default => ApiFailed::unavailable($told),
        };
    }

    /** @param string $message of cURL, which has the URL behind what it says */
    private function unreachable(string $message): ApiFailed
    {
        $at = "the internal API at {$this->origin()}";
        if (preg_match('/error 28|timed out/i', $message) === 1) {
            return ApiFailed::unavailable("$at did not answer within $this->timeoutSeconds s");
        }
        if (preg_match('/cURL error (?:35|5[138]|60|77|8[023]|9[01]): (.*?)(?: \(see |$)/s', $message, $tls) === 1) {
            return ApiFailed::noTls("$at could not be spoken to by TLS: $tls[1]");
        }

        return ApiFailed::unavailable("$at cannot be reached");
    }

    /** Added after Laravel has raised its event of this request, whose own copy never has it. */
    private function withKey(): Closure
    {
        $key = $this->key;

        return static fn (Request $request): RequestInterface =>
            $request->toPsrRequest()->withHeader(self::KEY_HEADER, $key);
    }

    /** An error carries the request that failed: here it gets the one without the key. */
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
