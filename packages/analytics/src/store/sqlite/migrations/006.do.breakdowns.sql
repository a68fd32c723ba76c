-- Breakdowns are packed: a text for a post's day, or the site's (an empty post_uuid), as src/store/pack.ts reads it. Rows that are in
-- no pack yet are in post_view_unpacked (src/store/sql/breakdowns.ts). Which of a host's views were by bots was not kept: null.

CREATE TABLE post_view_breakdowns (
  date      TEXT NOT NULL,
  post_uuid TEXT NOT NULL,
  counts    TEXT NOT NULL,
  PRIMARY KEY (date, post_uuid)
) STRICT, WITHOUT ROWID;

CREATE TABLE post_view_unpacked (
  post_uuid TEXT    NOT NULL,
  id        INTEGER NOT NULL,
  PRIMARY KEY (post_uuid, id)
) STRICT, WITHOUT ROWID;

-- Of a day of the last two that has more hosts than are kept of one, those with most views are taken.
INSERT INTO post_view_breakdowns (date, post_uuid, counts)
WITH
  hosts AS (
    SELECT date, post_uuid, host, view_count FROM post_view_referrers
    UNION ALL
    SELECT date, '', host, view_count FROM site_view_referrers
  ),
  ranked AS (
    SELECT date, post_uuid, host, view_count,
           host <> '<other>' AND ROW_NUMBER() OVER (PARTITION BY date, post_uuid ORDER BY view_count DESC) <= 20000 AS is_kept
    FROM hosts
  )
SELECT date, post_uuid,
       '{"referrer":{"values":' ||
       json_group_object(host, json_array(view_count, NULL)) FILTER (WHERE is_kept) ||
       COALESCE(',"others":[' || SUM(view_count) FILTER (WHERE NOT is_kept) || ',null]', '') || '}}'
FROM ranked
GROUP BY date, post_uuid;

DROP TABLE post_view_referrers;
DROP TABLE site_view_referrers;

-- A consumer of an earlier version would go on counting hosts in tables that are gone: another agreement stops it.
UPDATE post_view_state SET agreement = agreement + 1;
