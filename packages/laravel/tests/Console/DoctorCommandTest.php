<?php

declare(strict_types=1);

namespace Postviews\Tests\Console;

use Illuminate\Contracts\Http\Kernel;
use Illuminate\Http\Middleware\TrustProxies;
use Illuminate\Support\Facades\Artisan;
use Illuminate\Support\Facades\Http;
use Postviews\Laravel\Facades\AnalyticsApi;
use Postviews\Publishing\Tracker;
use Postviews\Tests\MemoryTransport;
use Postviews\Tests\TestCase;
use RuntimeException;

/** Tests without a broker; test/laravel/doctor.test.ts tests against a real broker and a real service. */
final class DoctorCommandTest extends TestCase
{
    private const KEY = 'a-key-that-nobody-sees';
    private const PASSWORD = 'a-password-that-nobody-sees';

    /** @var array<string, mixed> */
    private array $status = ['queued' => 0, 'dead' => 0, 'lag_seconds' => 0, 'as_of' => '2026-11-21T12:00:00Z'];
    private int $exitCode;

    protected function setUp(): void
    {
        parent::setUp();
        config([
            'postviews.amqp.url' => 'amqp://blog:' . self::PASSWORD . '@127.0.0.1:1/views',
            'postviews.api.url' => 'http://analytics.test:3100',
            'postviews.api.key' => self::KEY,
            'postviews.driver' => 'amqp',
            'postviews.in_tests' => true,
            'cache.default' => 'file',
        ]);
        TrustProxies::flushState();
    }

    /** @return array<string, array{status: string, detail: string, todo: ?string}> by name; the last one if there are several */
    private function examine(string $date = 'now'): array
    {
        Http::fake(fn () => Http::response($this->status, 200, ['Date' => gmdate('D, d M Y H:i:s', strtotime($date)) . ' GMT']));
        $this->exitCode = Artisan::call('postviews:doctor', ['--json' => true]);
        $said = Artisan::output();
        self::assertStringNotContainsString(self::KEY, $said);
        self::assertStringNotContainsString(self::PASSWORD, $said);
        $content = json_decode($said, true, flags: JSON_THROW_ON_ERROR);
        self::assertSame($content['ok'], $this->exitCode === 0);

        return array_column($content['checks'], null, 'name');
    }

    public function test_a_broker_that_cannot_be_reached_is_told_with_what_to_do(): void
    {
        $found = $this->examine();
        self::assertSame(1, $this->exitCode);
        self::assertSame('failed', $found['broker']['status']);
        self::assertStringContainsString('127.0.0.1:1, virtual host views', $found['broker']['detail']);
        self::assertStringContainsString('Is RabbitMQ running there', $found['broker']['todo']);
        self::assertSame(['skipped', 'skipped'], [$found['exchange']['status'], $found['test view']['status']]);
    }

    public function test_a_url_that_is_missing_or_none_is_told(): void
    {
        foreach ([null, '', 'http://blog:' . self::PASSWORD . '@broker'] as $url) {
            config(['postviews.amqp.url' => $url]);
            $found = $this->examine();
            self::assertSame(['failed', 1], [$found['broker']['status'], $this->exitCode]);
            self::assertStringContainsString('POSTVIEWS_AMQP_URL', $found['broker']['todo']);
        }
    }

    public function test_a_password_with_a_character_that_ends_it_is_told_without_any_of_it(): void
    {
        foreach (['/', '?', '#', '@x/'] as $character) {
            // With 12, the part before the character could be a port.
            foreach (['secret', '12'] as $first) {
                config(['postviews.amqp.url' => "amqp://blog:$first{$character}" . self::PASSWORD . '@127.0.0.1:1/views']);
                $found = $this->examine()['broker'];
                self::assertSame('failed', $found['status']);
                self::assertStringContainsString('%2F', $found['detail'] . $found['todo'], $character);
                self::assertStringNotContainsString('secret', $found['detail']);
            }
        }
    }

    public function test_what_answers_404_is_named_whole_and_is_not_the_api(): void
    {
        config(['postviews.api.url' => 'http://analytics.test:3100/blog']);
        Http::fake(fn () => Http::response('<h1>Not found</h1>', 404));
        $found = $this->examine()['api'];
        self::assertSame('failed', $found['status']);
        self::assertStringContainsString('http://analytics.test:3100/blog/api/v1/status answered 404', $found['detail']);
        self::assertStringContainsString('not the internal API', $found['detail']);
    }

