-- Who read a view: the hour within its day, the utm texts of the address, and what is derived of them, of the referer, the user agent
-- and the address (src/derive/who.ts). Null: kept before. Each statement may run again.

SET @change = IF(
  EXISTS (
    SELECT 1 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'post_views' AND column_name = 'hour_of_day'
  ),
  'DO 0',
  'ALTER TABLE post_views
     ADD COLUMN hour_of_day SMALLINT NULL,
     ADD COLUMN utm VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
     ADD COLUMN origin VARCHAR(400) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
     ADD COLUMN agent VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
     ADD COLUMN country VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL'
);
PREPARE change_table FROM @change;
EXECUTE change_table;
DEALLOCATE PREPARE change_table;

-- A consumer of an earlier version would leave them out: another agreement stops it.
UPDATE post_view_state SET agreement = agreement + 1;
