<?php
// What an older service reads of the two tables, with the statements it has: a post's rows, its days, the top posts.
//
//     DATABASE_URL=mysql://... php read-tables.php <post uuid>

[, $post] = $argv;
$at = parse_url(getenv('DATABASE_URL'));
$dsn = sprintf('mysql:host=%s;port=%d;dbname=%s;charset=utf8mb4', $at['host'], $at['port'], substr($at['path'], 1));
$pdo = new PDO($dsn, $at['user'], $at['pass'] ?? '', [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$pdo->exec("SET time_zone = '+00:00'");

function all(PDO $pdo, string $sql, array $values = []): array
{
    $statement = $pdo->prepare($sql);
    $statement->execute($values);
    return $statement->fetchAll(PDO::FETCH_ASSOC);
}

echo json_encode([
    'rows' => all(
        $pdo,
        'SELECT post_uuid, user_id, ip, user_agent, referer, viewed_at FROM post_views WHERE post_uuid = ?
         ORDER BY viewed_at DESC',
        [$post],
    ),
    'days' => all(
        $pdo,
        'SELECT date, view_count FROM post_view_aggregates
         WHERE post_uuid = ? AND date > CURDATE() - INTERVAL 30 DAY ORDER BY date',
        [$post],
    ),
    'top' => all(
        $pdo,
        'SELECT post_uuid, SUM(view_count) AS views FROM post_view_aggregates
         GROUP BY post_uuid ORDER BY views DESC LIMIT 10',
    ),
], JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES);