    public function test_an_api_that_speaks_no_tls_is_told_so(): void
    {
        $server = stream_socket_server('tcp://127.0.0.1:0');
        $process = proc_open([PHP_BINARY, '-r', '$on = stream_socket_accept(STDIN); fread($on, 999); fwrite($on, "HTTP/1.1 400 Bad Request\r\n\r\n");'], [$server], $pipes);
        config(['postviews.api.url' => 'https://' . stream_socket_get_name($server, false)]);
        Http::allowStrayRequests();
        try {
            Artisan::call('postviews:doctor', ['--json' => true, '--without-view' => true]);
        } finally {
            proc_terminate($process);
            proc_close($process);
        }
        $api = array_column(json_decode(Artisan::output(), true)['checks'], null, 'name')['api'];
        self::assertSame('failed', $api['status']);
        self::assertMatchesRegularExpression('/TLS.*(wrong version number|packet length|record)/i', $api['detail']);
        self::assertStringContainsString('http://', $api['todo']);
    }

    public function test_a_driver_that_counts_nothing_is_a_warning(): void
    {
        AnalyticsApi::extend('kafka', fn () => new Tracker(new MemoryTransport()));
        foreach (['log', 'null', null, 'kafka'] as $driver) {
            config(['postviews.driver' => $driver]);
            self::assertSame('warning', $this->examine()['driver']['status']);
        }
    }

    public function test_a_driver_that_there_is_not_has_failed_with_the_names_there_are(): void
    {
        AnalyticsApi::extend('kafka', fn () => new Tracker(new MemoryTransport()));
        config(['postviews.driver' => 'ampq']);
        $found = $this->examine();
        self::assertSame(['failed', 1], [$found['driver']['status'], $this->exitCode]);
        self::assertStringContainsString('ampq', $found['driver']['detail']);
        self::assertStringContainsString('POSTVIEWS_DRIVER', $found['driver']['todo']);
        self::assertStringContainsString('amqp, relay, log, null, kafka', $found['driver']['todo']);
        // Pages publish nothing with this driver, so a view published by the doctor would prove nothing.
        self::assertSame(['skipped', 'needs the driver'], [$found['test view']['status'], $found['test view']['detail']]);
    }

    public function test_a_driver_that_cannot_be_made_has_failed(): void
    {
        AnalyticsApi::extend('kafka', fn () => throw new RuntimeException('no broker is named.'));
        config(['postviews.driver' => 'kafka']);
        $found = $this->examine()['driver'];
        self::assertSame(['failed', 'kafka: no broker is named. Every view is dropped.'], [$found['status'], $found['detail']]);
    }

    public function test_a_relay_that_is_not_there_has_failed_and_a_broker_that_only_it_needs_is_a_warning(): void
    {
        $socket = sys_get_temp_dir() . '/postviews-no-relay.sock';
        config(['postviews.driver' => 'relay', 'postviews.relay.socket' => $socket]);
        $found = $this->examine();
        self::assertSame(['ok', 'relay'], [$found['driver']['status'], $found['driver']['detail']]);
        self::assertSame(['failed', 1], [$found['relay']['status'], $this->exitCode]);
        self::assertStringContainsString("there is no socket $socket", $found['relay']['detail']);
        self::assertStringContainsString('POSTVIEWS_RELAY_SOCKET', $found['relay']['todo']);
        self::assertSame(['ok', 'warning'], [$found['fallback']['status'], $found['broker']['status']]);
        self::assertSame('needs the relay', $found['test view']['detail']);

        config(['postviews.amqp.url' => null]);
        $found = $this->examine();
        self::assertSame('warning', $found['fallback']['status']);
        self::assertArrayNotHasKey('broker', $found);
        config(['postviews.queue.connection' => 'database']);
        self::assertSame('ok', $this->examine()['fallback']['status']);
    }

    public function test_whoever_listens_and_does_not_read_is_told(): void
    {
        $socket = sys_get_temp_dir() . '/postviews-' . bin2hex(random_bytes(4)) . '.sock';
        $server = stream_socket_server("unix://$socket");
        config(['postviews.driver' => 'relay', 'postviews.relay.socket' => "unix:$socket"]);
        try {
            $found = $this->examine()['relay'];
        } finally {
            fclose($server);
            unlink($socket);
        }
        self::assertSame('failed', $found['status']);
        self::assertStringContainsString("the relay at $socket does not answer in time", $found['detail']);
    }

