<?php

declare(strict_types=1);

namespace Postviews\Tests\Publishing;

use PHPUnit\Framework\TestCase;
use Postviews\Publishing\AmqpTransport;
use Postviews\Publishing\PublishFailed;
use Postviews\Publishing\View;

final class EagerConnectionTest extends TestCase
{
    private const LATE_BROKER = __DIR__ . '/late-broker.php';

    public function test_says_all_it_has_to_say_before_it_reads_an_answer_and_leaves_without_waiting(): void
    {
        [$broker, $output, $port] = $this->startBroker();
        $transport = $this->transport("amqp://guest:guest@127.0.0.1:$port");
        $transport->publish([View::encode(['post_id' => 42])]);
        $since = microtime(true);
        $transport->disconnect();
        self::assertLessThan(1.0, microtime(true) - $since);
        self::assertSame("connection.close\n", stream_get_contents($output));
        self::assertSame(0, proc_close($broker));
    }

    public function test_speaks_tls_to_a_broker_whose_certificate_it_trusts_and_to_no_other(): void
    {
        $certificate = $this->certificate();
        try {
            [$broker, $output, $port] = $this->startBroker($certificate);
            $url = "amqps://guest:guest@127.0.0.1:$port";
            $transport = $this->transport($url, ['cafile' => $certificate, 'peer_name' => 'broker.example']);
            $transport->publish([View::encode(['post_id' => 42])]);
            unset($transport);
            self::assertSame("connection.close\n", stream_get_contents($output));
            self::assertSame(0, proc_close($broker));

            [$broker, , $port] = $this->startBroker($certificate);
            try {
                $this->transport("amqps://guest:guest@127.0.0.1:$port")->publish([View::encode(['post_id' => 42])]);
                self::fail('it was published');
            } catch (PublishFailed $error) {
                self::assertStringContainsString('certificate verify failed', $error->getMessage());
            }
            self::assertSame(2, proc_close($broker));
        } finally {
            unlink($certificate);
        }
    }

    public function test_waits_for_slow_confirms_no_longer_than_it_may(): void
    {
        [$broker, , $port] = $this->startBroker('--slow');
        $transport = new AmqpTransport("amqp://guest:guest@127.0.0.1:$port", connectSeconds: 5.0, flushSeconds: 0.6);
        $views = array_map(static fn (int $post) => View::encode(['post_id' => $post]), range(1, 250));
        $since = microtime(true);
        try {
            $transport->publish($views);
            self::fail('it was published');
        } catch (PublishFailed $error) {
            self::assertLessThan(1.0, microtime(true) - $since);
            self::assertCount(150, $error->views);
            self::assertTrue($error->mayHaveArrived);
        }
        proc_close($broker);
        try {
            (new AmqpTransport("amqp://guest:guest@127.0.0.1:1"))->publish($views);
            self::fail('it was published');
        } catch (PublishFailed $error) {
            self::assertFalse($error->mayHaveArrived);
        }
    }

    /** @param array<string, mixed> $tls */
    private function transport(string $url, array $tls = []): AmqpTransport
    {
        return new AmqpTransport($url, connectSeconds: 5.0, confirmSeconds: 5.0, tls: $tls);
    }

    /** @return array{resource, resource, int} the process, its output, its port */
    private function startBroker(string ...$arguments): array
    {
        $broker = proc_open([PHP_BINARY, self::LATE_BROKER, ...$arguments], [1 => ['pipe', 'w']], $pipes);
        self::assertIsResource($broker);

        return [$broker, $pipes[1], (int) fgets($pipes[1])];
    }

    /** A file with a self-signed certificate of broker.example and its key. */
    private function certificate(): string
    {
        $key = openssl_pkey_new(['private_key_type' => OPENSSL_KEYTYPE_EC, 'curve_name' => 'prime256v1']);
        $request = openssl_csr_new(['commonName' => 'broker.example'], $key);
        $signed = openssl_csr_sign($request, null, $key, 1);
        openssl_x509_export($signed, $certificate);
        openssl_pkey_export($key, $privateKey);
        $file = tempnam(sys_get_temp_dir(), 'postviews-');
        file_put_contents($file, $certificate . $privateKey);

        return $file;
    }
}
