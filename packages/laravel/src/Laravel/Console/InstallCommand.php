<?php

declare(strict_types=1);

namespace Postviews\Laravel\Console;

use Illuminate\Console\Command;

/** Publishes the configuration and adds the settings to `.env`. Running it again changes nothing. */
final class InstallCommand extends Command
{
    /** Values for a developer's machine; the broker's are RabbitMQ's defaults. */
    private const SETTINGS = [
        'POSTVIEWS_AMQP_URL' => 'amqp://guest:guest@127.0.0.1:5672',
        'POSTVIEWS_API_URL' => 'http://127.0.0.1:3100',
        'POSTVIEWS_API_KEY' => '',
    ];
    /** Other names of the same settings. */
    private const OTHER_NAMES = ['POSTVIEWS_AMQP_URL' => 'ANALYTICS_AMQP_URL'];

    protected $signature = 'postviews:install {--force : Overwrite config/postviews.php}';

    protected $description = 'Publish the configuration of postviews and add its settings to .env';

    public function handle(): int
    {
        $config = $this->laravel->configPath('postviews.php');
        if (is_file($config) && !$this->option('force')) {
            $this->components->twoColumnDetail('config/postviews.php', 'already exists');
        } else {
            $this->callSilently('vendor:publish', ['--tag' => 'postviews-config', '--force' => true]);
            $this->components->twoColumnDetail('config/postviews.php', 'published');
        }
        $isWritten = true;
        foreach (['.env', '.env.example'] as $name) {
            $isWritten = $this->nameSettings($name) && $isWritten;
        }
        $this->tellNextSteps();

        return $isWritten ? self::SUCCESS : self::FAILURE;
    }

    private function nameSettings(string $name): bool
    {
        $file = $name === '.env' ? $this->laravel->environmentFilePath() : $this->laravel->basePath($name);
        if (!is_file($file)) {
            $this->components->twoColumnDetail($name, 'does not exist; skipped');

            return true;
        }
        $text = (string) file_get_contents($file);
        $missing = array_filter(
            self::SETTINGS,
            static fn (string $setting): bool => !self::has($text, $setting)
                && !self::has($text, self::OTHER_NAMES[$setting] ?? $setting),
            ARRAY_FILTER_USE_KEY,
        );
        if ($missing === []) {
            $this->components->twoColumnDetail($name, 'has the settings already');

            return true;
        }
        $end = str_contains($text, "\r\n") ? "\r\n" : "\n";
        $lines = array_map(static fn (string $key, string $value): string => "$key=$value$end", array_keys($missing), $missing);
        $gap = $text === '' ? '' : (str_ends_with($text, "\n") ? $end : $end . $end);
        if (file_put_contents($file, $gap . implode('', $lines), FILE_APPEND | LOCK_EX) === false) {
            $this->components->error("$name cannot be written");

            return false;
        }
        $this->components->twoColumnDetail($name, implode(', ', array_keys($missing)));

        return true;
    }

    /** A commented-out setting counts, because somebody has decided about it. */
    private static function has(string $text, string $setting): bool
    {
        return preg_match('/^\s*#?\s*(?:export\s+)?' . $setting . '\s*=/m', $text) === 1;
    }

    private function tellNextSteps(): void
    {
        $this->newLine();
        $this->components->info('Next steps');
        $this->components->bulletList([
            'Set POSTVIEWS_AMQP_URL, POSTVIEWS_API_URL and POSTVIEWS_API_KEY in .env (then config:cache, if you cache it).',
            'Put the middleware on the route that shows a post: ->middleware(\'track.view:post\')',
            'Show the count: <x-postviews-count :post="$post" />',
            'Check everything: php artisan postviews:doctor',
        ]);
    }
}
