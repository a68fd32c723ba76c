-- Who read a view: the hour within its day, the utm texts of the address, and what is derived of them, of the referer, the user agent
-- and the address (src/derive/who.ts). Null: kept before.

ALTER TABLE post_view_rows ADD COLUMN hour_of_day INTEGER;
ALTER TABLE post_view_rows ADD COLUMN utm TEXT;
ALTER TABLE post_view_rows ADD COLUMN origin_number INTEGER;
ALTER TABLE post_view_rows ADD COLUMN agent_number INTEGER;
ALTER TABLE post_view_rows ADD COLUMN country_number INTEGER;

-- A consumer of an earlier version would leave them out: another agreement stops it.
UPDATE post_view_state SET agreement = agreement + 1;
