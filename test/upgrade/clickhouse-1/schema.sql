-- The same tables on every shard. decisions/0014-clickhouse.md tells why they are as they are: an id's rows, and the
-- order in which they were committed, are what everything else follows from. Every statement may run twice.
-- A merge writes anew what an insert had brought to the disk, so it brings it there as well.

-- Every delivery of a view, by the id's hash. The view is that row of an id with the least block number and offset.
CREATE TABLE IF NOT EXISTS post_view_deliveries (
  id           UUID,
  has_id       Bool,
  batch        UUID,
  epoch        UInt32,
  post_uuid    String,
  user_id      Nullable(UInt64),
  ip           Nullable(String),
  user_agent   Nullable(String),
  referer      Nullable(String),
  viewed_at    DateTime('UTC'),
  received_at  DateTime('UTC'),
  day          Date,
  slice        UInt8,
  logged_in    UInt8,
  bot          UInt8,
  visitor      UUID,
  referer_host String,
  INDEX by_batch UUIDToNum(batch) TYPE minmax GRANULARITY 64,
  INDEX by_day   day              TYPE minmax GRANULARITY 64
)
ENGINE = MergeTree
PARTITION BY toDate(received_at)
ORDER BY UUIDToNum(id)
SETTINGS index_granularity = 256, enable_block_number_column = 1, enable_block_offset_column = 1,
         fsync_after_insert = 1, fsync_part_directory = 1,
         min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         non_replicated_deduplication_window = 0;

-- Who was counted as unique, by which batch, by the post's hash: the first row of each reader. Only of days still accepted.
-- Under other settings another list begins: what somebody writes under those of before, however late, is not in it.
-- reader only finds the rows: a number is compared faster than two texts.
CREATE TABLE IF NOT EXISTS post_view_visitors (
  day       Date,
  post_uuid String,
  slice     UInt8,
  visitor   UUID,
  epoch     UInt32,
  batch     UUID,
  reader    UInt64 MATERIALIZED cityHash64(post_uuid, slice, visitor),
  INDEX by_batch UUIDToNum(batch) TYPE minmax GRANULARITY 64
)
ENGINE = MergeTree
PARTITION BY day
ORDER BY reader
SETTINGS index_granularity = 128, enable_block_number_column = 1, enable_block_offset_column = 1,
         fsync_after_insert = 1, fsync_part_directory = 1,
         min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         non_replicated_deduplication_window = 0;

