<?php

declare(strict_types=1);

namespace Postviews\Tests\Publishing;

use DateTime;
use DateTimeImmutable;
use DateTimeZone;
use Illuminate\Database\Eloquent\Model;
use Illuminate\Support\Str;
use PHPUnit\Framework\Attributes\DataProvider;
use PHPUnit\Framework\TestCase;
use Postviews\Publishing\InvalidView;
use Postviews\Publishing\View;

final class ViewTest extends TestCase
{
    private const UUID = '0f8fad5b-d9cb-469f-a165-70867728950e';

    public function test_sends_every_field_of_the_contract_and_nothing_else(): void
    {
        $event = self::encode([
            'post_uuid' => self::UUID,
            'user_id' => 7,
            'ip' => '203.0.113.7',
            'user_agent' => 'Firefox',
            'referrer' => 'https://news.example/today',
            'url' => 'https://blog.example/posts/1?utm_source=news',
            'viewed_at' => '2026-11-21T12:34:56Z',
            'user' => ['name' => 'Ada', 'email' => 'ada@example.org'],
        ]);
        self::assertMatchesRegularExpression('/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]/', $event['event_id']);
        unset($event['event_id']);
        self::assertSame([
            'post_uuid' => self::UUID,
            'user_id' => '7',
            'logged_in' => true,
            'ip' => '203.0.113.7',
            'user_agent' => 'Firefox',
            'referer' => 'https://news.example/today',
            'timestamp' => '2026-11-21T12:34:56Z',
            'url' => 'https://blog.example/posts/1?utm_source=news',
        ], $event);
    }

    public function test_gives_a_view_its_time_and_an_id_that_is_kept_if_it_is_one(): void
    {
        $event = self::encode(['post_id' => 42]);
        self::assertLessThan(5, abs(strtotime($event['timestamp']) - time()));
        self::assertSame('42', $event['post_uuid']);
        self::assertNull($event['user_id']);
        self::assertFalse($event['logged_in']);
        self::assertSame(self::UUID, self::encode(['post_id' => 42, 'event_id' => self::UUID])['event_id']);
        $nil = '00000000-0000-0000-0000-000000000000';
        self::assertNotSame($nil, self::encode(['post_id' => 42, 'event_id' => $nil])['event_id']);
        $max = 'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF';
        self::assertNotSame($max, self::encode(['post_id' => 42, 'event_id' => $max])['event_id']);
    }

    /** @param array<string, mixed> $view */
    #[DataProvider('brokenRules')]
    public function test_refuses_what_breaks_the_contract_with_its_reason_and_without_what_was_given(
        array $view,
        string $reason,
        string $rule,
    ): void {
        try {
            View::encode($view + ['post_uuid' => 'a-post']);
            self::fail('it was taken');
        } catch (InvalidView $error) {
            self::assertSame($reason, $error->reason);
            self::assertStringContainsString($rule, $error->getMessage());
            foreach (['secret', 'Ada', '@example'] as $personal) {
                self::assertStringNotContainsString($personal, $error->getMessage());
            }
        }
    }

    /** @return iterable<string, array{array<string, mixed>, string, string}> */
    public static function brokenRules(): iterable
    {
        $user = self::user();

        yield 'no post' => [['post_uuid' => null], 'no_post', 'post_uuid is missing'];
        yield 'a slug that is too long' => [['post_uuid' => str_repeat('secret-', 6)], 'bad_post', 'it has 42 bytes'];
        yield 'a title' => [['post_uuid' => 'A secret title'], 'bad_post', '1 to 36 characters of A-Z a-z 0-9 _ -'];
        yield 'a line end' => [['post_uuid' => "a-post\n"], 'bad_post', '1 to 36'];
        yield 'post 0' => [['post_uuid' => 0], 'bad_post', 'it is 0 or below'];
        yield 'post -5' => [['post_uuid' => -5], 'bad_post', 'it is 0 or below'];
        yield 'a post that is a fraction' => [['post_uuid' => 1.5], 'bad_post', 'it is of type float'];
        yield 'a whole model as post' => [['post_uuid' => $user], 'bad_post', 'pass its id'];
        yield 'a whole model as user' => [['user_id' => $user], 'bad_user', 'pass its id'];
        yield 'user 0' => [['user_id' => 0], 'bad_user', 'positive integer below 2^64'];
        yield 'user -5' => [['user_id' => -5], 'bad_user', 'positive integer below 2^64'];
        yield 'user "0"' => [['user_id' => '0'], 'bad_user', 'positive integer below 2^64'];
        yield 'user ""' => [['user_id' => ''], 'bad_user', 'null for an anonymous reader'];
        yield 'user 2^64' => [['user_id' => '18446744073709551616'], 'bad_user', 'below 2^64'];
        yield 'user true' => [['user_id' => true], 'bad_user', 'it is of type bool'];
        yield 'logged_in 1' => [['logged_in' => 1], 'bad_logged_in', 'neither true nor false'];
        yield 'an address with a port' => [['ip' => '203.0.113.7:4711'], 'bad_ip', 'no port'];
        yield 'a list of addresses' => [['ip' => '203.0.113.7, 10.0.0.1'], 'bad_ip', 'no list'];
        yield 'a user agent that is a list' => [['user_agent' => ['secret']], 'bad_user_agent', 'not a string'];
        yield 'a referer that is a number' => [['referer' => 5], 'bad_referer', 'not a string'];
        yield 'a NUL' => [['user_agent' => "secret\0"], 'nul', 'NUL'];
        yield 'an id that is no UUID' => [['event_id' => str_repeat('x', 300)], 'bad_event_id', 'not a UUID'];
        yield 'a time that is none' => [['timestamp' => '21.11.2026'], 'bad_time', 'ISO 8601'];
        yield 'a time that is a list' => [['timestamp' => []], 'bad_time', 'ISO 8601'];
    }

