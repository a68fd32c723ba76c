import type { SqlEngine } from '../sql/sql.ts'
import type { Progress } from '../store.ts'
import type { MysqlClient } from './connection.ts'
export async function adopt(client: MysqlClient, { settings }: Pick<SqlEngine, 'calendar' | 'settings' | 'toTime' | 'fromTime'>, _progress: Progress): Promise<void> {
  await client.write('INSERT INTO post_view_state (id, time_zone, window_hours, unique_by, bots) VALUES (1, ?, ?, ?, ?)', [settings.timeZone, settings.windowHours, settings.uniqueBy, settings.bots])
}
