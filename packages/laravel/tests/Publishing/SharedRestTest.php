<?php

declare(strict_types=1);

namespace Postviews\Tests\Publishing;

use PHPUnit\Framework\TestCase;
use Postviews\Publishing\AmqpTransport;
use Postviews\Publishing\EncodedView;
use Postviews\Publishing\PublishFailed;
use Postviews\Publishing\SharedRest;

final class SharedRestTest extends TestCase
{
    private const SECONDS = 60.0;

    private string $folder;
    /** @var list<string> */
    private array $log = [];

    protected function setUp(): void
    {
        $this->folder = sys_get_temp_dir() . '/postviews-rest-' . bin2hex(random_bytes(6));
        mkdir($this->folder);
    }

    protected function tearDown(): void
    {
        array_map(unlink(...), glob("$this->folder/*") ?: []);
        rmdir($this->folder);
    }

    public function test_every_process_may_try_until_one_has_failed_and_then_none(): void
    {
        [$one, $other] = [$this->process(), $this->process()];
        self::assertTrue($one->mayTry());
        self::assertTrue($other->mayTry());
        $one->failed();
        self::assertFalse($one->mayTry());
        self::assertFalse($other->mayTry());
    }

    public function test_after_the_rest_one_process_tries_for_all(): void
    {
        $this->process()->failed();
        $this->letRestPass();
        [$one, $other] = [$this->process(), $this->process()];
        self::assertTrue($one->mayTry());
        self::assertFalse($other->mayTry());
        self::assertFalse($this->process()->mayTry());
        // The broker is still away, so every process pauses again.
        $one->failed();
        self::assertFalse($other->mayTry());
        $this->letRestPass();
        self::assertTrue($other->mayTry());
        $other->succeeded();
        self::assertTrue($this->process()->mayTry());
        self::assertTrue($this->process()->mayTry());
    }

    public function test_a_process_that_dies_while_it_tries_holds_up_nobody(): void
    {
        $this->process()->failed();
        $this->letRestPass();
        $dying = $this->process();
        self::assertTrue($dying->mayTry());
        unset($dying);
        self::assertTrue($this->process()->mayTry());
    }

    public function test_looks_again_once_it_has_the_lock(): void
    {
        $this->process()->failed();
        $file = $this->file();
        unlink($file);
        // `mayTry` opens the file twice. Opening a FIFO waits until somebody opens it for writing.
        posix_mkfifo($file, 0600);
        $pid = pcntl_fork();
        if ($pid === 0) {
            // If nobody reads, the alarm ends the test.
            pcntl_alarm(10);
            file_put_contents($file, (string) (microtime(true) - self::SECONDS));
            $deadline = microtime(true) + 10.0;
            do {
                $lock = fopen("$file.lock", 'c');
                $isTaken = $lock !== false && !flock($lock, LOCK_EX | LOCK_NB);
                $lock = null;
            } while (!$isTaken && microtime(true) < $deadline);
            // Another process has tried meanwhile.
            file_put_contents($file, (string) microtime(true));
            posix_kill(getmypid(), SIGKILL);
        }
        self::assertFalse($this->process()->mayTry());
        pcntl_waitpid($pid, $status);
    }

    public function test_a_file_that_cannot_be_written_to_is_replaced(): void
    {
        $this->process()->failed();
        $this->letRestPass();
        chmod($this->file(), 0444);
        $inode = fileinode($this->file());
        $one = $this->process();
        self::assertTrue($one->mayTry());
        $one->failed();
        clearstatcache();
        self::assertNotSame($inode, fileinode($this->file()));
        self::assertFalse($this->process()->mayTry());
        self::assertSame([], $this->log);
    }

    public function test_the_file_is_one_of_this_user_and_of_this_broker(): void
    {
        $this->process()->failed();
        self::assertMatchesRegularExpression('#/postviews-rest-' . posix_geteuid() . '-[0-9a-f]{16}$#', $this->file());
        self::assertTrue($this->process('another.example:5672')->mayTry());
    }

    public function test_a_clock_that_was_set_back_and_a_file_of_nonsense_make_no_rest(): void
    {
        $this->process()->failed();
        file_put_contents($this->file(), (string) (microtime(true) + 3600));
        self::assertTrue($this->process()->mayTry());
        file_put_contents($this->file(), 'nonsense');
        self::assertTrue($this->process()->mayTry());
    }