    public function test_a_user_whose_key_is_no_integer_is_logged_in_and_has_no_user_id(): void
    {
        foreach ([self::UUID, '01ARZ3NDEKTSV4RRFFQ69G5FAV', 'ada', Str::of(self::UUID)] as $key) {
            $event = self::encode(['post_id' => 1, 'user_id' => $key]);
            self::assertSame([null, true], [$event['user_id'], $event['logged_in']]);
        }
        $event = self::encode(['post_id' => 1, 'user_id' => '18446744073709551615', 'logged_in' => false]);
        self::assertSame(['18446744073709551615', true], [$event['user_id'], $event['logged_in']]);
        self::assertTrue(self::encode(['post_id' => 1, 'logged_in' => true])['logged_in']);
    }

    public function test_integers_become_texts_and_date_times_become_utc(): void
    {
        $at = new DateTimeImmutable('2026-11-21T12:34:56.789Z');
        $event = self::encode([
            'post_id' => PHP_INT_MAX,
            'user_id' => PHP_INT_MAX,
            'timestamp' => $at->setTimezone(new DateTimeZone('Europe/Berlin')),
        ]);
        self::assertSame(['9223372036854775807', '9223372036854775807'], [$event['post_uuid'], $event['user_id']]);
        self::assertSame('2026-11-21T12:34:56.789Z', $event['timestamp']);
        $chicago = DateTime::createFromImmutable($at)->setTimezone(new DateTimeZone('CST'));
        $event = self::encode(['post_id' => 1, 'viewed_at' => $chicago]);
        self::assertSame('2026-11-21T12:34:56.789Z', $event['timestamp']);
        self::assertSame('1795264496', self::encode(['post_id' => 1, 'timestamp' => 1795264496])['timestamp']);
        self::assertSame('1795264496', self::encode(['post_id' => 1, 'timestamp' => 1795264496.7])['timestamp']);
    }

    public function test_cuts_long_texts_and_repairs_what_is_not_utf8(): void
    {
        $view = [
            'post_id' => 1,
            'user_agent' => str_repeat("\x01", 3000),
            'referer' => str_repeat("\x01", 3000),
            'url' => '/' . str_repeat("\x01", 3000),
        ];
        $encoded = View::encode($view);
        self::assertLessThanOrEqual(View::MAX_BYTES, strlen($encoded->json));
        $event = json_decode($encoded->json, true);
        self::assertSame([2000, 500], [strlen($event['user_agent']), strlen($event['referer'])]);
        $repaired = self::encode(['post_id' => 1, 'referer' => "a\xffb"])['referer'];
        self::assertMatchesRegularExpression('/^a(\?|\x{FFFD})b$/u', $repaired);
    }

    public function test_of_an_address_only_what_is_counted_leaves_the_process(): void
    {
        $urls = [
            'https://blog.example/p?utm_source=news&token=secret&utm_medium=mail&ref=x'
                => 'https://blog.example/p?utm_source=news&utm_medium=mail&ref=x',
            '/reset?token=secret#secret' => '/reset',
            'https://ada:secret@blog.example/' => 'https://blog.example/',
            '/p?utm%5Fcampaign=a%26b' => '/p?utm%5Fcampaign=a%26b',
            '/' . str_repeat('x', 600) . '?ref=y' => '/?ref=y',
        ];
        foreach ($urls as $url => $sent) {
            self::assertSame($sent, self::encode(['post_id' => 1, 'url' => $url])['url']);
        }
        foreach ([null, 5, "\0"] as $none) {
            self::assertArrayNotHasKey('url', self::encode(['post_id' => 1, 'url' => $none]));
        }
    }

    private static function user(): Model
    {
        $user = new class extends Model {
        };
        $user->forceFill(['id' => 7, 'name' => 'Ada', 'email' => 'ada@example.org']);

        return $user;
    }

    /**
     * @param array<string, mixed> $view
     * @return array<string, mixed>
     */
    private static function encode(array $view): array
    {
        return json_decode(View::encode($view)->json, true, flags: JSON_THROW_ON_ERROR);
    }
}
