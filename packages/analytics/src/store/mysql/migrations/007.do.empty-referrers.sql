-- Their rows are in post_view_breakdowns. `migrate` drops the tables afterwards, if its user may; the manual asks for no such privilege.
-- Each statement may run again.

DELETE FROM post_view_referrers;
DELETE FROM site_view_referrers;
