#!/usr/bin/env node
/**
 * What is started. Node strips the types from the program as it loads it, in each of its threads, with a compiler that
 * takes 18 MB of memory in each. What came of that is kept beside the dependencies, so that later starts do without.
 * It is code that is run: it must not lie where anybody else may write, as the default, in /tmp, does.
 */

import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

const folder = fileURLToPath(new URL('../../../node_modules/.cache/postviews', import.meta.url))
// For threads, which take it from there. Where nothing can be written, nothing is kept.
process.env['NODE_COMPILE_CACHE'] = folder
enableCompileCache(folder)
await import('./cli.ts')
