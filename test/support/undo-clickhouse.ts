/** Takes a shard of ClickHouse back to the tables of versions before, statement by statement. */

import { DETAILS, isOfBots } from '../../packages/analytics/src/store/figures.ts'

const TABLES = ['post_view_days', 'post_view_post_totals', 'post_view_site_days', 'post_view_bases']

/** To those of version 3, which did not tell figures of bots from those of people. Of the readers of an open day it kept those that counted. */
export const TO_VERSION_3 = [
  'ALTER TABLE post_view_bases UPDATE readers = arrayFilter((r, kind) -> kind != 2, readers, reader_kinds) WHERE true',
  'ALTER TABLE post_view_bases DROP COLUMN reader_kinds',
  ...TABLES.flatMap(table =>
    DETAILS.filter(isOfBots).map(name => `ALTER TABLE ${table} DROP COLUMN ${name}`),
  ),
  'ALTER TABLE post_view_migrations DELETE WHERE version > 3',
]
