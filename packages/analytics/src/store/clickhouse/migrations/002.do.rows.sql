-- The same tables on every shard; a post and all that is counted of it are on one. decisions/0014-clickhouse.md tells why
-- they are as they are. Every statement may run twice.

-- Every view. Whatever is inserted twice has the same key, and the greatest version of a key is the view: see row.ts.
CREATE TABLE IF NOT EXISTS post_view_rows (
  hour         UInt32,
  post         UUID,
  id           UUID,
  version      UInt64,
  has_id       Bool,
  post_name    String,
  user_id      Nullable(UInt64),
  ip           Nullable(String),
  user_agent   Nullable(String),
  referer      Nullable(String),
  viewed_at    DateTime('UTC'),
  received_at  DateTime('UTC'),
  committed_at DateTime64(3, 'UTC'),
  day          Date,
  slice        UInt8,
  logged_in    UInt8,
  bot          UInt8,
  counts       UInt8,
  visitor      UInt64,
  referer_host String
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY hour
ORDER BY (hour, post, id)
SETTINGS index_granularity = 1024, enable_block_number_column = 1,
         min_age_to_force_merge_seconds = 600, min_age_to_force_merge_on_partition_only = 1,
         {{synced}};

-- The texts of posts that are no UUIDs.
CREATE TABLE IF NOT EXISTS post_view_names (post UUID, name String)
ENGINE = ReplacingMergeTree
ORDER BY post
SETTINGS index_granularity = 128, {{synced}};

-- What stands for the rows of a post's day that were received before the cutoff: retention removes them once this is here.
-- Of an open day it has their readers too. The nil post stands for the site, and has hosts alone.
CREATE TABLE IF NOT EXISTS post_view_bases (
  day             Date,
  post            UUID,
  cutoff          UInt32,
  views           UInt64,
  unique_views    UInt64,
  logged_in       UInt64,
  bots            UInt64,
  first_viewed_at Nullable(DateTime('UTC')),
  last_viewed_at  Nullable(DateTime('UTC')),
  unknown_until   Date,
  readers         Array(UInt64),
  hosts           Array(String),
  host_views      Array(UInt64)
)
ENGINE = ReplacingMergeTree(cutoff)
PARTITION BY toYYYYMM(day)
ORDER BY (day, post)
SETTINGS {{synced}};

-- What is counted, each row as a whole from all rows of its key; the greatest stamp holds, see roll.ts. unknown_until: the last day, if any, of
-- which its views alone are known. It was adopted, and its rows do not explain them. detailed_views are those of the other days.

CREATE TABLE IF NOT EXISTS post_view_days (
  post            UUID,
  day             Date,
  views           UInt64,
  detailed_views  UInt64,
  unique_views    UInt64,
  logged_in       UInt64,
  bots            UInt64,
  first_viewed_at Nullable(DateTime('UTC')),
  last_viewed_at  Nullable(DateTime('UTC')),
  unknown_until   Date,
  stamp           UInt64
)
ENGINE = ReplacingMergeTree(stamp)
PARTITION BY toYYYYMM(day)
ORDER BY (post, day)
SETTINGS index_granularity = 1024, {{synced}};

CREATE TABLE IF NOT EXISTS post_view_post_totals (
  post            UUID,
  views           UInt64,
  detailed_views  UInt64,
  unique_views    UInt64,
  logged_in       UInt64,
  bots            UInt64,
  first_viewed_at Nullable(DateTime('UTC')),
  last_viewed_at  Nullable(DateTime('UTC')),
  unknown_until   Date,
  stamp           UInt64
)
ENGINE = ReplacingMergeTree(stamp)
ORDER BY post
SETTINGS index_granularity = 128, min_bytes_for_wide_part = 10000000000, {{synced}};

CREATE TABLE IF NOT EXISTS post_view_site_days (
  day             Date,
  views           UInt64,
  detailed_views  UInt64,
  unique_views    UInt64,
  logged_in       UInt64,
  bots            UInt64,
  first_viewed_at Nullable(DateTime('UTC')),
  last_viewed_at  Nullable(DateTime('UTC')),
  unknown_until   Date,
  stamp           UInt64
)
ENGINE = ReplacingMergeTree(stamp)
ORDER BY day
SETTINGS index_granularity = 128, {{synced}};

-- The breakdowns of settled days: of each dimension its values, most views first, and how many views each has. A day that is not
-- settled is broken down from its rows when somebody asks.
CREATE TABLE IF NOT EXISTS post_view_breakdowns (
  post       UUID,
  day        Date,
  hosts      Array(String),
  host_views Array(UInt64),
  stamp      UInt64
)
ENGINE = ReplacingMergeTree(stamp)
PARTITION BY toYYYYMM(day)
ORDER BY (post, day)
SETTINGS index_granularity = 128, {{synced}};

-- Those of the site, of all shards together, on the first. stamps: of the days of all shards that it was made from.
CREATE TABLE IF NOT EXISTS post_view_site_breakdowns (
  day        Date,
  hosts      Array(String),
  host_views Array(UInt64),
  stamps     Array(UInt64),
  weight     UInt64
)
ENGINE = ReplacingMergeTree(weight)
ORDER BY day
SETTINGS index_granularity = 16, {{synced}};

-- How far this shard's rows are counted, see uncounted.ts. The row with the greatest stamp holds.
CREATE TABLE IF NOT EXISTS post_view_rolled (
  stamp        UInt64,
  block        UInt64,
  table_uuid   UUID,
  started      UInt32,
  as_of        DateTime('UTC'),
  committed_at Nullable(DateTime64(3, 'UTC')),
  viewed_at    Nullable(DateTime('UTC'))
)
ENGINE = ReplacingMergeTree
ORDER BY stamp
SETTINGS {{synced}};

-- Where rows are replicated: the ranges of block numbers of each hour that are counted. The row with the greatest stamp holds.
CREATE TABLE IF NOT EXISTS post_view_counted (
  hour   UInt32,
  blocks Array(Tuple(UInt64, UInt64)),
  stamp  UInt64
)
ENGINE = ReplacingMergeTree(stamp)
ORDER BY hour
SETTINGS {{synced}};

-- What all processes agree on: of each name and number the row that was committed first on the first shard. The other
-- shards have the numbers alone, so that an insert of rows can look whether they still hold.
CREATE TABLE IF NOT EXISTS post_view_agreed (
  name   String,
  number UInt64,
  value  String
)
ENGINE = MergeTree
ORDER BY (name, number)
SETTINGS index_granularity = 128, enable_block_number_column = 1, enable_block_offset_column = 1, {{synced}};

-- What the other engines keep as tables, for people: the same names and columns, over all shards.

CREATE VIEW IF NOT EXISTS post_views AS
SELECT id, if(post_name = '', toString(post), post_name) AS post_uuid, user_id, ip, user_agent, referer, viewed_at,
       if(has_id, id, NULL) AS event_id, received_at, day, slice, logged_in, bot, lower(hex(visitor)) AS visitor, referer_host
FROM {{all: SELECT * FROM post_view_rows FINAL}} AS view_rows;

CREATE VIEW IF NOT EXISTS post_view_aggregates AS
SELECT if(name = '', toString(post), name) AS post_uuid, day AS date, views AS view_count, 0 AS baseline,
       if(unknown_until > toDate(0), NULL, days.unique_views) AS unique_views,
       if(unknown_until > toDate(0), NULL, days.logged_in) AS logged_in,
       if(unknown_until > toDate(0), NULL, days.bots) AS bots,
       first_viewed_at, last_viewed_at
FROM {{all: SELECT d.*, n.name AS name FROM (SELECT * FROM post_view_days FINAL) AS d
  LEFT ANY JOIN post_view_names AS n ON n.post = d.post WHERE d.views + d.bots > 0 OR d.unknown_until > toDate(0)}} AS days;

CREATE VIEW IF NOT EXISTS site_view_aggregates AS
SELECT day AS date, sum(s.views) AS view_count, max(unknown_until) > toDate(0) AS is_unknown,
       if(is_unknown, NULL, sum(s.unique_views)) AS unique_views,
       if(is_unknown, NULL, sum(s.logged_in)) AS logged_in,
       if(is_unknown, NULL, sum(s.bots)) AS bots,
       min(s.first_viewed_at) AS first_viewed_at, max(s.last_viewed_at) AS last_viewed_at
FROM {{all: SELECT * FROM post_view_site_days FINAL}} AS s
GROUP BY day
HAVING view_count + sum(s.bots) > 0 OR is_unknown;

CREATE VIEW IF NOT EXISTS post_view_totals AS
SELECT if(name = '', toString(post), name) AS post_uuid, views, detailed_views, unique_views, logged_in, bots, first_viewed_at, last_viewed_at, unknown_until
FROM {{all: SELECT t.*, n.name AS name FROM (SELECT * FROM post_view_post_totals FINAL) AS t
  LEFT ANY JOIN post_view_names AS n ON n.post = t.post WHERE t.views + t.bots > 0 OR t.unknown_until > toDate(0)}} AS totals;
