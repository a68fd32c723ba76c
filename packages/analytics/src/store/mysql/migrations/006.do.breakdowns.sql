-- Breakdowns are packed: a text for a post's day, or the site's (an empty post_uuid), as src/store/pack.ts reads it. Rows that are in
-- no pack yet are in post_view_unpacked (src/store/sql/breakdowns.ts). Which of a host's views were by bots was not kept: null.
-- Each statement may run again: the tables of before are emptied by the next migration.

CREATE TABLE IF NOT EXISTS post_view_breakdowns (
  date      DATE       NOT NULL,
  post_uuid CHAR(36)   NOT NULL,
  counts    LONGTEXT   NOT NULL,
  PRIMARY KEY (date, post_uuid)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS post_view_unpacked (
  post_uuid CHAR(36)        NOT NULL,
  id        BIGINT UNSIGNED NOT NULL,
  PRIMARY KEY (post_uuid, id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Of a day of the last two that has more hosts than are kept of one, those with most views are taken.
DELETE FROM post_view_breakdowns;
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
  ),
  kept AS (
    SELECT date, post_uuid, JSON_OBJECTAGG(host, JSON_ARRAY(view_count, NULL)) AS hosts
    FROM ranked WHERE is_kept
    GROUP BY date, post_uuid
  ),
  others AS (
    SELECT date, post_uuid, SUM(view_count) AS views FROM ranked WHERE NOT is_kept GROUP BY date, post_uuid
  )
SELECT kept.date, kept.post_uuid,
       CONCAT('{"referrer":{"values":', kept.hosts, COALESCE(CONCAT(',"others":[', others.views, ',null]'), ''), '}}')
FROM kept LEFT JOIN others ON others.date = kept.date AND others.post_uuid = kept.post_uuid;

-- A consumer of an earlier version would go on counting hosts in tables that are gone: another agreement stops it. Raised twice
-- by an interrupted run, it does no harm.
UPDATE post_view_state SET agreement = agreement + 1;
