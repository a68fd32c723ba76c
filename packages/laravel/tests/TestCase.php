<?php

declare(strict_types=1);

namespace Postviews\Tests;

use Illuminate\Contracts\Console\Kernel;
use Illuminate\Foundation\Application;
use Illuminate\Foundation\Testing\TestCase as LaravelTestCase;
use Illuminate\Support\Facades\Log;
use Postviews\Laravel\PostviewsServiceProvider;

/**
 * A real Laravel application, created anew for each test, with only this package's provider and no other parts of an
 * application.
 */
abstract class TestCase extends LaravelTestCase
{
    /** The folder in which Debian's Laravel has the configuration that Composer's has inside the framework. */
    private const DEBIANS_CONFIG = '/usr/share/php/Illuminate/config';

    private string $folder;
    /** @var list<string> what was logged, oldest first */
    protected array $logged = [];

    public function createApplication(): Application
    {
        $this->folder = sys_get_temp_dir() . '/postviews-test-' . bin2hex(random_bytes(6));
        foreach (['bootstrap/cache', 'config', 'storage/framework/views', 'storage/logs'] as $folder) {
            mkdir("$this->folder/$folder", 0777, true);
        }
        $providers = '<?php return [' . PostviewsServiceProvider::class . '::class];';
        file_put_contents("$this->folder/bootstrap/providers.php", $providers);
        $app = Application::configure($this->folder)->withMiddleware()->withExceptions()->create();
        if (is_dir(self::DEBIANS_CONFIG)) {
            foreach (glob(self::DEBIANS_CONFIG . '/*.php') ?: [] as $file) {
                copy($file, "$this->folder/config/" . basename($file));
            }
            $app->dontMergeFrameworkConfiguration();
        }
        $app->make(Kernel::class)->bootstrap();

        return $app;
    }

    protected function setUp(): void
    {
        parent::setUp();
        Log::listen(function ($message): void {
            $this->logged[] = $message->message;
        });
    }

    protected function tearDown(): void
    {
        parent::tearDown();
        self::remove($this->folder);
    }

    /** @return list<string> what was logged of these events */
    protected function loggedOf(string $event): array
    {
        return array_values(array_filter($this->logged, fn (string $line) => str_contains($line, "postviews: $event")));
    }

    private static function remove(string $path): void
    {
        if (is_dir($path) && !is_link($path)) {
            array_map(self::remove(...), glob("$path/{,.}[!.]*", GLOB_BRACE) ?: []);
            rmdir($path);
        } else {
            unlink($path);
        }
    }
}
