-- The two tables of the articles, with what exact counting needs beside their columns, and the counters of ours.
-- Times are Unix seconds. AUTOINCREMENT: a row's number is never given again, so "rows after N" stays true.
-- Whatever is counted by the day is kept by the day, and in one order alone: what a batch writes lies close together,
-- however many posts and days there are. A post's days are looked up one by one.

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

-- Numbers beside view_count are null where adopted rows do not tell them; baseline is what was adopted.
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

-- Sums over a post's days. detailed_views: the views of those days whose other numbers are known.
-- No index on views: every batch would have to move its posts in it.
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

CREATE TABLE post_view_referrers (
  date       TEXT    NOT NULL,
  post_uuid  TEXT    NOT NULL,
  host       TEXT    NOT NULL,
  view_count INTEGER NOT NULL,
  PRIMARY KEY (date, post_uuid, host)
) STRICT, WITHOUT ROWID;

-- Sums over all posts, so that the whole site is read without them.
CREATE TABLE site_view_aggregates (
  date            TEXT    PRIMARY KEY,
  view_count      INTEGER NOT NULL,
  unique_views    INTEGER,
  logged_in       INTEGER,
  bots            INTEGER,
  first_viewed_at INTEGER,
  last_viewed_at  INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE site_view_referrers (
  date       TEXT    NOT NULL,
  host       TEXT    NOT NULL,
  view_count INTEGER NOT NULL,
  PRIMARY KEY (date, host)
) STRICT, WITHOUT ROWID;

-- The last hours alone: what the status shows.
CREATE TABLE site_view_minutes (
  minute     INTEGER PRIMARY KEY,
  view_count INTEGER NOT NULL
) STRICT;

-- Who was counted as unique already, for the days whose views are still accepted.
CREATE TABLE post_view_visitors (
  day       TEXT    NOT NULL,
  post_uuid TEXT    NOT NULL,
  slice     INTEGER NOT NULL,
  visitor   BLOB    NOT NULL,
  PRIMARY KEY (day, post_uuid, slice, visitor)
) STRICT, WITHOUT ROWID;

CREATE TABLE post_view_day_keys (
  day    TEXT PRIMARY KEY,
  secret TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row. What is counted, and how far back each kind of data reaches.
CREATE TABLE post_view_state (
  id             INTEGER PRIMARY KEY CHECK (id = 1),
  time_zone      TEXT    NOT NULL,
  window_hours   INTEGER NOT NULL,
  unique_by      TEXT    NOT NULL,
  bots           TEXT    NOT NULL,
  settings_since TEXT,
  raw_from       TEXT,
  open_from      TEXT,
  unknown_until  TEXT,
  adopted_at     INTEGER
) STRICT;

-- One row, written with every batch.
CREATE TABLE post_view_progress (
  id                INTEGER PRIMARY KEY CHECK (id = 1),
  last_committed_at INTEGER NOT NULL,
  last_viewed_at    INTEGER NOT NULL
) STRICT;

-- One row: how often something was put right. A reader keeps what it has read of a day until this or the day's views
-- change.
CREATE TABLE post_view_rebuilds (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  rebuilds INTEGER NOT NULL
) STRICT;

INSERT INTO post_view_rebuilds (id, rebuilds) VALUES (1, 0);

-- Who may do what only one may do at a time, and until when.
CREATE TABLE post_view_leases (
  name       TEXT    PRIMARY KEY,
  holder     TEXT    NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
