-- What BOTS was when days whose raw rows are gone were counted: a JSON array of {bots, before}. Null: what it is now. Each statement may
-- run again.

SET @change = IF(
  EXISTS (
    SELECT 1 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'post_view_state' AND column_name = 'bots_before'
  ),
  'DO 0',
  'ALTER TABLE post_view_state ADD COLUMN bots_before MEDIUMTEXT NULL'
);
PREPARE change_state FROM @change;
EXECUTE change_state;
DEALLOCATE PREPARE change_state;
