CREATE TABLE post_view_aggregates (
  date            TEXT    NOT NULL,
  post_uuid       TEXT    NOT NULL,
  view_count      INTEGER NOT NULL DEFAULT 0,
  baseline        INTEGER NOT NULL DEFAULT 0,
  unique_views    INTEGER,
  logged_in       INTEGER,
  bots            INTEGER,
  first_viewed_at INTEGER,
  last_viewed_at  INTEGER, bot_unique_views INTEGER, shared_unique_views INTEGER, bot_logged_in INTEGER,
  PRIMARY KEY (date, post_uuid)
) STRICT, WITHOUT ROWID;

CREATE TABLE post_view_breakdowns (
  date      TEXT NOT NULL,
  post_uuid TEXT NOT NULL,
  counts    TEXT NOT NULL,
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

CREATE TABLE post_view_reopened (
  day         TEXT NOT NULL,
  old_visitor BLOB NOT NULL,
  new_visitor BLOB,
  PRIMARY KEY (day, old_visitor)
) STRICT, WITHOUT ROWID;

CREATE TABLE post_view_rows (
  id                  INTEGER PRIMARY KEY AUTOINCREMENT,
  post_uuid_number    INTEGER NOT NULL,
  user_id             TEXT,
  ip                  TEXT,
  user_agent_number   INTEGER,
  referer             TEXT,
  viewed_at           INTEGER NOT NULL,
  event_id            BLOB,
  received_at         INTEGER,
  day                 TEXT,
  slice               INTEGER,
  logged_in           INTEGER,
  bot                 INTEGER,
  visitor             BLOB,
  referer_host_number INTEGER
, hour_of_day INTEGER, utm TEXT, origin_number INTEGER, agent_number INTEGER, country_number INTEGER) STRICT;

CREATE INDEX idx_viewed_at ON post_view_rows (viewed_at);

CREATE UNIQUE INDEX uq_event_id ON post_view_rows (event_id) WHERE event_id IS NOT NULL;

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
, agreement INTEGER NOT NULL DEFAULT 1, rules_source TEXT, rules_release TEXT, rules_until INTEGER, rules_changes TEXT, settled_until TEXT, bounded_until TEXT, bots_before TEXT) STRICT;

CREATE TABLE post_view_text_changes (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  removals INTEGER NOT NULL DEFAULT 0,
  by_views INTEGER NOT NULL DEFAULT 0
, cleaned_by_views INTEGER, cleaned_at INTEGER) STRICT;

CREATE TABLE post_view_texts (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  text   TEXT    NOT NULL UNIQUE
) STRICT;

CREATE TRIGGER post_view_texts_update AFTER UPDATE ON post_view_texts
BEGIN
  UPDATE post_view_text_changes SET removals = removals + 1;
END;

CREATE TRIGGER post_view_texts_delete AFTER DELETE ON post_view_texts
BEGIN
  UPDATE post_view_text_changes SET removals = removals + 1;
END;

CREATE TRIGGER post_view_texts_insert BEFORE INSERT ON post_view_texts
WHEN EXISTS (SELECT 1 FROM post_view_texts WHERE number = NEW.number OR text = NEW.text)
BEGIN
  UPDATE post_view_text_changes SET removals = removals + 1;
END;

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
, bot_unique_views INTEGER, shared_unique_views INTEGER, bot_logged_in INTEGER) STRICT, WITHOUT ROWID;

CREATE VIEW post_view_unpacked AS
SELECT (SELECT text FROM post_view_texts WHERE number = post_uuid_number) AS post_uuid,
       id,
       post_uuid_number
FROM post_view_unpacked_rows;

CREATE TRIGGER post_view_unpacked_insert INSTEAD OF INSERT ON post_view_unpacked
BEGIN
  INSERT INTO post_view_texts (text) SELECT NEW.post_uuid WHERE NEW.post_uuid IS NOT NULL AND (SELECT number FROM post_view_texts WHERE text = NEW.post_uuid) IS NULL;
  UPDATE post_view_text_changes SET by_views = by_views + 1;
  INSERT INTO post_view_unpacked_rows (post_uuid_number, id)
  VALUES ((SELECT number FROM post_view_texts WHERE text = NEW.post_uuid), NEW.id);
END;

CREATE TRIGGER post_view_unpacked_delete INSTEAD OF DELETE ON post_view_unpacked
BEGIN
  DELETE FROM post_view_unpacked_rows WHERE post_uuid_number = OLD.post_uuid_number AND id = OLD.id;
