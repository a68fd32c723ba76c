import type { Progress } from '../store.ts'
import type { MysqlClient } from './connection.ts'
export async function reshapeAdoptedTables(_client: MysqlClient, _database: string, _progress: Progress): Promise<void> {}