    public function test_without_a_folder_that_can_be_written_it_says_so_once_and_rests_by_itself(): void
    {
        $rest = new SharedRest("$this->folder/no/such", 'broker', self::SECONDS, function (string $event): void {
            $this->log[] = $event;
        });
        $rest->failed();
        $rest->failed();
        self::assertFalse($rest->mayTry());
        self::assertSame(['rest.unshared'], $this->log);
    }

    public function test_what_fails_at_once_is_tried_by_everybody_each_time(): void
    {
        [$one, $other] = [$this->process(), $this->process()];
        self::assertTrue($one->mayTry());
        $one->failed(needsRest: false);
        self::assertTrue($other->mayTry());
        self::assertTrue($one->mayTry());
        // This failure takes time, so every process pauses.
        $other->failed();
        self::assertFalse($one->mayTry());
    }

    public function test_knows_whether_the_try_before_had_failed_in_any_process(): void
    {
        foreach ([true, false] as $needsRest) {
            [$one, $other] = [$this->process(), $this->process()];
            self::assertTrue($one->mayTry());
            self::assertFalse($one->wasAway());
            $one->failed($needsRest);
            if ($needsRest) {
                $this->letRestPass();
            }
            self::assertTrue($other->mayTry());
            self::assertTrue($other->wasAway());
            $other->succeeded();
            self::assertFalse($other->wasAway());
            // After that success, the first process, too, takes the next failure for a new one.
            if (!$needsRest) {
                self::assertTrue($one->mayTry());
                self::assertFalse($one->wasAway());
            }
            self::assertSame([], glob("$this->folder/postviews-rest-*[0-9a-f]"));
            array_map(unlink(...), glob("$this->folder/*.lock") ?: []);
        }
    }

    public function test_without_a_folder_a_process_knows_of_its_own_failures(): void
    {
        $rest = new SharedRest(null, 'broker', self::SECONDS);
        self::assertTrue($rest->mayTry());
        $rest->failed(needsRest: false);
        self::assertTrue($rest->mayTry());
        self::assertTrue($rest->wasAway());
        $rest->succeeded();
        self::assertTrue($rest->mayTry());
        self::assertFalse($rest->wasAway());
    }

    public function test_a_missing_url_touches_nobody_elses_file(): void
    {
        foreach (['', 'http://guest:hidden@127.0.0.1', 'amqp://'] as $url) {
            try {
                (new AmqpTransport($url, restFolder: $this->folder))->publish([new EncodedView('id', '{}')]);
                self::fail('it was published');
            } catch (PublishFailed $error) {
                self::assertSame('the URL of the broker is not an amqp:// or amqps:// URL', $error->getMessage());
                self::assertNull($error->getPrevious());
            }
        }
        self::assertSame([], glob("$this->folder/*"));
    }

    public function test_no_dump_and_no_file_name_tells_the_password(): void
    {
        $transport = new AmqpTransport('amqp://guest:hidden@127.0.0.1:1', restFolder: $this->folder);
        try {
            $transport->publish([new EncodedView('id', '{}')]);
            self::fail('it was published');
        } catch (PublishFailed $error) {
            self::assertStringNotContainsString('hidden', (string) $error);
            self::assertCount(1, $error->views);
        }
        self::assertStringNotContainsString('hidden', print_r($transport, true));
        $other = new AmqpTransport('amqp://guest:changed@127.0.0.1:1', restFolder: $this->folder);
        $this->expectException(PublishFailed::class);
        $this->expectExceptionMessage('not tried again yet');
        $other->publish([new EncodedView('id', '{}')]);
    }

    private function process(string $broker = '127.0.0.1:5672'): SharedRest
    {
        return new SharedRest($this->folder, $broker, self::SECONDS, function (string $event): void {
            $this->log[] = $event;
        });
    }

    /** Dates the last failure back, as if the pause were over. */
    private function letRestPass(): void
    {
        file_put_contents($this->file() . '.new', (string) (microtime(true) - self::SECONDS));
        rename($this->file() . '.new', $this->file());
    }

    private function file(): string
    {
        $files = preg_grep('/[0-9a-f]{16}$/', glob("$this->folder/*") ?: []) ?: [];
        self::assertCount(1, $files);

        return end($files);
    }
}
