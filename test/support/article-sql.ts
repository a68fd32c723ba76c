/** The second article's own SQL: its tables, and the statements of its consumer for each event. */

/** As the article declares it. */
export const POST_VIEWS = `
  CREATE TABLE post_views (
    id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT,
    post_uuid CHAR(36) NOT NULL,
    user_id BIGINT UNSIGNED NULL,
    ip VARCHAR(45) NULL,
    user_agent TEXT NULL,
    referer VARCHAR(500) NULL,
    viewed_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    INDEX idx_post_uuid (post_uuid),
    INDEX idx_viewed_at (viewed_at)
  )`

/** As the article declares it. */
export const POST_VIEW_AGGREGATES = `
  CREATE TABLE post_view_aggregates (
    id BIGINT UNSIGNED PRIMARY KEY AUTO_INCREMENT,
    post_uuid CHAR(36) NOT NULL,
    date DATE NOT NULL,
    view_count INT UNSIGNED NOT NULL DEFAULT 0,
    UNIQUE KEY uq_post_date (post_uuid, date)
  )`

/** The article's raw insert, as its ORM writes it. */
export const INSERT_VIEW = `
  INSERT INTO post_views (post_uuid, user_id, ip, user_agent, referer, viewed_at)
  VALUES (?, ?, ?, ?, ?, ?)`

/** The article's upsert. */
export const COUNT_VIEW = `
  INSERT INTO post_view_aggregates (post_uuid, date, view_count)
  VALUES (?, CURDATE(), 1)
  ON DUPLICATE KEY UPDATE view_count = view_count + 1`