END;

CREATE TABLE post_view_unpacked_rows (
  post_uuid_number INTEGER NOT NULL,
  id               INTEGER NOT NULL,
  PRIMARY KEY (post_uuid_number, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE post_view_visitor_rows (
  day              TEXT    NOT NULL,
  post_uuid_number INTEGER NOT NULL,
  slice            INTEGER NOT NULL,
  visitor          BLOB    NOT NULL, seen INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (day, post_uuid_number, slice, visitor)
) STRICT, WITHOUT ROWID;

CREATE VIEW post_view_visitors AS
SELECT day,
       (SELECT text FROM post_view_texts WHERE number = post_uuid_number) AS post_uuid,
       slice,
       visitor,
       seen,
       post_uuid_number
FROM post_view_visitor_rows;

CREATE TRIGGER post_view_visitors_insert INSTEAD OF INSERT ON post_view_visitors
BEGIN
  INSERT INTO post_view_texts (text) SELECT NEW.post_uuid WHERE NEW.post_uuid IS NOT NULL AND (SELECT number FROM post_view_texts WHERE text = NEW.post_uuid) IS NULL;
  UPDATE post_view_text_changes SET by_views = by_views + 1;
  INSERT INTO post_view_visitor_rows (day, post_uuid_number, slice, visitor, seen)
  VALUES (NEW.day, (SELECT number FROM post_view_texts WHERE text = NEW.post_uuid), NEW.slice, NEW.visitor, NEW.seen);
END;

CREATE TRIGGER post_view_visitors_update_seen INSTEAD OF UPDATE OF seen ON post_view_visitors
BEGIN
  UPDATE post_view_visitor_rows SET seen = NEW.seen
  WHERE day = OLD.day AND post_uuid_number = OLD.post_uuid_number AND slice = OLD.slice AND visitor = OLD.visitor;
END;

CREATE TRIGGER post_view_visitors_update_day INSTEAD OF UPDATE OF day ON post_view_visitors
WHEN NEW.day IS NOT OLD.day
BEGIN
  SELECT RAISE(ABORT, 'day of post_view_visitors cannot be changed');
END;

CREATE TRIGGER post_view_visitors_update_post_uuid_number INSTEAD OF UPDATE OF post_uuid_number ON post_view_visitors
WHEN NEW.post_uuid_number IS NOT OLD.post_uuid_number
BEGIN
  SELECT RAISE(ABORT, 'post_uuid_number of post_view_visitors cannot be changed');
END;

CREATE TRIGGER post_view_visitors_update_slice INSTEAD OF UPDATE OF slice ON post_view_visitors
WHEN NEW.slice IS NOT OLD.slice
BEGIN
  SELECT RAISE(ABORT, 'slice of post_view_visitors cannot be changed');
END;

CREATE TRIGGER post_view_visitors_update_visitor INSTEAD OF UPDATE OF visitor ON post_view_visitors
WHEN NEW.visitor IS NOT OLD.visitor
BEGIN
  SELECT RAISE(ABORT, 'visitor of post_view_visitors cannot be changed');
END;

CREATE TRIGGER post_view_visitors_delete INSTEAD OF DELETE ON post_view_visitors
BEGIN
  DELETE FROM post_view_visitor_rows WHERE day = OLD.day AND post_uuid_number = OLD.post_uuid_number AND slice = OLD.slice AND visitor = OLD.visitor;
  UPDATE post_view_text_changes SET by_views = by_views + 1;
END;

CREATE VIEW post_views AS
SELECT id,
       (SELECT text FROM post_view_texts WHERE number = post_uuid_number) AS post_uuid,
       user_id,
       ip,
       (SELECT text FROM post_view_texts WHERE number = user_agent_number) AS user_agent,
       referer,
       viewed_at,
       event_id,
       received_at,
       day,
       slice,
       logged_in,
       bot,
       visitor,
       (SELECT text FROM post_view_texts WHERE number = referer_host_number) AS referer_host,
       hour_of_day,
       utm,
       (SELECT text FROM post_view_texts WHERE number = origin_number) AS origin,
       (SELECT text FROM post_view_texts WHERE number = agent_number) AS agent,
       (SELECT text FROM post_view_texts WHERE number = country_number) AS country,
       post_uuid_number
FROM post_view_rows;

CREATE TRIGGER post_views_insert INSTEAD OF INSERT ON post_views
BEGIN
  INSERT INTO post_view_texts (text) SELECT NEW.post_uuid WHERE NEW.post_uuid IS NOT NULL AND (SELECT number FROM post_view_texts WHERE text = NEW.post_uuid) IS NULL;
  INSERT INTO post_view_texts (text) SELECT NEW.user_agent WHERE NEW.user_agent IS NOT NULL AND (SELECT number FROM post_view_texts WHERE text = NEW.user_agent) IS NULL;
  INSERT INTO post_view_texts (text) SELECT NEW.referer_host WHERE NEW.referer_host IS NOT NULL AND (SELECT number FROM post_view_texts WHERE text = NEW.referer_host) IS NULL;
  INSERT INTO post_view_texts (text) SELECT NEW.origin WHERE NEW.origin IS NOT NULL AND (SELECT number FROM post_view_texts WHERE text = NEW.origin) IS NULL;
  INSERT INTO post_view_texts (text) SELECT NEW.agent WHERE NEW.agent IS NOT NULL AND (SELECT number FROM post_view_texts WHERE text = NEW.agent) IS NULL;
  INSERT INTO post_view_texts (text) SELECT NEW.country WHERE NEW.country IS NOT NULL AND (SELECT number FROM post_view_texts WHERE text = NEW.country) IS NULL;
  UPDATE post_view_text_changes SET by_views = by_views + 1;
  INSERT INTO post_view_rows (id, post_uuid_number, user_id, ip, user_agent_number, referer, viewed_at, event_id, received_at, day, slice, logged_in, bot, visitor, referer_host_number, hour_of_day, utm, origin_number, agent_number, country_number)
  VALUES (NEW.id, (SELECT number FROM post_view_texts WHERE text = NEW.post_uuid), NEW.user_id, NEW.ip, (SELECT number FROM post_view_texts WHERE text = NEW.user_agent), NEW.referer, NEW.viewed_at, NEW.event_id, NEW.received_at, NEW.day, NEW.slice, NEW.logged_in, NEW.bot, NEW.visitor, (SELECT number FROM post_view_texts WHERE text = NEW.referer_host), NEW.hour_of_day, NEW.utm, (SELECT number FROM post_view_texts WHERE text = NEW.origin), (SELECT number FROM post_view_texts WHERE text = NEW.agent), (SELECT number FROM post_view_texts WHERE text = NEW.country));
END;

CREATE TRIGGER post_views_update_post_uuid INSTEAD OF UPDATE OF post_uuid ON post_views
WHEN NEW.post_uuid IS NOT OLD.post_uuid
BEGIN
  INSERT INTO post_view_texts (text) SELECT NEW.post_uuid WHERE NEW.post_uuid IS NOT NULL AND (SELECT number FROM post_view_texts WHERE text = NEW.post_uuid) IS NULL;
  UPDATE post_view_text_changes SET by_views = by_views + 1;
  UPDATE post_view_rows SET post_uuid_number = (SELECT number FROM post_view_texts WHERE text = NEW.post_uuid)
  WHERE id = OLD.id;
END;

CREATE TRIGGER post_views_update_user_agent INSTEAD OF UPDATE OF user_agent ON post_views
WHEN NEW.user_agent IS NOT OLD.user_agent
BEGIN
  INSERT INTO post_view_texts (text) SELECT NEW.user_agent WHERE NEW.user_agent IS NOT NULL AND (SELECT number FROM post_view_texts WHERE text = NEW.user_agent) IS NULL;
  UPDATE post_view_text_changes SET by_views = by_views + 1;
  UPDATE post_view_rows SET user_agent_number = (SELECT number FROM post_view_texts WHERE text = NEW.user_agent)
  WHERE id = OLD.id;
END;

CREATE TRIGGER post_views_update_referer_host INSTEAD OF UPDATE OF referer_host ON post_views
WHEN NEW.referer_host IS NOT OLD.referer_host
BEGIN
  INSERT INTO post_view_texts (text) SELECT NEW.referer_host WHERE NEW.referer_host IS NOT NULL AND (SELECT number FROM post_view_texts WHERE text = NEW.referer_host) IS NULL;
  UPDATE post_view_text_changes SET by_views = by_views + 1;
  UPDATE post_view_rows SET referer_host_number = (SELECT number FROM post_view_texts WHERE text = NEW.referer_host)
  WHERE id = OLD.id;
END;

CREATE TRIGGER post_views_update_origin INSTEAD OF UPDATE OF origin ON post_views
WHEN NEW.origin IS NOT OLD.origin
BEGIN
  INSERT INTO post_view_texts (text) SELECT NEW.origin WHERE NEW.origin IS NOT NULL AND (SELECT number FROM post_view_texts WHERE text = NEW.origin) IS NULL;
  UPDATE post_view_text_changes SET by_views = by_views + 1;
  UPDATE post_view_rows SET origin_number = (SELECT number FROM post_view_texts WHERE text = NEW.origin)
  WHERE id = OLD.id;
END;

CREATE TRIGGER post_views_update_agent INSTEAD OF UPDATE OF agent ON post_views
WHEN NEW.agent IS NOT OLD.agent
BEGIN
  INSERT INTO post_view_texts (text) SELECT NEW.agent WHERE NEW.agent IS NOT NULL AND (SELECT number FROM post_view_texts WHERE text = NEW.agent) IS NULL;
  UPDATE post_view_text_changes SET by_views = by_views + 1;
  UPDATE post_view_rows SET agent_number = (SELECT number FROM post_view_texts WHERE text = NEW.agent)
  WHERE id = OLD.id;
END;

CREATE TRIGGER post_views_update_country INSTEAD OF UPDATE OF country ON post_views
WHEN NEW.country IS NOT OLD.country
BEGIN
  INSERT INTO post_view_texts (text) SELECT NEW.country WHERE NEW.country IS NOT NULL AND (SELECT number FROM post_view_texts WHERE text = NEW.country) IS NULL;
  UPDATE post_view_text_changes SET by_views = by_views + 1;
  UPDATE post_view_rows SET country_number = (SELECT number FROM post_view_texts WHERE text = NEW.country)
  WHERE id = OLD.id;
END;

CREATE TRIGGER post_views_update_viewed_at INSTEAD OF UPDATE OF viewed_at ON post_views
WHEN NEW.viewed_at IS NOT OLD.viewed_at
BEGIN
  UPDATE post_view_rows SET viewed_at = NEW.viewed_at
  WHERE id = OLD.id;
  UPDATE post_view_text_changes SET by_views = by_views + 1;
END;

CREATE TRIGGER post_views_update_event_id INSTEAD OF UPDATE OF event_id ON post_views
WHEN NEW.event_id IS NOT OLD.event_id
BEGIN
  UPDATE post_view_rows SET event_id = NEW.event_id
  WHERE id = OLD.id;
  UPDATE post_view_text_changes SET by_views = by_views + 1;
END;

CREATE TRIGGER post_views_update INSTEAD OF UPDATE OF user_id, ip, referer, received_at, day, slice, logged_in, bot, visitor, hour_of_day, utm ON post_views
BEGIN
  UPDATE post_view_rows SET user_id = NEW.user_id, ip = NEW.ip, referer = NEW.referer, received_at = NEW.received_at, day = NEW.day, slice = NEW.slice, logged_in = NEW.logged_in, bot = NEW.bot, visitor = NEW.visitor, hour_of_day = NEW.hour_of_day, utm = NEW.utm
  WHERE id = OLD.id;
END;

CREATE TRIGGER post_views_update_id INSTEAD OF UPDATE OF id ON post_views
WHEN NEW.id IS NOT OLD.id
BEGIN
  SELECT RAISE(ABORT, 'id of post_views cannot be changed');
END;

CREATE TRIGGER post_views_update_post_uuid_number INSTEAD OF UPDATE OF post_uuid_number ON post_views
WHEN NEW.post_uuid_number IS NOT OLD.post_uuid_number
BEGIN
  SELECT RAISE(ABORT, 'post_uuid_number of post_views cannot be changed');
END;

CREATE TRIGGER post_views_delete INSTEAD OF DELETE ON post_views
BEGIN
  DELETE FROM post_view_rows WHERE id = OLD.id;
  UPDATE post_view_text_changes SET by_views = by_views + 1;
END;

CREATE TABLE site_view_aggregates (
  date            TEXT    PRIMARY KEY,
  view_count      INTEGER NOT NULL,
  unique_views    INTEGER,
  logged_in       INTEGER,
  bots            INTEGER,
  first_viewed_at INTEGER,
  last_viewed_at  INTEGER
, bot_unique_views INTEGER, shared_unique_views INTEGER, bot_logged_in INTEGER) STRICT, WITHOUT ROWID;

CREATE TABLE site_view_minutes (
  minute     INTEGER PRIMARY KEY,
  view_count INTEGER NOT NULL
) STRICT;
