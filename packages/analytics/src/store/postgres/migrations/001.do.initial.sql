-- The tables of SQLite, and what they hold, as PostgreSQL spells them. Times are Unix seconds. Texts are compared by their bytes.

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

-- Numbers beside view_count are null where rows do not tell them; baseline is what was adopted.
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

-- Sums over a post's days. detailed_views: the views of those days whose other numbers are known.
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

-- Sums over all posts, so that the whole site is read without them.
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

-- The last hours alone: what the status shows.
CREATE TABLE site_view_minutes (
  minute     BIGINT PRIMARY KEY,
  view_count BIGINT NOT NULL
);

-- Who was counted as unique already, for the days whose views are still accepted.
CREATE TABLE post_view_visitors (
  day       TEXT COLLATE "C" NOT NULL,
  post_uuid VARCHAR(36) COLLATE "C" NOT NULL,
  slice     SMALLINT NOT NULL,
  visitor   BYTEA NOT NULL,
  PRIMARY KEY (day, post_uuid, slice, visitor)
);

-- The keys of days, and how far a closed one has been opened again (store/sql/reopen.ts).
CREATE TABLE post_view_day_keys (
  day         TEXT COLLATE "C" PRIMARY KEY,
  secret      TEXT NOT NULL,
  reopening   TEXT,
  rows_until  BIGINT NOT NULL DEFAULT 0,
  walked_time BIGINT,
  walked_id   BIGINT NOT NULL DEFAULT 0
);

-- While a day is opened again: readers who lost their address in some of its rows, and who they are under the new key.
CREATE TABLE post_view_reopened (
  day         TEXT COLLATE "C" NOT NULL,
  old_visitor BYTEA NOT NULL,
  new_visitor BYTEA,
  PRIMARY KEY (day, old_visitor)
);

-- The last row there was when retention ran.
CREATE TABLE post_view_id_marks (
  noted_at BIGINT PRIMARY KEY,
  last_id  BIGINT NOT NULL
);

-- One row. What is counted, and how far back each kind of data reaches.
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

-- One row, written with every batch: whoever writes it has the turn of the counters.
CREATE TABLE post_view_progress (
  id                SMALLINT PRIMARY KEY CHECK (id = 1),
  last_committed_at BIGINT NOT NULL,
  last_viewed_at    BIGINT NOT NULL
);

-- One row: how often something was put right.
CREATE TABLE post_view_rebuilds (
  id       SMALLINT PRIMARY KEY CHECK (id = 1),
  rebuilds BIGINT NOT NULL
);

INSERT INTO post_view_rebuilds (id, rebuilds) VALUES (1, 0);

-- Who may do what only one may do at a time, and until when.
CREATE TABLE post_view_leases (
  name       TEXT PRIMARY KEY,
  holder     TEXT NOT NULL,
  expires_at BIGINT NOT NULL
);

-- Which hosts are the site's own: every list that was recorded. The one with the greatest number holds.
CREATE TABLE post_view_site_hosts (
  number      BIGINT PRIMARY KEY,
  hosts       TEXT NOT NULL,
  recorded_at BIGINT NOT NULL
);

INSERT INTO post_view_site_hosts (number, hosts, recorded_at) VALUES (1, 'none', EXTRACT(EPOCH FROM now())::bigint);
