-- What people read and what bots did: readers who were bots (unique views), readers who were seen as both, and bots' views that were
-- logged in. Null: counted before; `postviews rebuild` counts it on days whose raw rows are kept.

ALTER TABLE post_view_aggregates
  ADD COLUMN bot_unique_views BIGINT,
  ADD COLUMN shared_unique_views BIGINT,
  ADD COLUMN bot_logged_in BIGINT;
ALTER TABLE post_view_totals
  ADD COLUMN bot_unique_views BIGINT,
  ADD COLUMN shared_unique_views BIGINT,
  ADD COLUMN bot_logged_in BIGINT;
ALTER TABLE site_view_aggregates
  ADD COLUMN bot_unique_views BIGINT,
  ADD COLUMN shared_unique_views BIGINT,
  ADD COLUMN bot_logged_in BIGINT;

-- As what a reader was seen: 1 a person, 2 a bot, 3 both, 0 not noted.
ALTER TABLE post_view_visitors ADD COLUMN seen SMALLINT NOT NULL DEFAULT 0;

-- A consumer of an earlier version would list readers without it: another agreement stops it.
UPDATE post_view_state SET agreement = agreement + 1;
