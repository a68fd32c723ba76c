-- How far a closed day has been opened again (store/sql/reopen.ts): the stage of it (null: the day is open), the last row
-- the stage covers, and the last row it has come to, by time (Unix seconds) and id.
ALTER TABLE post_view_day_keys ADD COLUMN reopening TEXT;
ALTER TABLE post_view_day_keys ADD COLUMN rows_until INTEGER NOT NULL DEFAULT 0;
ALTER TABLE post_view_day_keys ADD COLUMN walked_time INTEGER;
ALTER TABLE post_view_day_keys ADD COLUMN walked_id INTEGER NOT NULL DEFAULT 0;

-- While a day is opened again: readers who lost their address in some of its rows, and who they are under the new key
-- (null: no row has their address). Empty otherwise.
CREATE TABLE post_view_reopened (
  day         TEXT NOT NULL,
  old_visitor BLOB NOT NULL,
  new_visitor BLOB,
  PRIMARY KEY (day, old_visitor)
) STRICT, WITHOUT ROWID;

-- The last row there was when retention ran. It tells when a row was received at the latest and at the earliest, whatever
-- the clock of its consumer said. Unix seconds.
CREATE TABLE post_view_id_marks (
  noted_at INTEGER PRIMARY KEY,
  last_id  INTEGER NOT NULL
) STRICT;

-- Consumers of an earlier version would count readers of such a day as unique: they stop before their next batch.
UPDATE post_view_state SET agreement = agreement + 1;
