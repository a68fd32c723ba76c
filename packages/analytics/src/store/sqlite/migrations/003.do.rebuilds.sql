-- One row: how often something was put right. Day by day a reader keeps what it has read, until this or the day's views change.

CREATE TABLE post_view_rebuilds (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  rebuilds INTEGER NOT NULL
) STRICT;

INSERT INTO post_view_rebuilds (id, rebuilds) VALUES (1, 0);
