import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stepOf } from './step.ts'

test('says what a statement does to which table, and holds none of its values', () => {
  for (const [sql, step] of [
    [
      "\n  INSERT INTO post_views\n    (post_uuid, ip)\n  VALUES ('p','203.0.113.7')",
      'INSERT INTO post_views',
    ],
    ['INSERT IGNORE INTO `post_views` VALUES (1)', 'INSERT IGNORE INTO post_views'],
    ["UPDATE post_view_state SET bots = 'x' WHERE id = 1", 'UPDATE post_view_state'],
    ['DELETE FROM post_view_leases', 'DELETE FROM post_view_leases'],
    ['ALTER TABLE post_views ADD COLUMN x INT', 'ALTER TABLE post_views'],
    [
      '-- Why it is so.\n-- And more.\nCREATE TABLE IF NOT EXISTS post_view_totals (',
      'CREATE TABLE IF NOT EXISTS post_view_totals',
    ],
    ['CREATE UNIQUE INDEX uq_event_id ON post_views (event_id)', 'CREATE UNIQUE INDEX uq_event_id'],
    ['SELECT id FROM post_view_state WHERE id = 1 FOR UPDATE', 'SELECT FROM post_view_state'],
    [
      "SELECT 1 FROM post_views AS own\n STRAIGHT_JOIN x JOIN post_view_visitors AS v ON v.id = own.id WHERE host = ' FROM secret '",
      'SELECT FROM post_views, x, post_view_visitors',
    ],
    ["SELECT GET_LOCK('postviews secret', 2) AS taken", 'SELECT GET_LOCK'],
    ['SELECT @@max_allowed_packet AS bytes', 'SELECT @@max_allowed_packet'],
    ['SET NAMES utf8mb4', 'SET NAMES'],
    ['START TRANSACTION', 'START TRANSACTION'],
    ['BEGIN IMMEDIATE', 'BEGIN IMMEDIATE'],
    ['COMMIT', 'COMMIT'],
    ['PRAGMA journal_mode', 'PRAGMA journal_mode'],
    ['', 'a statement'],
  ] as const) {
    assert.equal(stepOf(sql), step)
  }
})
