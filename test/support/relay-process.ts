/** Runs the relay from its source, in the same way as the built program. */

import { runRelay } from '../../packages/client/src/relay/main.ts'

await runRelay(process.env, process.argv.slice(2))
