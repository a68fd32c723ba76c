/** Loaded before the service (`--import`): a broken store is retried after half a second instead of a minute. */

import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers/promises'

const MINUTE_MS = 60_000
const SOON_MS = 500

const later = timers.setTimeout
const sooner: typeof later = (ms, value, options) =>
  later(ms === MINUTE_MS ? SOON_MS : ms, value as never, options) as never
timers.setTimeout = sooner
syncBuiltinESMExports()
