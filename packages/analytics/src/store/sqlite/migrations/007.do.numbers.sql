-- Texts that many rows share are kept once, and the tables of rows hold their numbers (src/store/sqlite/texts.ts). Views with the
-- names of the tables show them with the texts; the program makes these after the migrations.

-- A number is never given again.
CREATE TABLE post_view_texts (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  text   TEXT    NOT NULL UNIQUE
) STRICT;

-- How often texts were removed, and how often rows were changed through the views: see src/store/sqlite/unused-texts.ts.
CREATE TABLE post_view_text_changes (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  removals INTEGER NOT NULL DEFAULT 0,
  by_views INTEGER NOT NULL DEFAULT 0
) STRICT;

INSERT INTO post_view_text_changes (id) VALUES (1);

INSERT INTO post_view_texts (text)
SELECT text FROM (
  SELECT post_uuid AS text FROM post_views
  UNION SELECT user_agent FROM post_views
  UNION SELECT referer_host FROM post_views
  UNION SELECT post_uuid FROM post_view_visitors
  UNION SELECT post_uuid FROM post_view_unpacked
)
WHERE text IS NOT NULL;

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
) STRICT;

INSERT INTO post_view_rows
SELECT id, (SELECT number FROM post_view_texts WHERE text = post_uuid), user_id, ip,
       (SELECT number FROM post_view_texts WHERE text = user_agent), referer, viewed_at, event_id, received_at,
       day, slice, logged_in, bot, visitor, (SELECT number FROM post_view_texts WHERE text = referer_host)
FROM post_views
ORDER BY id;

-- Ids of rows that retention has removed are not given again either.
DELETE FROM sqlite_sequence WHERE name = 'post_view_rows';
INSERT INTO sqlite_sequence (name, seq) SELECT 'post_view_rows', seq FROM sqlite_sequence WHERE name = 'post_views';

DROP TABLE post_views;
CREATE INDEX idx_viewed_at ON post_view_rows (viewed_at);
CREATE UNIQUE INDEX uq_event_id ON post_view_rows (event_id) WHERE event_id IS NOT NULL;

CREATE TABLE post_view_visitor_rows (
  day              TEXT    NOT NULL,
  post_uuid_number INTEGER NOT NULL,
  slice            INTEGER NOT NULL,
  visitor          BLOB    NOT NULL,
  PRIMARY KEY (day, post_uuid_number, slice, visitor)
) STRICT, WITHOUT ROWID;

INSERT INTO post_view_visitor_rows
SELECT day, (SELECT number FROM post_view_texts WHERE text = post_uuid) AS post, slice, visitor
FROM post_view_visitors
ORDER BY day, post, slice, visitor;
DROP TABLE post_view_visitors;

CREATE TABLE post_view_unpacked_rows (
  post_uuid_number INTEGER NOT NULL,
  id               INTEGER NOT NULL,
  PRIMARY KEY (post_uuid_number, id)
) STRICT, WITHOUT ROWID;

INSERT INTO post_view_unpacked_rows
SELECT (SELECT number FROM post_view_texts WHERE text = post_uuid) AS post, id
FROM post_view_unpacked
ORDER BY post, id;
DROP TABLE post_view_unpacked;

-- A consumer of an earlier version would insert into tables that are views now: another agreement stops it.
UPDATE post_view_state SET agreement = agreement + 1;
