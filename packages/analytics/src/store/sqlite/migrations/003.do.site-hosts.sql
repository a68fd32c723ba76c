-- Which hosts are the site's own: every list that was recorded. The one with the greatest number holds, the others are
-- replaced; before the first somebody recorded, none was own.
CREATE TABLE post_view_site_hosts (
  number      INTEGER PRIMARY KEY,
  hosts       TEXT    NOT NULL,
  recorded_at INTEGER NOT NULL
) STRICT;

INSERT INTO post_view_site_hosts (number, hosts, recorded_at) VALUES (1, 'none', unixepoch());
