CREATE TABLE post_view_aggregates (
  id bigint unsigned NOT NULL AUTO_INCREMENT,
  post_uuid char(36) COLLATE utf8mb4_bin NOT NULL,
  date date NOT NULL,
  view_count int unsigned NOT NULL DEFAULT 0,
  baseline int unsigned NOT NULL DEFAULT 0,
  unique_views int unsigned NULL,
  logged_in int unsigned NULL,
  bots int unsigned NULL,
  first_viewed_at timestamp NULL,
  last_viewed_at timestamp NULL,
  bot_unique_views int unsigned NULL,
  shared_unique_views int unsigned NULL,
  bot_logged_in int unsigned NULL,
  INDEX idx_date (date),
  PRIMARY KEY (id),
  UNIQUE INDEX uq_post_date (post_uuid, date)
) ENGINE = InnoDB;

CREATE TABLE post_view_breakdowns (
  date date NOT NULL,
  post_uuid char(36) COLLATE utf8mb4_bin NOT NULL,
  counts longtext COLLATE utf8mb4_bin NOT NULL,
  PRIMARY KEY (date, post_uuid)
) ENGINE = InnoDB;

CREATE TABLE post_view_day_keys (
  day date NOT NULL,
  secret char(64) COLLATE utf8mb4_bin NOT NULL,
  reopening varchar(16) COLLATE utf8mb4_bin NULL,
  rows_until bigint unsigned NOT NULL DEFAULT 0,
  walked_time bigint NULL,
  walked_id bigint unsigned NOT NULL DEFAULT 0,
  PRIMARY KEY (day)
) ENGINE = InnoDB;

CREATE TABLE post_view_id_marks (
  noted_at bigint unsigned NOT NULL,
  last_id bigint unsigned NOT NULL,
  PRIMARY KEY (noted_at)
) ENGINE = InnoDB;

CREATE TABLE post_view_leases (
  name varchar(64) COLLATE utf8mb4_bin NOT NULL,
  holder varchar(64) COLLATE utf8mb4_bin NOT NULL,
  expires_at bigint unsigned NOT NULL,
  PRIMARY KEY (name)
) ENGINE = InnoDB;

CREATE TABLE post_view_progress (
  id tinyint unsigned NOT NULL,
  last_committed_at bigint unsigned NOT NULL,
  last_viewed_at bigint unsigned NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB;

CREATE TABLE post_view_rebuilds (
  id tinyint unsigned NOT NULL,
  rebuilds bigint unsigned NOT NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB;

CREATE TABLE post_view_reopened (
  day date NOT NULL,
  old_visitor binary(16) NOT NULL,
  new_visitor binary(16) NULL,
  PRIMARY KEY (day, old_visitor)
) ENGINE = InnoDB;

CREATE TABLE post_view_site_hosts (
  number int unsigned NOT NULL,
  hosts text COLLATE utf8mb4_bin NOT NULL,
  recorded_at bigint unsigned NOT NULL,
  PRIMARY KEY (number)
) ENGINE = InnoDB;

CREATE TABLE post_view_state (
  id tinyint unsigned NOT NULL,
  stats_timezone varchar(64) COLLATE utf8mb4_bin NOT NULL,
  window_hours tinyint unsigned NOT NULL,
  unique_by varchar(32) COLLATE utf8mb4_bin NOT NULL,
  bots varchar(16) COLLATE utf8mb4_bin NOT NULL,
  settings_since date NULL,
  raw_from date NULL,
  open_from date NULL,
  unknown_until date NULL,
  adopted_at bigint unsigned NULL,
  agreement bigint unsigned NOT NULL DEFAULT 1,
  rules_source varchar(64) COLLATE utf8mb4_bin NULL,
  rules_release varchar(16) COLLATE utf8mb4_bin NULL,
  rules_until bigint NULL,
  rules_changes mediumtext COLLATE utf8mb4_bin NULL,
  settled_until date NULL,
  bounded_until date NULL,
  bots_before mediumtext COLLATE utf8mb4_bin NULL,
  PRIMARY KEY (id)
) ENGINE = InnoDB;

CREATE TABLE post_view_totals (
  post_uuid char(36) COLLATE utf8mb4_bin NOT NULL,
  views bigint unsigned NOT NULL,
  detailed_views bigint unsigned NULL,
  unique_views bigint unsigned NULL,
  logged_in bigint unsigned NULL,
  bots bigint unsigned NULL,
  first_viewed_at timestamp NULL,
  last_viewed_at timestamp NULL,
  unknown_until date NULL,
  bot_unique_views bigint unsigned NULL,
  shared_unique_views bigint unsigned NULL,
  bot_logged_in bigint unsigned NULL,
  PRIMARY KEY (post_uuid)
) ENGINE = InnoDB;

CREATE TABLE post_view_unpacked (
  post_uuid char(36) COLLATE utf8mb4_bin NOT NULL,
  id bigint unsigned NOT NULL,
  PRIMARY KEY (post_uuid, id)
) ENGINE = InnoDB;

CREATE TABLE post_view_visitors (
  day date NOT NULL,
  post_uuid char(36) COLLATE utf8mb4_bin NOT NULL,
  slice tinyint unsigned NOT NULL,
  visitor binary(16) NOT NULL,
  seen tinyint unsigned NOT NULL DEFAULT 0,
  PRIMARY KEY (day, post_uuid, slice, visitor)
) ENGINE = InnoDB;

CREATE TABLE post_views (
  id bigint unsigned NOT NULL AUTO_INCREMENT,
  post_uuid char(36) COLLATE utf8mb4_bin NOT NULL,
  user_id bigint unsigned NULL,
  ip varchar(45) COLLATE utf8mb4_unicode_ci NULL,
  user_agent text COLLATE utf8mb4_unicode_ci NULL,
  referer varchar(500) COLLATE utf8mb4_unicode_ci NULL,
  viewed_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  event_id binary(16) NULL,
  received_at timestamp NULL,
  day date NULL,
  slice tinyint unsigned NULL,
  logged_in tinyint unsigned NULL,
  bot tinyint unsigned NULL,
  visitor binary(16) NULL,
  referer_host varchar(253) COLLATE utf8mb4_bin NULL,
  hour_of_day smallint NULL,
  utm varchar(500) COLLATE utf8mb4_bin NULL,
  origin varchar(400) COLLATE utf8mb4_bin NULL,
  agent varchar(200) COLLATE utf8mb4_bin NULL,
  country varchar(20) COLLATE utf8mb4_bin NULL,
  INDEX idx_post_uuid (post_uuid),
  INDEX idx_viewed_at (viewed_at),
  PRIMARY KEY (id),
  UNIQUE INDEX uq_event_id (event_id)
) ENGINE = InnoDB;

CREATE TABLE site_view_aggregates (
  date date NOT NULL,
  view_count bigint unsigned NOT NULL,
  unique_views bigint unsigned NULL,
  logged_in bigint unsigned NULL,
  bots bigint unsigned NULL,
  first_viewed_at timestamp NULL,
  last_viewed_at timestamp NULL,
  bot_unique_views bigint unsigned NULL,
  shared_unique_views bigint unsigned NULL,
  bot_logged_in bigint unsigned NULL,
  PRIMARY KEY (date)
) ENGINE = InnoDB;

CREATE TABLE site_view_minutes (
  minute bigint unsigned NOT NULL,
  view_count bigint unsigned NOT NULL,
  PRIMARY KEY (minute)
) ENGINE = InnoDB;
