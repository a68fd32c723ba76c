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