    public function test_dead_letters_are_a_warning_and_an_api_that_does_not_know_says_so(): void
    {
        self::assertSame(['ok', '0 messages waiting, 0 dead letters, 0 s behind'], $this->statusAndDetail('service'));
        $this->status = ['queued' => null, 'dead' => 3, 'lag_seconds' => null];
        self::assertSame(
            ['warning', 'an unknown number of messages waiting, 3 dead letters, an unknown time behind'],
            $this->statusAndDetail('service'),
        );
        $this->status = ['queued' => null, 'dead' => null, 'lag_seconds' => null];
        self::assertSame(
            ['skipped', 'needs its broker: the number of waiting messages is unknown'],
            $this->statusAndDetail('service'),
        );
    }

    /** @return array{string, string} */
    private function statusAndDetail(string $name): array
    {
        $http = Http::getFacadeRoot();
        (function (): void {
            $this->stubCallbacks = collect();
        })->call($http);
        $found = $this->examine()[$name];

        return [$found['status'], $found['detail']];
    }

    public function test_an_api_that_is_not_named_is_a_warning_as_views_are_counted_without_it(): void
    {
        foreach ([null, ''] as $none) {
            config(['postviews.api' => ['url' => $none, 'key' => $none]]);
            $found = $this->examine();
            self::assertSame(['warning', 'skipped'], [$found['api']['status'], $found['clock']['status']]);
        }
        config(['postviews.api' => ['url' => 'http://analytics.test:3100', 'key' => null]]);
        self::assertSame('failed', $this->examine()['api']['status']);
    }

    public function test_clocks_that_are_apart_are_told(): void
    {
        self::assertSame('ok', $this->examine('now')['clock']['status']);
        $expected = ['-10 minutes' => ['failed', 'ahead of'], '+10 minutes' => ['failed', 'behind'], '+60 seconds' => ['warning', 'behind']];
        foreach ($expected as $date => [$status, $way]) {
            $http = Http::getFacadeRoot();
            (function (): void {
                $this->stubCallbacks = collect();
            })->call($http);
            $clock = $this->examine($date)['clock'];
            self::assertSame($status, $clock['status'], $date);
            self::assertStringContainsString($way, $clock['detail']);
        }
    }

    public function test_whose_proxies_are_trusted(): void
    {
        $found = $this->examine()['trusted proxies'];
        self::assertSame(['warning', 'none'], [$found['status'], $found['detail']]);
        self::assertStringContainsString('trustProxies(at:', $found['todo']);
        TrustProxies::at(['10.0.0.0/8', '127.0.0.1']);
        $found = $this->examine()['trusted proxies'];
        self::assertSame(['ok', '10.0.0.0/8, 127.0.0.1'], [$found['status'], $found['detail']]);
        TrustProxies::at('*');
        self::assertSame(['warning', 'all'], array_slice(array_values($this->examine()['trusted proxies']), 1, 2));
        TrustProxies::flushState();
        config(['trustedproxy.proxies' => ['192.0.2.1']]);
        self::assertSame('192.0.2.1', $this->examine()['trusted proxies']['detail']);
        $this->app->make(Kernel::class)->setGlobalMiddleware([]);
        self::assertSame('none', $this->examine()['trusted proxies']['detail']);
    }

    public function test_a_cache_and_a_queue_that_keep_nothing_are_told(): void
    {
        self::assertSame('ok', $this->examine()['cache']['status']);
        foreach (['array' => 'warning', 'null' => 'warning', 'none-of-these' => 'failed'] as $store => $status) {
            config(['postviews.cache.store' => $store]);
            self::assertSame($status, $this->examine()['cache']['status'], $store);
        }
        foreach ([['database', 'ok'], ['sync', 'warning'], ['none-of-these', 'failed'], [null, 'ok']] as [$queue, $status]) {
            config(['postviews.queue.connection' => $queue]);
            self::assertSame($status, $this->examine()['queue of Laravel']['status'], (string) $queue);
        }
    }

    public function test_for_people_each_thing_is_a_line_with_what_to_do_below(): void
    {
        Http::fake(fn () => Http::response($this->status));
        self::assertSame(1, Artisan::call('postviews:doctor'));
        $said = Artisan::output();
        self::assertMatchesRegularExpression('/^failed  broker +127\.0\.0\.1:1.*\n {8}Is RabbitMQ running/m', $said);
        self::assertMatchesRegularExpression('/^ok {6}api +http:\/\/analytics\.test:3100 answers/m', $said);
    }
}
