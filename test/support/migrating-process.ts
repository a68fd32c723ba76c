/** Migrates the database of `DATABASE_URL` and prints a line for each step, so that a test can kill it at any step. */

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
