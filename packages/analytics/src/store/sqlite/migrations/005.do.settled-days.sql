-- Of a day that is over the hosts with most views are kept, the rest is one remainder. settled_until: from then on a batch
-- adds to no other hosts. bounded_until: the days up to which what is not kept was moved. Null: no day.
-- A consumer of an earlier version would go on adding hosts to settled days: another agreement stops it.

ALTER TABLE post_view_state ADD COLUMN settled_until TEXT;
ALTER TABLE post_view_state ADD COLUMN bounded_until TEXT;
UPDATE post_view_state SET agreement = agreement + 1;
