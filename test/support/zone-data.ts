/** Loaded before the service (`--import`): takes zone data from the file ZONE_DATA, possibly of another release. */

import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'

const source = readFileSync(process.env['ZONE_DATA']!, 'utf8')

registerHooks({
  load: (url, context, nextLoad) =>
    url.endsWith('/moment-timezone/data/packed/latest.json')
      ? { format: 'json', source, shortCircuit: true }
      : nextLoad(url, context),
})