-- What each batch adds to every number, all of it in one insert, with a row of kind 'batch' that says the batch is done.
-- A batch is in one partition of one shard, so that its rows written twice are one. Rolled up, all batches that were
-- labelled on a day add one row to a number, under a label of that day; the rows of kind 'batch' are kept, each as it was.
CREATE TABLE IF NOT EXISTS post_view_figures (
  kind            Enum8('batch' = 0, 'site' = 1, 'site_referrer' = 2, 'minute' = 3, 'post' = 4, 'referrer' = 5),
  post_uuid       String,
  day             Date,
  host            String,
  minute          DateTime('UTC'),
  batch           UUID,
  version         UInt32,
  views           Int64,
  unique_views    Int64,
  logged_in       Int64,
  bots            Int64,
  first_viewed_at Nullable(DateTime('UTC')),
  last_viewed_at  Nullable(DateTime('UTC')),
  committed_at    DateTime('UTC'),
  is_rollup       Bool DEFAULT false,
  labelled        Date MATERIALIZED toDate(UUIDv7ToDateTime(batch, 'UTC'))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY (is_rollup, if(is_rollup, toStartOfYear(labelled), labelled))
ORDER BY (kind, post_uuid, day, host, minute, UUIDToNum(batch))
SETTINGS index_granularity = 1024, enable_block_number_column = 1, enable_block_offset_column = 1,
         fsync_after_insert = 1, fsync_part_directory = 1,
         min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         non_replicated_deduplication_window = 0;

-- The days of labels whose rollups count, on this shard.
CREATE TABLE IF NOT EXISTS post_view_rolled_up (
  day         Date,
  recorded_at DateTime('UTC') DEFAULT now()
)
ENGINE = MergeTree
ORDER BY day
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1,
         min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- The figures of this shard that numbers are sums of. A set of days, not the latest one: of a single value servers take the
-- one that the server has found out that they are asked by.
CREATE VIEW IF NOT EXISTS post_view_sums AS
SELECT *, labelled, _block_number FROM post_view_figures FINAL
WHERE is_rollup = (labelled IN (SELECT day FROM post_view_rolled_up));

-- What all processes must agree on is kept by the first shard alone: the row committed first is agreed on.

-- The agreement is raised whenever settings or zone rules are replaced, the epoch when rows are to be derived again as well.
CREATE TABLE IF NOT EXISTS post_view_settings (
  epoch          UInt32,
  time_zone      String,
  window_hours   UInt8,
  unique_by      String,
  bots           String,
  settings_since Nullable(Date),
  shards         UInt16,
  agreement      UInt32,
  rules_source   String,
  rules_release  String,
  rules_until    UInt64,
  rules_changes  String,
  site_hosts     String
)
ENGINE = MergeTree
ORDER BY epoch
SETTINGS enable_block_number_column = 1, enable_block_offset_column = 1,
         fsync_after_insert = 1, fsync_part_directory = 1,
         min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS post_view_day_keys (
  day    Date,
  secret String
)
ENGINE = MergeTree
ORDER BY day
SETTINGS enable_block_number_column = 1, enable_block_offset_column = 1,
         fsync_after_insert = 1, fsync_part_directory = 1,
         min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS post_view_leases (
  name       String,
  holder     String,
  expires_at UInt64
)
ENGINE = MergeTree
ORDER BY name
SETTINGS enable_block_number_column = 1, enable_block_offset_column = 1;

-- How far back each kind of data reaches: the latest day of each name. 'raw_from': the first day whose raw rows are
-- complete; 'open_from': the first whose key and visitors are kept.
CREATE TABLE IF NOT EXISTS post_view_reach (
  name String,
  day  Date
)
ENGINE = MergeTree
ORDER BY name
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1,
         min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1;

-- What the other engines keep as tables, for people: the same names and columns, over all shards.

CREATE VIEW IF NOT EXISTS post_views AS
SELECT id, post_uuid, user_id, ip, user_agent, referer, viewed_at,
       if(has_id, id, NULL) AS event_id,
       received_at, day, slice, logged_in, bot, visitor, referer_host
FROM {{all: SELECT * FROM post_view_deliveries ORDER BY UUIDToNum(id), _block_number, _block_offset LIMIT 1 BY id}}
WHERE batch IN (SELECT batch FROM {{all: SELECT batch FROM post_view_sums WHERE kind = 'batch'}});

CREATE VIEW IF NOT EXISTS post_view_aggregates AS
SELECT post_uuid, day AS date, sum(views) AS view_count, 0 AS baseline, sum(unique_views) AS unique_views,
       sum(logged_in) AS logged_in, sum(bots) AS bots,
       min(first_viewed_at) AS first_viewed_at, max(last_viewed_at) AS last_viewed_at
FROM {{all: SELECT * FROM post_view_sums WHERE kind = 'post'}} AS figures
GROUP BY post_uuid, day
HAVING view_count != 0 OR bots != 0;

CREATE VIEW IF NOT EXISTS post_view_totals AS
SELECT post_uuid, sum(figures.views) AS views, sum(unique_views) AS unique_views,
       sum(logged_in) AS logged_in, sum(bots) AS bots,
       min(first_viewed_at) AS first_viewed_at, max(last_viewed_at) AS last_viewed_at
FROM {{all: SELECT * FROM post_view_sums WHERE kind = 'post'}} AS figures
GROUP BY post_uuid
HAVING views != 0 OR bots != 0;

CREATE VIEW IF NOT EXISTS post_view_referrers AS
SELECT post_uuid, day AS date, host, sum(views) AS view_count
FROM {{all: SELECT * FROM post_view_sums WHERE kind = 'referrer'}} AS figures
GROUP BY post_uuid, day, host
HAVING view_count != 0;

CREATE VIEW IF NOT EXISTS site_view_aggregates AS
SELECT day AS date, sum(views) AS view_count, sum(unique_views) AS unique_views,
       sum(logged_in) AS logged_in, sum(bots) AS bots,
       min(first_viewed_at) AS first_viewed_at, max(last_viewed_at) AS last_viewed_at
FROM {{all: SELECT * FROM post_view_sums WHERE kind = 'site'}} AS figures
GROUP BY day
HAVING view_count != 0 OR bots != 0;

CREATE VIEW IF NOT EXISTS site_view_referrers AS
SELECT day AS date, host, sum(views) AS view_count
FROM {{all: SELECT * FROM post_view_sums WHERE kind = 'site_referrer'}} AS figures
GROUP BY day, host
HAVING view_count != 0;

CREATE VIEW IF NOT EXISTS site_view_minutes AS
SELECT minute, sum(views) AS view_count
FROM {{all: SELECT * FROM post_view_sums WHERE kind = 'minute'}} AS figures
GROUP BY minute;
