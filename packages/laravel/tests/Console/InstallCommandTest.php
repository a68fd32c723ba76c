<?php

declare(strict_types=1);

namespace Postviews\Tests\Console;

use Illuminate\Support\Facades\Artisan;
use Postviews\Tests\TestCase;

final class InstallCommandTest extends TestCase
{
    private const SETTINGS = <<<'ENV'
        POSTVIEWS_AMQP_URL=amqp://guest:guest@127.0.0.1:5672
        POSTVIEWS_API_URL=http://127.0.0.1:3100
        POSTVIEWS_API_KEY=

        ENV;

    private function install(string ...$options): void
    {
        self::assertSame(0, Artisan::call('postviews:install ' . implode(' ', $options)));
    }

    public function test_it_publishes_the_configuration_and_names_the_settings_once(): void
    {
        file_put_contents(base_path('.env'), "APP_NAME=Blog\n");
        file_put_contents(base_path('.env.example'), 'APP_NAME=');
        $this->install();
        self::assertFileEquals(__DIR__ . '/../../config/postviews.php', config_path('postviews.php'));
        self::assertSame("APP_NAME=Blog\n\n" . self::SETTINGS, file_get_contents(base_path('.env')));
        self::assertSame("APP_NAME=\n\n" . self::SETTINGS, file_get_contents(base_path('.env.example')));

        file_put_contents(config_path('postviews.php'), '<?php return [];');
        $this->install();
        self::assertSame("APP_NAME=Blog\n\n" . self::SETTINGS, file_get_contents(base_path('.env')));
        self::assertSame('<?php return [];', file_get_contents(config_path('postviews.php')));
        $this->install('--force');
        self::assertFileEquals(__DIR__ . '/../../config/postviews.php', config_path('postviews.php'));
    }

    public function test_it_leaves_what_somebody_has_set_or_commented_out(): void
    {
        $env = "# POSTVIEWS_API_URL=\r\nANALYTICS_AMQP_URL=amqp://broker\r\n";
        file_put_contents(base_path('.env'), $env);
        $this->install();
        self::assertSame("$env\r\nPOSTVIEWS_API_KEY=\r\n", file_get_contents(base_path('.env')));
    }

    public function test_it_makes_no_env_where_there_is_none(): void
    {
        $this->install();
        self::assertFileDoesNotExist(base_path('.env'));
        self::assertFileExists(config_path('postviews.php'));
    }

    public function test_it_says_what_to_do_next(): void
    {
        Artisan::call('postviews:install');
        $said = Artisan::output();
        foreach (['POSTVIEWS_API_KEY', 'track.view:post', '<x-postviews-count', 'postviews:doctor'] as $step) {
            self::assertStringContainsString($step, $said);
        }
    }
}
