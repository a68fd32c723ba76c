-- Who read a view: the hour within its day, the utm texts of the address, and what is derived of them, of the referer, the user agent
-- and the address (src/derive/who.ts). Null: kept before.

ALTER TABLE post_views
  ADD COLUMN hour_of_day SMALLINT,
  ADD COLUMN utm         VARCHAR(500) COLLATE "C",
  ADD COLUMN origin      VARCHAR(400) COLLATE "C",
  ADD COLUMN agent       VARCHAR(200) COLLATE "C",
  ADD COLUMN country     VARCHAR(20)  COLLATE "C";

-- A consumer of an earlier version would leave them out: another agreement stops it.
UPDATE post_view_state SET agreement = agreement + 1;
