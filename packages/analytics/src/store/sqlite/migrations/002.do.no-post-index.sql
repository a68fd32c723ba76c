-- Nothing asks for the raw rows of one post, and keeping them in that order cost every batch a page for each of its posts.

DROP INDEX idx_post_uuid;
