-- The zone rules that days are counted by (source, release, changes of offset, how far these reach), and the number that
-- is raised whenever something that all processes must agree on is replaced. Null: counted by a version that recorded none.
-- The zone's column has another name: a consumer of that version can not read the state any more, so it pauses instead of
-- counting on by rules of its own.

ALTER TABLE post_view_state RENAME COLUMN time_zone TO stats_timezone;
ALTER TABLE post_view_state ADD COLUMN agreement INTEGER NOT NULL DEFAULT 1;
ALTER TABLE post_view_state ADD COLUMN rules_source TEXT;
ALTER TABLE post_view_state ADD COLUMN rules_release TEXT;
ALTER TABLE post_view_state ADD COLUMN rules_until INTEGER;
ALTER TABLE post_view_state ADD COLUMN rules_changes TEXT;
