/** Migrates the database of `DATABASE_URL`, and says each step on a line: a process that can be killed at any of them. */

import type { CountingSettings } from '../../packages/analytics/src/store/counting-settings.ts'
import { openStore } from '../../packages/analytics/src/store/open.ts'

const store = await openStore(
  process.env['DATABASE_URL']!,
  JSON.parse(process.env['SETTINGS']!) as CountingSettings,
)
try {
  await store.migrate((step, done, total) => console.log(`${step} ${done}/${total}`))
  console.log('done')
} catch (error) {
  console.error((error as Error).message)
} finally {
  await store.close()
}
