-- One row: how often something was put right. Day by day a reader keeps what it has read, until this or the day's views change.

CREATE TABLE IF NOT EXISTS post_view_rebuilds (
  id       TINYINT UNSIGNED NOT NULL PRIMARY KEY,
  rebuilds BIGINT UNSIGNED  NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT IGNORE INTO post_view_rebuilds (id, rebuilds) VALUES (1, 0);
