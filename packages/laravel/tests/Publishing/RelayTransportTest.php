<?php

declare(strict_types=1);

namespace Postviews\Tests\Publishing;

use PHPUnit\Framework\Attributes\DataProvider;
use PHPUnit\Framework\TestCase;
use Postviews\Publishing\PublishFailed;
use Postviews\Publishing\RelayTransport;
use Postviews\Publishing\View;

/** Tests without a relay, on sockets of other programs; test/laravel-relay.test.ts tests the relay itself. */
final class RelayTransportTest extends TestCase
{
    private string $folder;
    /** @var list<string> */
    private array $log = [];

    protected function setUp(): void
    {
        $this->folder = sys_get_temp_dir() . '/postviews-relay-' . bin2hex(random_bytes(6));
        mkdir($this->folder);
    }

    protected function tearDown(): void
    {
        array_map(unlink(...), glob("$this->folder/*") ?: []);
        rmdir($this->folder);
    }

    /** @return array<string, array{string, string}> a path, and the expected message */
    public static function paths(): array
    {
        return [
            'none' => ['', 'the socket of the relay is not set'],
            'relative' => ['data/relay.sock', 'absolute path such as /run/postviews.sock'],
            'with a NUL' => ["/run/postviews.sock\0", 'absolute path'],
            'of another kind' => ['tcp://127.0.0.1:3400', 'absolute path'],
            'one that PHP would cut' => ['/' . str_repeat('x', 107), 'has 108 bytes; a unix socket takes 107'],
            'nothing there' => ['{folder}/absent.sock', 'there is no socket {folder}/absent.sock: start postviews-relay'],
            'no such folder' => ['{folder}/no/such.sock', 'there is no socket'],
            'a file' => ['{folder}/file', '{folder}/file is not a socket'],
            'a file as a folder' => ['{folder}/file/relay.sock', 'there is no socket'],
            'a folder' => ['{folder}', '{folder} is not a socket'],
            'a socket that nobody listens on' => ['unix://{folder}/left.sock', 'nobody listens on the socket {folder}/left.sock'],
        ];
    }

    #[DataProvider('paths')]
    public function test_says_what_is_wrong_with_a_socket_and_fails_for_each_view(string $path, string $said): void
    {
        touch("$this->folder/file");
        fclose(stream_socket_server("unix://$this->folder/left.sock"));
        $transport = $this->transport(str_replace('{folder}', $this->folder, $path));
        $views = [View::encode(['post_id' => 1]), View::encode(['post_id' => 2])];
        foreach ([1, 2] as $time) {
            try {
                $transport->publish($views);
                self::fail('it was published');
            } catch (PublishFailed $error) {
                self::assertStringContainsString(str_replace('{folder}', $this->folder, $said), $error->getMessage());
                self::assertSame($views, $error->views);
                self::assertSame([false, false], [$error->mayHaveArrived, $error->isResting]);
                self::assertTrue($error->isTold);
            }
        }
        self::assertSame(["relay.lost: {$error->getMessage()}"], $this->log);
    }

    public function test_names_the_user_who_may_not_write_to_the_socket(): void
    {
        $server = stream_socket_server("unix://$this->folder/relay.sock");
        chmod("$this->folder/relay.sock", 0660);
        chmod($this->folder, 0755);
        [$here, $there] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, STREAM_IPPROTO_IP);
        $pid = pcntl_fork();
        if ($pid === 0) {
            $nobody = posix_getpwnam('nobody');
            posix_setgid($nobody['gid']);
            posix_initgroups('nobody', $nobody['gid']);
            posix_setuid($nobody['uid']);
            try {
                $this->transport("$this->folder/relay.sock")->publish([View::encode(['post_id' => 1])]);
            } catch (PublishFailed $error) {
                fwrite($there, "{$error->getMessage()}\n");
            }
            posix_kill(getmypid(), SIGKILL);
        }
        fclose($there);
        self::assertStringStartsWith(
            "the user nobody may not write to the socket $this->folder/relay.sock: add it to the socket's group",
            (string) fgets($here),
        );
        pcntl_waitpid($pid, $status);
        fclose($server);
    }

    public function test_what_listens_and_is_no_relay_is_told_and_left_alone_by_all_processes(): void
    {
        $socket = "$this->folder/other.sock";
        $server = stream_socket_server("unix://$socket");
        $pid = pcntl_fork();
        if ($pid === 0) {
            $connection = stream_socket_accept($server, 10);
            fgets($connection);
            fwrite($connection, "HTTP/1.1 400 Bad Request\r\n\r\n");
            posix_kill(getmypid(), SIGKILL);
        }
        $views = [View::encode(['post_id' => 1])];
        foreach ([false, true] as $isResting) {
            try {
                $this->transport($socket)->publish($views);
                self::fail('it was published');
            } catch (PublishFailed $error) {
                self::assertSame([$views, $isResting], [$error->views, $error->isResting]);
            }
        }
        pcntl_waitpid($pid, $status);
        fclose($server);
        self::assertSame(
            ["relay.lost: what listens at $socket does not answer like postviews-relay: use the RELAY_SOCKET of the relay"],
            $this->log,
        );
    }

    private function transport(string $socket): RelayTransport
    {
        return new RelayTransport($socket, function (string $event, string $detail): void {
            $this->log[] = "$event: $detail";
        }, $this->folder);
    }
}
