/** A clock for a process under test, which the test can set while the process runs. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { atEnd } from './at-end.ts'

const SHIFTED = new URL('./shifted-clock.ts', import.meta.url).href

/** `settings` make a process use this clock; `set` puts it forward by that many seconds. */
export async function shiftedClock(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'postviews-clock-'))
  atEnd(t, () => rm(folder, { recursive: true }))
  const file = join(folder, 'shift')
  const set = (aheadSeconds: number) => writeFile(file, String(aheadSeconds))
  await set(0)
  return { set, settings: { NODE_OPTIONS: `--import=${SHIFTED}`, CLOCK_SHIFT_FILE: file } }
}
