-- Who read a view: the hour within its day, the utm texts of the address, and what is derived of them, of the referer, the user agent
-- and the address (src/derive/who.ts). Null: kept before.

ALTER TABLE post_view_rows
  ADD COLUMN IF NOT EXISTS hour_of_day Nullable(UInt8),
  ADD COLUMN IF NOT EXISTS utm Nullable(String),
  ADD COLUMN IF NOT EXISTS origin LowCardinality(Nullable(String)),
  ADD COLUMN IF NOT EXISTS agent LowCardinality(Nullable(String)),
  ADD COLUMN IF NOT EXISTS country LowCardinality(Nullable(String));

CREATE OR REPLACE VIEW post_views AS
SELECT id, if(post_name = '', toString(post), post_name) AS post_uuid, user_id, ip, user_agent, referer, viewed_at,
       if(has_id, id, NULL) AS event_id, received_at, day, slice, logged_in, bot, lower(hex(visitor)) AS visitor, referer_host,
       hour_of_day, utm, origin, agent, country
FROM {{all: SELECT * FROM post_view_rows FINAL}} AS view_rows;

-- Breakdowns of every dimension in place of hosts alone: for each value an element in each of four arrays. What was kept before is
-- hosts, of which nobody counted the bots. The values of a dimension that are not kept are one value, which is a tab. Each post and
-- day repeats much of the one before it, so that ZSTD takes less than half of the room.

ALTER TABLE post_view_breakdowns RENAME COLUMN IF EXISTS hosts TO values, RENAME COLUMN IF EXISTS host_views TO value_views;
ALTER TABLE post_view_site_breakdowns RENAME COLUMN IF EXISTS hosts TO values, RENAME COLUMN IF EXISTS host_views TO value_views;
ALTER TABLE post_view_bases RENAME COLUMN IF EXISTS hosts TO values, RENAME COLUMN IF EXISTS host_views TO value_views;

ALTER TABLE post_view_breakdowns
  ADD COLUMN IF NOT EXISTS dimensions Array(LowCardinality(String)) DEFAULT arrayMap(v -> 'referrer', values) CODEC(ZSTD(1)) AFTER day,
  ADD COLUMN IF NOT EXISTS value_bots Array(Nullable(UInt64)) DEFAULT arrayMap(v -> NULL, values) CODEC(ZSTD(1)) AFTER value_views,
  MODIFY COLUMN values Array(String) CODEC(ZSTD(1)),
  MODIFY COLUMN value_views Array(UInt64) CODEC(ZSTD(1));
ALTER TABLE post_view_site_breakdowns
  ADD COLUMN IF NOT EXISTS dimensions Array(LowCardinality(String)) DEFAULT arrayMap(v -> 'referrer', values) CODEC(ZSTD(1)) AFTER day,
  ADD COLUMN IF NOT EXISTS value_bots Array(Nullable(UInt64)) DEFAULT arrayMap(v -> NULL, values) CODEC(ZSTD(1)) AFTER value_views,
  MODIFY COLUMN values Array(String) CODEC(ZSTD(1)),
  MODIFY COLUMN value_views Array(UInt64) CODEC(ZSTD(1));
ALTER TABLE post_view_bases
  ADD COLUMN IF NOT EXISTS dimensions Array(LowCardinality(String)) DEFAULT arrayMap(v -> 'referrer', values) CODEC(ZSTD(1)) AFTER readers,
  ADD COLUMN IF NOT EXISTS value_bots Array(Nullable(UInt64)) DEFAULT arrayMap(v -> NULL, values) CODEC(ZSTD(1)) AFTER value_views,
  MODIFY COLUMN values Array(String) CODEC(ZSTD(1)),
  MODIFY COLUMN value_views Array(UInt64) CODEC(ZSTD(1));

ALTER TABLE post_view_breakdowns UPDATE values = arrayMap((d, v) -> if(d = 'referrer' AND v = '<other>', '\t', v), dimensions, values)
WHERE has(values, '<other>') SETTINGS mutations_sync = 2;
ALTER TABLE post_view_site_breakdowns UPDATE values = arrayMap((d, v) -> if(d = 'referrer' AND v = '<other>', '\t', v), dimensions, values)
WHERE has(values, '<other>') SETTINGS mutations_sync = 2;
ALTER TABLE post_view_bases UPDATE values = arrayMap((d, v) -> if(d = 'referrer' AND v = '<other>', '\t', v), dimensions, values)
WHERE has(values, '<other>') SETTINGS mutations_sync = 2;
