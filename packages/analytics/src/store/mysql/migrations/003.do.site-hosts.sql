-- Which hosts are the site's own: every list that was recorded. The one with the greatest number holds, the others are
-- replaced; before the first somebody recorded, none was own. Unix seconds.
CREATE TABLE IF NOT EXISTS post_view_site_hosts (
  number      INT UNSIGNED    NOT NULL PRIMARY KEY,
  hosts       TEXT            NOT NULL,
  recorded_at BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO post_view_site_hosts (number, hosts, recorded_at) VALUES (1, 'none', UNIX_TIMESTAMP())
  ON DUPLICATE KEY UPDATE number = number;
