<?php

declare(strict_types=1);

namespace Postviews\Laravel\Console;

use Illuminate\Console\Command;
use Postviews\Publishing\EncodedView;
use Symfony\Component\Console\Formatter\OutputFormatter;

/**
 * Checks everything that a view passes on its way, and says how to fix problems. Exit code 1 if there is a problem.
 *
 * Its test view is of the post `postviews-doctor`, so it can always be told from readers' views, and no post of yours gains one.
 * It counts in the sums of the whole site; `--without-view` leaves it out.
 */
final class DoctorCommand extends Command
{
    /** Only the doctor's views are of this post. */
    public const POST = 'postviews-doctor';

    private const STYLES = ['ok' => 'info', 'warning' => 'comment', 'failed' => 'error', 'skipped' => 'fg=gray'];

    protected $signature = 'postviews:doctor
        {--without-view : Publish no test view}
        {--wait=30 : For how many seconds to wait until the test view is counted}
        {--json : Print JSON, for programs}';

    protected $description = 'Check broker, queues, internal API, trusted proxies and clock, and count a test view';

    public function handle(RelayChecks $relay, BrokerChecks $broker, ApiChecks $api, ApplicationChecks $application): int
    {
        $findings = [];
        foreach ($this->findings($relay, $broker, $api, $application) as $finding) {
            $findings[] = $finding;
            if (!$this->option('json')) {
                $this->tell($finding);
            }
        }
        $isOk = !in_array('failed', array_column($findings, 'status'), true);
        if ($this->option('json')) {
            $this->output->writeln((string) json_encode(
                ['ok' => $isOk, 'checks' => $findings],
                JSON_PRETTY_PRINT | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE,
            ));
        }

        return $isOk ? self::SUCCESS : self::FAILURE;
    }

    /** @return iterable<Finding> one after the other, because some take a while */
    private function findings(
        RelayChecks $relay,
        BrokerChecks $broker,
        ApiChecks $api,
        ApplicationChecks $application,
    ): iterable {
        yield $needed[] = $broker->driver();
        if ($relay->isUsed()) {
            yield $needed[] = $relay->relay();
            yield $relay->fallback();
        }
        if (!$relay->isUsed() || $relay->fallsBack()) {
            $brokers = $broker->brokers();
            if ($relay->isUsed()) {
                $brokers = array_map(static fn (Finding $one): Finding => $one->orWarning(), $brokers);
            }
            yield from $brokers;
            yield from $broker->topology();
            array_push($needed, ...$brokers);
        }
        yield from $api->api();
        yield $api->clock();
        if (!$this->option('without-view')) {
            $publish = static fn (EncodedView $view) => $relay->isUsed() ? $relay->publish($view) : $broker->publish($view);
            yield $api->testView(self::POST, max(1, (int) $this->option('wait')), $needed, $publish);
        }
        yield $application->trustedProxies();
        yield $application->queue();
        yield $application->cache();
    }

    private function tell(Finding $finding): void
    {
        $style = self::STYLES[$finding->status];
        $this->line(sprintf('<%s>%-7s</> %-16s %s', $style, $finding->status, $finding->name, self::plain($finding->detail)));
        if ($finding->todo !== null) {
            $this->line(str_repeat(' ', 8) . self::plain($finding->todo));
        }
    }

    /** Escapes `<…>`, so that the console does not take it for a style. */
    private static function plain(string $text): string
    {
        return OutputFormatter::escape($text);
    }
}
