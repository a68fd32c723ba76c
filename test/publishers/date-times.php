<?php
// What PHP's json_encode makes of a DateTime, with the Unix time that PHP itself means by it, as JSON.
//
//     echo '["2026-01-15 12:34:56.789 EST", ...]' | php date-times.php
//
// Also the abbreviations that PHP writes for today's zones, each with the offsets that it stands for.

$dateTimes = array_map(
    fn (string $text) => ['time' => new DateTimeImmutable($text), 'seconds' => (new DateTimeImmutable($text))->getTimestamp()],
    json_decode(stream_get_contents(STDIN), true, flags: JSON_THROW_ON_ERROR),
);

$written = [];
foreach (DateTimeZone::listIdentifiers() as $zone) {
    // A zone without rules of its own answers false.
    $transitions = (new DateTimeZone($zone))->getTransitions(gmmktime(0, 0, 0, 1, 1, 2020), gmmktime(0, 0, 0, 1, 1, 2036)) ?: [];
    foreach ($transitions as ['abbr' => $abbreviation, 'offset' => $offset]) {
        $written[strtoupper($abbreviation)][$offset] = $offset;
    }
}
echo json_encode(['date_times' => $dateTimes, 'written' => array_map(array_values(...), $written)]), "\n";
