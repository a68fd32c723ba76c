-- What BOTS was when days whose raw rows are gone were counted: a JSON array of {bots, before}. Null: what it is now.
ALTER TABLE post_view_state ADD COLUMN bots_before text COLLATE "C";
