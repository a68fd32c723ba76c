-- The zone rules that days are counted by (source, release, changes of offset, how far these reach), and the number that
-- is raised whenever something that all processes must agree on is replaced. Null: counted by a version that recorded none.
-- The zone's column has another name: a consumer of that version can not read the state any more, so it pauses instead of
-- counting on by rules of its own.
-- One statement, so all of it or nothing is there; run again, it finds the columns and does nothing.

SET @change = IF(
  EXISTS (
    SELECT 1 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'post_view_state' AND column_name = 'agreement'
  ),
  'DO 0',
  'ALTER TABLE post_view_state
     RENAME COLUMN time_zone TO stats_timezone,
     ADD COLUMN agreement     BIGINT UNSIGNED NOT NULL DEFAULT 1,
     ADD COLUMN rules_source  VARCHAR(64)     NULL,
     ADD COLUMN rules_release VARCHAR(16)     NULL,
     ADD COLUMN rules_until   BIGINT          NULL,
     ADD COLUMN rules_changes MEDIUMTEXT      NULL'
);
PREPARE change_state FROM @change;
EXECUTE change_state;
DEALLOCATE PREPARE change_state;
