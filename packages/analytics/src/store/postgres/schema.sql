CREATE TABLE post_view_aggregates (
  post_uuid character varying(36) COLLATE "C" NOT NULL,
  date text COLLATE "C" NOT NULL,
  view_count bigint NOT NULL DEFAULT 0,
  baseline bigint NOT NULL DEFAULT 0,
  unique_views bigint,
  logged_in bigint,
  bots bigint,
  first_viewed_at bigint,
  last_viewed_at bigint,
  bot_unique_views bigint,
  shared_unique_views bigint,
  bot_logged_in bigint,
  PRIMARY KEY (post_uuid, date)
);

CREATE INDEX idx_date ON post_view_aggregates USING btree (date, post_uuid);

CREATE TABLE post_view_breakdowns (
  date text COLLATE "C" NOT NULL,
  post_uuid character varying(36) COLLATE "C" NOT NULL,
  counts text NOT NULL,
  PRIMARY KEY (date, post_uuid)
);

CREATE TABLE post_view_day_keys (
  day text COLLATE "C" NOT NULL,
  secret text NOT NULL,
  reopening text,
  rows_until bigint NOT NULL DEFAULT 0,
  walked_time bigint,
  walked_id bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (day)
);

CREATE TABLE post_view_id_marks (
  noted_at bigint NOT NULL,
  last_id bigint NOT NULL,
  PRIMARY KEY (noted_at)
);

CREATE TABLE post_view_leases (
  name text NOT NULL,
  holder text NOT NULL,
  expires_at bigint NOT NULL,
  PRIMARY KEY (name)
);

CREATE TABLE post_view_progress (
  id smallint NOT NULL,
  last_committed_at bigint NOT NULL,
  last_viewed_at bigint NOT NULL,
  PRIMARY KEY (id),
  CHECK ((id = 1))
);

CREATE TABLE post_view_rebuilds (
  id smallint NOT NULL,
  rebuilds bigint NOT NULL,
  PRIMARY KEY (id),
  CHECK ((id = 1))
);

CREATE TABLE post_view_reopened (
  day text COLLATE "C" NOT NULL,
  old_visitor bytea NOT NULL,
  new_visitor bytea,
  PRIMARY KEY (day, old_visitor)
);

CREATE TABLE post_view_site_hosts (
  number bigint NOT NULL,
  hosts text NOT NULL,
  recorded_at bigint NOT NULL,
  PRIMARY KEY (number)
);

CREATE TABLE post_view_state (
  id smallint NOT NULL,
  stats_timezone text NOT NULL,
  window_hours smallint NOT NULL,
  unique_by text NOT NULL,
  bots text NOT NULL,
  settings_since text COLLATE "C",
  raw_from text COLLATE "C",
  open_from text COLLATE "C",
  unknown_until text COLLATE "C",
  adopted_at bigint,
  agreement bigint NOT NULL DEFAULT 1,
  rules_source text,
  rules_release text,
  rules_until bigint,
  rules_changes text,
  settled_until text COLLATE "C",
  bounded_until text COLLATE "C",
  bots_before text COLLATE "C",
  PRIMARY KEY (id),
  CHECK ((id = 1))
);

CREATE TABLE post_view_totals (
  post_uuid character varying(36) COLLATE "C" NOT NULL,
  views bigint NOT NULL,
  detailed_views bigint,
  unique_views bigint,
  logged_in bigint,
  bots bigint,
  first_viewed_at bigint,
  last_viewed_at bigint,
  unknown_until text COLLATE "C",
  bot_unique_views bigint,
  shared_unique_views bigint,
  bot_logged_in bigint,
  PRIMARY KEY (post_uuid)
);

CREATE TABLE post_view_unpacked (
  post_uuid character varying(36) COLLATE "C" NOT NULL,
  id bigint NOT NULL,
  PRIMARY KEY (post_uuid, id)
);

CREATE TABLE post_view_visitors (
  day text COLLATE "C" NOT NULL,
  post_uuid character varying(36) COLLATE "C" NOT NULL,
  slice smallint NOT NULL,
  visitor bytea NOT NULL,
  seen smallint NOT NULL DEFAULT 0,
  PRIMARY KEY (day, post_uuid, slice, visitor)
);

CREATE TABLE post_views (
  id bigint GENERATED ALWAYS AS IDENTITY,
  post_uuid character varying(36) COLLATE "C" NOT NULL,
  user_id numeric(20,0),
  ip character varying(45) COLLATE "C",
  user_agent text COLLATE "C",
  referer text COLLATE "C",
  viewed_at bigint NOT NULL,
  event_id bytea,
  received_at bigint,
  day text COLLATE "C",
  slice smallint,
  logged_in smallint,
  bot smallint,
  visitor bytea,
  referer_host character varying(253) COLLATE "C",
  hour_of_day smallint,
  utm character varying(500) COLLATE "C",
  origin character varying(400) COLLATE "C",
  agent character varying(200) COLLATE "C",
  country character varying(20) COLLATE "C",
  PRIMARY KEY (id)
);

CREATE INDEX idx_viewed_at ON post_views USING btree (viewed_at);

CREATE UNIQUE INDEX uq_event_id ON post_views USING btree (event_id);

CREATE TABLE site_view_aggregates (
  date text COLLATE "C" NOT NULL,
  view_count bigint NOT NULL,
  unique_views bigint,
  logged_in bigint,
  bots bigint,
  first_viewed_at bigint,
  last_viewed_at bigint,
  bot_unique_views bigint,
  shared_unique_views bigint,
  bot_logged_in bigint,
  PRIMARY KEY (date)
);

CREATE TABLE site_view_minutes (
  minute bigint NOT NULL,
  view_count bigint NOT NULL,
  PRIMARY KEY (minute)
);
