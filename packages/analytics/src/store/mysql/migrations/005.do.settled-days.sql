-- Of a day that is over the hosts with most views are kept, the rest is one remainder. settled_until: from then on a batch
-- adds to no other hosts. bounded_until: the days up to which what is not kept was moved. Null: no day.
-- A consumer of an earlier version would go on adding hosts to settled days: another agreement stops it.
-- UNIQUE_BY has longer values too. Each statement may run again.

SET @change = IF(
  EXISTS (
    SELECT 1 FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'post_view_state' AND column_name = 'settled_until'
  ),
  'DO 0',
  'ALTER TABLE post_view_state
     MODIFY COLUMN unique_by  VARCHAR(32) NOT NULL,
     ADD COLUMN settled_until DATE        NULL,
     ADD COLUMN bounded_until DATE        NULL'
);
PREPARE change_state FROM @change;
EXECUTE change_state;
DEALLOCATE PREPARE change_state;

UPDATE post_view_state SET agreement = agreement + 1;
