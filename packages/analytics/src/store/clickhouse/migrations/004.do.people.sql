-- Figures of bots alone, which tell those of people: readers who were bots, readers who were both, and views by bots that were logged in.
-- Null: counted before these were, and there were bots. `postviews rebuild` counts them where the rows are kept.

ALTER TABLE post_view_days
  ADD COLUMN IF NOT EXISTS bot_unique_views Nullable(UInt64) DEFAULT if(bots = 0, 0, NULL),
  ADD COLUMN IF NOT EXISTS shared_unique_views Nullable(UInt64) DEFAULT if(bots = 0, 0, NULL),
  ADD COLUMN IF NOT EXISTS bot_logged_in Nullable(UInt64) DEFAULT if(bots = 0, 0, NULL);
ALTER TABLE post_view_post_totals
  ADD COLUMN IF NOT EXISTS bot_unique_views Nullable(UInt64) DEFAULT if(bots = 0, 0, NULL),
  ADD COLUMN IF NOT EXISTS shared_unique_views Nullable(UInt64) DEFAULT if(bots = 0, 0, NULL),
  ADD COLUMN IF NOT EXISTS bot_logged_in Nullable(UInt64) DEFAULT if(bots = 0, 0, NULL);
ALTER TABLE post_view_site_days
  ADD COLUMN IF NOT EXISTS bot_unique_views Nullable(UInt64) DEFAULT if(bots = 0, 0, NULL),
  ADD COLUMN IF NOT EXISTS shared_unique_views Nullable(UInt64) DEFAULT if(bots = 0, 0, NULL),
  ADD COLUMN IF NOT EXISTS bot_logged_in Nullable(UInt64) DEFAULT if(bots = 0, 0, NULL);

-- As what the readers of an open day were seen: 1 a person, 2 a bot that is left out of the views, 3 a bot among them. Of those who were
-- kept before it is not known, which matters only where there were bots.

ALTER TABLE post_view_bases
  ADD COLUMN IF NOT EXISTS bot_unique_views Nullable(UInt64) DEFAULT if(bots = 0, 0, NULL),
  ADD COLUMN IF NOT EXISTS shared_unique_views Nullable(UInt64) DEFAULT if(bots = 0, 0, NULL),
  ADD COLUMN IF NOT EXISTS bot_logged_in Nullable(UInt64) DEFAULT if(bots = 0, 0, NULL),
  ADD COLUMN IF NOT EXISTS reader_kinds Array(UInt8) DEFAULT arrayMap(r -> 1, readers) AFTER readers;
