-- How far a closed day has been opened again (store/sql/reopen.ts): the stage of it (null: the day is open), the last row
-- the stage covers, and the last row it has come to, by time (Unix seconds) and id.
-- One statement, so all of it or nothing is there; run again, it finds the columns and does nothing.
SET @change = IF(
  EXISTS (
    SELECT 1 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'post_view_day_keys' AND column_name = 'reopening'
  ),
  'DO 0',
  'ALTER TABLE post_view_day_keys
     ADD COLUMN reopening   VARCHAR(16)     NULL,
     ADD COLUMN rows_until  BIGINT UNSIGNED NOT NULL DEFAULT 0,
     ADD COLUMN walked_time BIGINT          NULL,
     ADD COLUMN walked_id   BIGINT UNSIGNED NOT NULL DEFAULT 0'
);
PREPARE change_keys FROM @change;
EXECUTE change_keys;
DEALLOCATE PREPARE change_keys;

-- While a day is opened again: readers who lost their address in some of its rows, and who they are under the new key
-- (null: no row has their address). Empty otherwise.
CREATE TABLE IF NOT EXISTS post_view_reopened (
  day         DATE       NOT NULL,
  old_visitor BINARY(16) NOT NULL,
  new_visitor BINARY(16) NULL,
  PRIMARY KEY (day, old_visitor)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The last row there was when retention ran. It tells when a row was received at the latest and at the earliest, whatever
-- the clock of its consumer said. Unix seconds.
CREATE TABLE IF NOT EXISTS post_view_id_marks (
  noted_at BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  last_id  BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Consumers of an earlier version would count readers of such a day as unique: they stop before their next batch. Raised
-- twice by an interrupted run, it does no harm.
UPDATE post_view_state SET agreement = agreement + 1;
