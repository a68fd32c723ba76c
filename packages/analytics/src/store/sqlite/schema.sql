CREATE TABLE post_view_aggregates (
  date            TEXT    NOT NULL,
  post_uuid       TEXT    NOT NULL,
  view_count      INTEGER NOT NULL DEFAULT 0,
  baseline        INTEGER NOT NULL DEFAULT 0,
  unique_views    INTEGER,
  logged_in       INTEGER,
  bots            INTEGER,
  first_viewed_at INTEGER,
  last_viewed_at  INTEGER,
  PRIMARY KEY (date, post_uuid)
) STRICT, WITHOUT ROWID;

CREATE TABLE post_view_day_keys (
  day    TEXT PRIMARY KEY,
  secret TEXT NOT NULL
, reopening TEXT, rows_until INTEGER NOT NULL DEFAULT 0, walked_time INTEGER, walked_id INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;

CREATE TABLE post_view_id_marks (
  noted_at INTEGER PRIMARY KEY,
  last_id  INTEGER NOT NULL
) STRICT;

CREATE TABLE post_view_leases (
  name       TEXT    PRIMARY KEY,
  holder     TEXT    NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE post_view_progress (
  id                INTEGER PRIMARY KEY CHECK (id = 1),
  last_committed_at INTEGER NOT NULL,
  last_viewed_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE post_view_rebuilds (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  rebuilds INTEGER NOT NULL
) STRICT;

CREATE TABLE post_view_referrers (
  date       TEXT    NOT NULL,
  post_uuid  TEXT    NOT NULL,
  host       TEXT    NOT NULL,
  view_count INTEGER NOT NULL,
  PRIMARY KEY (date, post_uuid, host)
) STRICT, WITHOUT ROWID;

CREATE TABLE post_view_reopened (
  day         TEXT NOT NULL,
  old_visitor BLOB NOT NULL,
  new_visitor BLOB,
  PRIMARY KEY (day, old_visitor)
) STRICT, WITHOUT ROWID;

CREATE TABLE post_view_site_hosts (
  number      INTEGER PRIMARY KEY,
  hosts       TEXT    NOT NULL,
  recorded_at INTEGER NOT NULL
) STRICT;

CREATE TABLE post_view_state (
  id             INTEGER PRIMARY KEY CHECK (id = 1),
  stats_timezone      TEXT    NOT NULL,
  window_hours   INTEGER NOT NULL,
  unique_by      TEXT    NOT NULL,
  bots           TEXT    NOT NULL,
  settings_since TEXT,
  raw_from       TEXT,
  open_from      TEXT,
  unknown_until  TEXT,
  adopted_at     INTEGER
, agreement INTEGER NOT NULL DEFAULT 1, rules_source TEXT, rules_release TEXT, rules_until INTEGER, rules_changes TEXT, settled_until TEXT, bounded_until TEXT) STRICT;

CREATE TABLE post_view_totals (
  post_uuid       TEXT    PRIMARY KEY,
  views           INTEGER NOT NULL,
  detailed_views  INTEGER,
  unique_views    INTEGER,
  logged_in       INTEGER,
  bots            INTEGER,
  first_viewed_at INTEGER,
  last_viewed_at  INTEGER,
  unknown_until   TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE post_view_visitors (
  day       TEXT    NOT NULL,
  post_uuid TEXT    NOT NULL,
  slice     INTEGER NOT NULL,
  visitor   BLOB    NOT NULL,
  PRIMARY KEY (day, post_uuid, slice, visitor)
) STRICT, WITHOUT ROWID;

CREATE TABLE post_views (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  post_uuid    TEXT    NOT NULL,
  user_id      TEXT,
  ip           TEXT,
  user_agent   TEXT,
  referer      TEXT,
  viewed_at    INTEGER NOT NULL,
  event_id     BLOB,
  received_at  INTEGER,
  day          TEXT,
  slice        INTEGER,
  logged_in    INTEGER,
  bot          INTEGER,
  visitor      BLOB,
  referer_host TEXT
) STRICT;

CREATE INDEX idx_viewed_at ON post_views (viewed_at);

CREATE UNIQUE INDEX uq_event_id ON post_views (event_id) WHERE event_id IS NOT NULL;

CREATE TABLE site_view_aggregates (
  date            TEXT    PRIMARY KEY,
  view_count      INTEGER NOT NULL,
  unique_views    INTEGER,
  logged_in       INTEGER,
  bots            INTEGER,
  first_viewed_at INTEGER,
  last_viewed_at  INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE site_view_minutes (
  minute     INTEGER PRIMARY KEY,
  view_count INTEGER NOT NULL
) STRICT;

CREATE TABLE site_view_referrers (
  date       TEXT    NOT NULL,
  host       TEXT    NOT NULL,
  view_count INTEGER NOT NULL,
  PRIMARY KEY (date, host)
) STRICT, WITHOUT ROWID;
