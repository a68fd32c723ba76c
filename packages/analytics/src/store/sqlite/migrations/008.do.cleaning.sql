-- What was changed through the views when the last complete removal of unused texts began, and when that was (Unix seconds): see
-- src/store/sqlite/unused-texts.ts.
ALTER TABLE post_view_text_changes ADD COLUMN cleaned_by_views INTEGER;
ALTER TABLE post_view_text_changes ADD COLUMN cleaned_at INTEGER;
