-- The same tables and columns as in SQLite, in PostgreSQL's types. Times are Unix seconds. Collation "C" compares texts by their bytes.

CREATE TABLE post_views (
  id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  post_uuid    VARCHAR(36) COLLATE "C" NOT NULL,
  user_id      NUMERIC(20),
  ip           VARCHAR(45) COLLATE "C",
  user_agent   TEXT COLLATE "C",
  referer      TEXT COLLATE "C",
  viewed_at    BIGINT NOT NULL,
  event_id     BYTEA,
  received_at  BIGINT,
  day          TEXT COLLATE "C",
  slice        SMALLINT,
  logged_in    SMALLINT,
  bot          SMALLINT,
  visitor      BYTEA,
  referer_host VARCHAR(253) COLLATE "C"
);

CREATE INDEX idx_viewed_at ON post_views (viewed_at);
CREATE UNIQUE INDEX uq_event_id ON post_views (event_id);

-- The numbers of a post on a day. baseline: views that were adopted as a number, without rows. The numbers other than view_count
-- are null for adopted days whose rows do not say them.
CREATE TABLE post_view_aggregates (
  post_uuid       VARCHAR(36) COLLATE "C" NOT NULL,
  date            TEXT COLLATE "C" NOT NULL,
  view_count      BIGINT NOT NULL DEFAULT 0,
  baseline        BIGINT NOT NULL DEFAULT 0,
  unique_views    BIGINT,
  logged_in       BIGINT,
  bots            BIGINT,
  first_viewed_at BIGINT,
  last_viewed_at  BIGINT,
  PRIMARY KEY (post_uuid, date)
);

CREATE INDEX idx_date ON post_view_aggregates (date, post_uuid);

-- The sums of a post over all days. detailed_views: its views on the days for which unique_views is known.
CREATE TABLE post_view_totals (
  post_uuid       VARCHAR(36) COLLATE "C" PRIMARY KEY,
  views           BIGINT NOT NULL,
  detailed_views  BIGINT,
  unique_views    BIGINT,
  logged_in       BIGINT,
  bots            BIGINT,
  first_viewed_at BIGINT,
  last_viewed_at  BIGINT,
  unknown_until   TEXT COLLATE "C"
);

CREATE TABLE post_view_referrers (
  date       TEXT COLLATE "C" NOT NULL,
  post_uuid  VARCHAR(36) COLLATE "C" NOT NULL,
  host       VARCHAR(253) COLLATE "C" NOT NULL,
  view_count BIGINT NOT NULL,
  PRIMARY KEY (date, post_uuid, host)
);

-- The sums of a day over all posts: a question about the whole site reads this table instead of a row for each post.
CREATE TABLE site_view_aggregates (
  date            TEXT COLLATE "C" PRIMARY KEY,
  view_count      BIGINT NOT NULL,
  unique_views    BIGINT,
  logged_in       BIGINT,
  bots            BIGINT,
  first_viewed_at BIGINT,
  last_viewed_at  BIGINT
);

CREATE TABLE site_view_referrers (
  date       TEXT COLLATE "C" NOT NULL,
  host       VARCHAR(253) COLLATE "C" NOT NULL,
  view_count BIGINT NOT NULL,
  PRIMARY KEY (date, host)
);

-- Views per minute. Only the last hours are kept, for the status.
CREATE TABLE site_view_minutes (
  minute     BIGINT PRIMARY KEY,
  view_count BIGINT NOT NULL
);

-- The readers who have been counted as unique, for days on which views are still accepted.
CREATE TABLE post_view_visitors (
  day       TEXT COLLATE "C" NOT NULL,
  post_uuid VARCHAR(36) COLLATE "C" NOT NULL,
  slice     SMALLINT NOT NULL,
  visitor   BYTEA NOT NULL,
  PRIMARY KEY (day, post_uuid, slice, visitor)
);

-- Each day's key, with which its readers are hashed. reopening and the columns after it: the progress of opening a closed day
-- again (store/sql/reopen.ts).
CREATE TABLE post_view_day_keys (
  day         TEXT COLLATE "C" PRIMARY KEY,
  secret      TEXT NOT NULL,
  reopening   TEXT,
  rows_until  BIGINT NOT NULL DEFAULT 0,
  walked_time BIGINT,
  walked_id   BIGINT NOT NULL DEFAULT 0
);

-- Only while a day is being opened again: the hash of a reader under the old key, and under the new one.
CREATE TABLE post_view_reopened (
  day         TEXT COLLATE "C" NOT NULL,
  old_visitor BYTEA NOT NULL,
  new_visitor BYTEA,
  PRIMARY KEY (day, old_visitor)
);

-- The greatest id in post_views at each time that retention ran.
CREATE TABLE post_view_id_marks (
  noted_at BIGINT PRIMARY KEY,
  last_id  BIGINT NOT NULL
);

-- One row: the settings by which views are counted, and how far back each kind of data reaches.
CREATE TABLE post_view_state (
  id             SMALLINT PRIMARY KEY CHECK (id = 1),
  stats_timezone TEXT NOT NULL,
  window_hours   SMALLINT NOT NULL,
  unique_by      TEXT NOT NULL,
  bots           TEXT NOT NULL,
  settings_since TEXT COLLATE "C",
  raw_from       TEXT COLLATE "C",
  open_from      TEXT COLLATE "C",
  unknown_until  TEXT COLLATE "C",
  adopted_at     BIGINT,
  agreement      BIGINT NOT NULL DEFAULT 1,
  rules_source   TEXT,
  rules_release  TEXT,
  rules_until    BIGINT,
  rules_changes  TEXT,
  settled_until  TEXT COLLATE "C",
  bounded_until  TEXT COLLATE "C"
);

-- One row. Every batch updates it before its counters, and so waits for the batch before it to commit: the row is the lock for the
-- counters.
CREATE TABLE post_view_progress (
  id                SMALLINT PRIMARY KEY CHECK (id = 1),
  last_committed_at BIGINT NOT NULL,
  last_viewed_at    BIGINT NOT NULL
);

-- One row: how many times stored numbers were corrected. Whoever keeps numbers in memory sees from it that they are out of date.
CREATE TABLE post_view_rebuilds (
  id       SMALLINT PRIMARY KEY CHECK (id = 1),
  rebuilds BIGINT NOT NULL
);

INSERT INTO post_view_rebuilds (id, rebuilds) VALUES (1, 0);

-- Tasks that only one process may do at a time: which process does each, and until when.
CREATE TABLE post_view_leases (
  name       TEXT PRIMARY KEY,
  holder     TEXT NOT NULL,
  expires_at BIGINT NOT NULL
);

-- The lists of the site's own hosts. The one with the greatest number is in use; the others are history.
CREATE TABLE post_view_site_hosts (
  number      BIGINT PRIMARY KEY,
  hosts       TEXT NOT NULL,
  recorded_at BIGINT NOT NULL
);

INSERT INTO post_view_site_hosts (number, hosts, recorded_at) VALUES (1, 'none', EXTRACT(EPOCH FROM now())::bigint);
