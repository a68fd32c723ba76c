<?php

declare(strict_types=1);

namespace Postviews\Publishing;

final class Uuid
{
    /** The nil and the max UUID (RFC 9562): programs that set no id send them. */
    private const NO_IDS = ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'];

    /** Version 7: the time in milliseconds, then random bits. */
    public static function v7(): string
    {
        $hex = str_pad(dechex((int) (microtime(true) * 1000)), 12, '0', STR_PAD_LEFT) . bin2hex(random_bytes(10));
        $hex[12] = '7';
        $hex[16] = dechex(8 | (hexdec($hex[16]) & 3));

        return vsprintf('%s%s-%s-%s-%s-%s%s%s', str_split($hex, 4));
    }

    public static function isOne(string $text): bool
    {
        return preg_match('/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/Di', $text) === 1;
    }

    public static function isNone(string $text): bool
    {
        return in_array(strtolower($text), self::NO_IDS, true);
    }
}
