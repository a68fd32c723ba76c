-- The articles' two tables, with what exact counting needs beside their columns, and the counters of ours.
-- Every statement may run again: MySQL commits DDL by itself, so an interrupted run begins anew. Where the articles'
-- tables were there before, adopted-tables.ts has brought them to the shape written here.
-- Ids and hosts compare by their bytes, whatever the server's collation; texts that people search do not.

CREATE TABLE IF NOT EXISTS post_views (
  id           BIGINT UNSIGNED  NOT NULL AUTO_INCREMENT PRIMARY KEY,
  post_uuid    CHAR(36)         CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  user_id      BIGINT UNSIGNED  NULL,
  ip           VARCHAR(45)      CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NULL,
  user_agent   TEXT             CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NULL,
  referer      VARCHAR(500)     CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NULL,
  viewed_at    TIMESTAMP        NOT NULL DEFAULT CURRENT_TIMESTAMP,
  event_id     BINARY(16)       NULL,
  received_at  TIMESTAMP        NULL DEFAULT NULL,
  day          DATE             NULL,
  slice        TINYINT UNSIGNED NULL,
  logged_in    TINYINT UNSIGNED NULL,
  bot          TINYINT UNSIGNED NULL,
  visitor      BINARY(16)       NULL,
  referer_host VARCHAR(253)     CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
  INDEX idx_post_uuid (post_uuid),
  INDEX idx_viewed_at (viewed_at),
  UNIQUE INDEX uq_event_id (event_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

-- Numbers beside view_count are null where adopted rows do not tell them; baseline is what was adopted.
CREATE TABLE IF NOT EXISTS post_view_aggregates (
  id              BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  post_uuid       CHAR(36)        CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  date            DATE            NOT NULL,
  view_count      INT UNSIGNED    NOT NULL DEFAULT 0,
  baseline        INT UNSIGNED    NOT NULL DEFAULT 0,
  unique_views    INT UNSIGNED    NULL,
  logged_in       INT UNSIGNED    NULL,
  bots            INT UNSIGNED    NULL,
  first_viewed_at TIMESTAMP       NULL DEFAULT NULL,
  last_viewed_at  TIMESTAMP       NULL DEFAULT NULL,
  UNIQUE INDEX uq_post_date (post_uuid, date),
  INDEX idx_date (date)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

-- Sums over a post's days. detailed_views: the views of those days whose other numbers are known.
-- No index on views: a list of the most viewed posts is ordered by the id as well, which none would serve here,
-- while every batch would have to move its posts in it.
CREATE TABLE IF NOT EXISTS post_view_totals (
  post_uuid       CHAR(36)        NOT NULL PRIMARY KEY,
  views           BIGINT UNSIGNED NOT NULL,
  detailed_views  BIGINT UNSIGNED NULL,
  unique_views    BIGINT UNSIGNED NULL,
  logged_in       BIGINT UNSIGNED NULL,
  bots            BIGINT UNSIGNED NULL,
  first_viewed_at TIMESTAMP       NULL DEFAULT NULL,
  last_viewed_at  TIMESTAMP       NULL DEFAULT NULL,
  unknown_until   DATE            NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- By the day first: what a batch writes lies close together. A post's days are looked up one by one.
CREATE TABLE IF NOT EXISTS post_view_referrers (
  date       DATE         NOT NULL,
  post_uuid  CHAR(36)     NOT NULL,
  host       VARCHAR(253) NOT NULL,
  view_count INT UNSIGNED NOT NULL,
  PRIMARY KEY (date, post_uuid, host)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Sums over all posts, so that the whole site is read without them.
CREATE TABLE IF NOT EXISTS site_view_aggregates (
  date            DATE            NOT NULL PRIMARY KEY,
  view_count      BIGINT UNSIGNED NOT NULL,
  unique_views    BIGINT UNSIGNED NULL,
  logged_in       BIGINT UNSIGNED NULL,
  bots            BIGINT UNSIGNED NULL,
  first_viewed_at TIMESTAMP       NULL DEFAULT NULL,
  last_viewed_at  TIMESTAMP       NULL DEFAULT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS site_view_referrers (
  date       DATE            NOT NULL,
  host       VARCHAR(253)    NOT NULL,
  view_count BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (date, host)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The last hours alone: what the status shows. Unix seconds.
CREATE TABLE IF NOT EXISTS site_view_minutes (
  minute     BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  view_count BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Who was counted as unique already, for the days whose views are still accepted.
CREATE TABLE IF NOT EXISTS post_view_visitors (
  day       DATE             NOT NULL,
  post_uuid CHAR(36)         NOT NULL,
  slice     TINYINT UNSIGNED NOT NULL,
  visitor   BINARY(16)       NOT NULL,
  PRIMARY KEY (day, post_uuid, slice, visitor)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS post_view_day_keys (
  day    DATE     NOT NULL PRIMARY KEY,
  secret CHAR(64) NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row. What is counted, and how far back each kind of data reaches. Written when everything else is in place:
-- as long as it is missing, old tables are being adopted.
CREATE TABLE IF NOT EXISTS post_view_state (
  id             TINYINT UNSIGNED NOT NULL PRIMARY KEY,
  time_zone      VARCHAR(64)      NOT NULL,
  window_hours   TINYINT UNSIGNED NOT NULL,
  unique_by      VARCHAR(16)      NOT NULL,
  bots           VARCHAR(16)      NOT NULL,
  settings_since DATE             NULL,
  raw_from       DATE             NULL,
  open_from      DATE             NULL,
  unknown_until  DATE             NULL,
  adopted_at     BIGINT UNSIGNED  NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row, written with every batch. Unix seconds.
CREATE TABLE IF NOT EXISTS post_view_progress (
  id                TINYINT UNSIGNED NOT NULL PRIMARY KEY,
  last_committed_at BIGINT UNSIGNED  NOT NULL,
  last_viewed_at    BIGINT UNSIGNED  NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One row: how often something was put right. A reader keeps what it has read of a day until this or the day's views
-- change.
CREATE TABLE IF NOT EXISTS post_view_rebuilds (
  id       TINYINT UNSIGNED NOT NULL PRIMARY KEY,
  rebuilds BIGINT UNSIGNED  NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO post_view_rebuilds (id, rebuilds) VALUES (1, 0) ON DUPLICATE KEY UPDATE id = id;

-- Who may do what only one may do at a time, and until when (Unix seconds).
CREATE TABLE IF NOT EXISTS post_view_leases (
  name       VARCHAR(64)     NOT NULL PRIMARY KEY,
  holder     VARCHAR(64)     NOT NULL,
  expires_at BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
