/**
 * The second article's tables as Laravel's migrations make them: `$table->uuid('post_uuid')`, `$table->timestamp('viewed_at')->useCurrent()`
 * and the like. On MariaDB from 10.7 on, Laravel 11 and newer make a native `uuid` column; else `char(36)`.
 */

import type { OtherSession } from './mysql.ts'

export interface LaravelTables {
  hasNativeUuid: boolean
  tables: readonly string[]
}

/** The tables as Laravel creates them on this server. */
export async function laravelTables({ sql }: Pick<OtherSession, 'sql'>): Promise<LaravelTables> {
  const hasNativeUuid = await sql('SELECT CAST(NULL AS uuid) AS id').then(
    () => true,
    () => false,
  )
  const uuid = hasNativeUuid ? 'uuid' : 'char(36)'
  const collation = "default character set utf8mb4 collate 'utf8mb4_unicode_ci'"
  return {
    hasNativeUuid,
    tables: [
      `create table \`post_views\` (
         \`id\` bigint unsigned not null auto_increment primary key,
         \`post_uuid\` ${uuid} not null,
         \`user_id\` bigint unsigned null,
         \`ip\` varchar(45) null,
         \`user_agent\` text null,
         \`referer\` varchar(500) null,
         \`viewed_at\` timestamp not null default CURRENT_TIMESTAMP
       ) ${collation}`,
      'alter table `post_views` add index `post_views_post_uuid_index`(`post_uuid`)',
      'alter table `post_views` add index `post_views_viewed_at_index`(`viewed_at`)',
      `create table \`post_view_aggregates\` (
         \`id\` bigint unsigned not null auto_increment primary key,
         \`post_uuid\` ${uuid} not null,
         \`date\` date not null,
         \`view_count\` int unsigned not null default '0'
       ) ${collation}`,
      'alter table `post_view_aggregates` add unique `post_view_aggregates_post_uuid_date_unique`(`post_uuid`, `date`)',
    ],
  }
}
