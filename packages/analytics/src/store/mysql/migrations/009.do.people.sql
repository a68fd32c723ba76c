-- What people read and what bots did: readers who were bots (unique views), readers who were seen as both, and bots' views that were
-- logged in. Null: counted before; `postviews rebuild` counts it on days whose raw rows are kept. Each statement may run again.

SET @change = IF(
  EXISTS (
    SELECT 1 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'post_view_aggregates' AND column_name = 'bot_unique_views'
  ),
  'DO 0',
  'ALTER TABLE post_view_aggregates
     ADD COLUMN bot_unique_views INT UNSIGNED NULL,
     ADD COLUMN shared_unique_views INT UNSIGNED NULL,
     ADD COLUMN bot_logged_in INT UNSIGNED NULL'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

SET @change = IF(
  EXISTS (
    SELECT 1 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'post_view_totals' AND column_name = 'bot_unique_views'
  ),
  'DO 0',
  'ALTER TABLE post_view_totals
     ADD COLUMN bot_unique_views BIGINT UNSIGNED NULL,
     ADD COLUMN shared_unique_views BIGINT UNSIGNED NULL,
     ADD COLUMN bot_logged_in BIGINT UNSIGNED NULL'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

SET @change = IF(
  EXISTS (
    SELECT 1 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'site_view_aggregates' AND column_name = 'bot_unique_views'
  ),
  'DO 0',
  'ALTER TABLE site_view_aggregates
     ADD COLUMN bot_unique_views BIGINT UNSIGNED NULL,
     ADD COLUMN shared_unique_views BIGINT UNSIGNED NULL,
     ADD COLUMN bot_logged_in BIGINT UNSIGNED NULL'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- As what a reader was seen: 1 a person, 2 a bot, 3 both, 0 not noted.
SET @change = IF(
  EXISTS (
    SELECT 1 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'post_view_visitors' AND column_name = 'seen'
  ),
  'DO 0',
  'ALTER TABLE post_view_visitors
     ADD COLUMN seen TINYINT UNSIGNED NOT NULL DEFAULT 0'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- A consumer of an earlier version would list readers without it: another agreement stops it.
UPDATE post_view_state SET agreement = agreement + 1;
