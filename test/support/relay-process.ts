/** The relay from its source, as the program that is built runs it. */

import { runRelay } from '../../packages/client/src/relay/main.ts'

await runRelay(process.env, process.argv.slice(2))
